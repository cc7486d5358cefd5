package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/nftables"
)

// world is what a server leaves on a machine, by kind: everything that must be
// gone when its services are.
type world map[string][]string

// process is one process of the machine.
type process struct {
	pid   int
	start string // its start in clock ticks: with pid, its identity
	name  string
}

// look records the world as far as it may belong to s.
func look(s *server) world {
	procs := []string{}
	inside := inCgroup(slice(s.dir))
	for _, p := range belonging(s.dir, append(s.own(), inside...)) {
		procs = append(procs, fmt.Sprintf("%d %s", p.pid, p.name))
	}
	for _, pid := range inside {
		procs = append(procs, fmt.Sprintf("%d in its cgroup", pid))
	}
	return world{
		"process": procs,
		"mount":   mountsBelow(s.dir),
		"cgroup":  cgroups(slice(s.dir)),
		"link":    links(s.t, s.net, networkName(s.dir)),
		"table":   tables(s.t, s.net, networkName(s.dir)),
		"file":    files(s.dir, "runtime/*/*", "images/tmp/*"),
	}
}

// slice is the name of the cgroup of a server's sandboxes, and networkName that
// with which its network interfaces begin. They tell the servers of one machine
// apart. TestLife checks that they are found while services run: a detector that
// looks for the wrong names would find no leak ever.
func slice(dir string) string {
	return fmt.Sprintf("slipway-%08x", hash(filepath.Join(dir, "runtime")))
}

func networkName(dir string) string { return fmt.Sprintf("sw%06x", hash(dir)&0xffffff) }

func hash(dir string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(dir))
	return h.Sum32()
}

// own returns the server's own process and this one.
func (s *server) own() []int {
	own := []int{os.Getpid()}
	if p, _ := s.running(); p != nil {
		own = append(own, p.Pid)
	}
	return own
}

// since returns what is in w and was not in before.
func (w world) since(before world) []string {
	var more []string
	for kind, items := range w {
		for _, item := range items {
			if !slices.Contains(before[kind], item) {
				more = append(more, kind+" "+item)
			}
		}
	}
	slices.Sort(more)
	return more
}

// assertNothingLeft fails unless all that the server made is gone. It is asked
// after the last service's deletion and the server's end.
func (s *server) assertNothingLeft() {
	s.t.Helper()
	eventually(s.t, "nothing is left behind", func() (bool, string) {
		left := look(s).since(s.before)
		return len(left) == 0, strings.Join(left, "; ")
	})
}

// belonging returns the processes, except those named, that have anything to
// do with dir: their command line, environment, working directory, binary,
// open files or mounts lie there. It finds instances without knowing how the
// server names or groups them.
func belonging(dir string, except []int) []process {
	var all []process
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || slices.Contains(except, pid) || !touches(pid, dir) {
			continue
		}
		if p, ok := identify(pid); ok {
			all = append(all, p)
		}
	}
	return all
}

func touches(pid int, dir string) bool {
	proc := fmt.Sprintf("/proc/%d/", pid)
	for _, name := range []string{"cmdline", "environ", "mountinfo", "cgroup"} {
		if name == "mountinfo" && ourMounts(pid) {
			continue // a mount of the machine's is everybody's
		}
		if b, err := os.ReadFile(proc + name); err == nil && bytes.Contains(b, []byte(dir)) {
			return true
		}
	}
	names := []string{"cwd", "exe", "root"}
	fds, _ := os.ReadDir(proc + "fd")
	for _, fd := range fds {
		names = append(names, "fd/"+fd.Name())
	}
	return slices.ContainsFunc(names, func(name string) bool {
		target, err := os.Readlink(proc + name)
		return err == nil && (target == dir || strings.HasPrefix(target, dir+"/"))
	})
}

// inCgroup returns the processes in cgroups with name in their path: nobody
// else's processes can be among them.
func inCgroup(name string) []int {
	var all []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if b, err := os.ReadFile("/proc/" + e.Name() + "/cgroup"); err == nil && bytes.Contains(b, []byte("/"+name)) {
			all = append(all, pid)
		}
	}
	return all
}

// ourMounts reports whether the process has the mount namespace of this one,
// or cannot be asked.
func ourMounts(pid int) bool {
	ours, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return true
	}
	its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	return err != nil || its == ours
}

// identify returns a process by its id, and false for one that is gone or a
// zombie.
func identify(pid int) (process, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 20 || f[0] == "Z" {
		return process{}, false
	}
	return process{pid: pid, start: f[19], name: string(b[open+1 : end])}, true
}

// mountsBelow returns the mount points in this process's mount namespace that
// lie below dir or show it in their options, deepest first.
func mountsBelow(dir string) []string {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var at []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); strings.Contains(line, dir) {
			at = append(at, f[4])
		}
	}
	slices.Reverse(at)
	return at
}

// cgroups returns every cgroup with name in its path, in all hierarchies.
func cgroups(name string) []string {
	var all []string
	filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fs.SkipDir // removed while we looked
		case d.IsDir() && strings.Contains(path, name):
			all = append(all, path)
		}
		return nil
	})
	return all
}

// links returns the network interfaces whose names begin with name.
func links(t testing.TB, n *network, name string) []string {
	t.Helper()
	names := []string{}
	err := n.within(func() error {
		all, err := net.Interfaces()
		for _, i := range all {
			if strings.HasPrefix(i.Name, name) {
				names = append(names, i.Name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// tables returns the packet filter's tables whose names begin with name.
func tables(t testing.TB, n *network, name string) []string {
	t.Helper()
	names := []string{}
	err := n.within(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		all, err := c.ListTables()
		for _, table := range all {
			if strings.HasPrefix(table.Name, name) {
				names = append(names, table.Name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// files returns what lies below dir at the patterns: sandboxes, disks, what was
// left unfinished.
func files(dir string, patterns ...string) []string {
	all := []string{}
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(dir, p))
		if err != nil {
			panic(err) // the patterns are ours
		}
		all = append(all, found...)
	}
	return all
}

// instanceProcesses returns the processes of the server's applications, by the
// program's file name: what runs inside, without the init that keeps it.
func (s *server) instanceProcesses(program string) []process {
	var all []process
	for _, pid := range inCgroup(slice(s.dir)) {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if err != nil || filepath.Base(exe) != program {
			continue
		}
		if p, ok := identify(pid); ok {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b process) int { return a.pid - b.pid })
	return all
}

// alive reports whether exactly this process, not one that took its id, runs.
func (p process) alive() bool {
	now, ok := identify(p.pid)
	return ok && now.start == p.start
}

// assertNoFilesNamed fails when a file below the data directory bears one of
// the ids in its path, logs excepted: they can be read for a while after a
// service's deletion.
func (s *server) assertNoFilesNamed(ids ...string) {
	s.t.Helper()
	eventually(s.t, "files of what was deleted are gone", func() (bool, string) {
		var left []string
		err := filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case path == filepath.Join(s.dir, "logs"):
				return fs.SkipDir
			}
			if slices.ContainsFunc(ids, func(id string) bool { return strings.Contains(path, id) }) {
				left = append(left, path)
			}
			return err
		})
		if err != nil {
			s.t.Fatal(err)
		}
		return len(left) == 0, strings.Join(left, "; ")
	})
}

// diskUsed returns the bytes that the data directory occupies.
func (s *server) diskUsed() int64 {
	var sum int64
	filepath.WalkDir(s.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if i, err := d.Info(); err == nil {
			if st, ok := i.Sys().(*syscall.Stat_t); ok {
				sum += st.Blocks * 512
			}
		}
		return nil
	})
	return sum
}
