package harness

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

// Resources are everything that a server leaves on a machine, by kind. All of it
// must be gone once the services are deleted.
type Resources map[string][]string

// Process is one process of the machine.
type Process struct {
	Pid   int
	start string // start time in clock ticks; with the pid it identifies the process
	Name  string
}

// ResourcesOf returns the resources of a server.
func ResourcesOf(s *Server) Resources {
	procs := []string{}
	inside := ProcessesInCgroup(CgroupName(s.DataDir))
	for _, p := range belonging(s.DataDir, append(s.own(), inside...)) {
		procs = append(procs, fmt.Sprintf("%d %s", p.Pid, p.Name))
	}
	for _, pid := range inside {
		procs = append(procs, fmt.Sprintf("%d in its cgroup", pid))
	}
	return Resources{
		"process": procs,
		"mount":   mountsBelow(s.DataDir),
		"cgroup":  cgroups(CgroupName(s.DataDir)),
		"link":    links(s.T, s.net, networkName(s.DataDir)),
		"table":   tables(s.T, s.net, networkName(s.DataDir)),
		"file":    files(s.DataDir, "runtime/*/*", "images/tmp/*"),
	}
}

// CgroupName is the name of the cgroup of a server's sandboxes, and networkName the
// prefix of its network interfaces. They differ between the servers of a machine.
// TestLife checks that resources with these names exist while services run, since
// a search for the wrong names would never find a leak.
func CgroupName(dir string) string {
	return fmt.Sprintf("slipway-%08x", hash(filepath.Join(dir, "runtime")))
}

func networkName(dir string) string { return fmt.Sprintf("sw%06x", hash(dir)&0xffffff) }

func hash(dir string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(dir))
	return h.Sum32()
}

// own returns the server's own process and this one.
func (s *Server) own() []int {
	own := []int{os.Getpid()}
	if p, _ := s.running(); p != nil {
		own = append(own, p.Pid)
	}
	return own
}

// missingFrom returns the resources in w that are not in before.
func (w Resources) missingFrom(before Resources) []string {
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

// AssertNothingLeft fails unless everything that the server made is gone. The
// services must be deleted and the server must have ended.
func (s *Server) AssertNothingLeft() {
	s.T.Helper()
	Eventually(s.T, "nothing is left behind", func() (bool, string) {
		left := ResourcesOf(s).missingFrom(s.Before)
		return len(left) == 0, strings.Join(left, "; ")
	})
}

// belonging returns the processes that refer to dir by their command line,
// environment, working directory, binary, open files or mounts, except the given
// ones. It finds instances without knowing how the server names or groups them.
func belonging(dir string, except []int) []Process {
	var all []Process
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
		if name == "mountinfo" && sharesMounts(pid) {
			continue // every process sees the machine's mounts
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

// ProcessesInCgroup returns the processes in cgroups with name in their path.
func ProcessesInCgroup(name string) []int {
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

// sharesMounts reports whether the process is in the mount namespace of this one,
// or can't be inspected.
func sharesMounts(pid int) bool {
	ours, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return true
	}
	its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	return err != nil || its == ours
}

// identify returns a process by its id, and false for one that is gone or a
// zombie.
func identify(pid int) (Process, bool) {
	p, state := readStat(pid)
	return p, state != "" && state != "Z"
}

// readStat returns a process, whether or not it has ended, and its state; "" if there is
// none.
func readStat(pid int) (p Process, state string) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return p, ""
	}
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 20 {
		return p, ""
	}
	return Process{Pid: pid, start: f[19], Name: string(b[open+1 : end])}, f[0]
}

// mountsBelow returns the mount points of this process's mount namespace that are
// below dir or name it in their options, deepest first.
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
func links(t testing.TB, n *Network, name string) []string {
	t.Helper()
	names := []string{}
	err := n.Do(func() error {
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
func tables(t testing.TB, n *Network, name string) []string {
	t.Helper()
	names := []string{}
	err := n.Do(func() error {
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

// Rules returns how many rules the packet filter has in the server's tables, and how many
// elements are in their sets.
func (s *Server) Rules() (rules, elements int) {
	s.T.Helper()
	err := s.net.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		chains, err := c.ListChains()
		if err != nil {
			return err
		}
		for _, chain := range chains {
			if strings.HasPrefix(chain.Table.Name, networkName(s.DataDir)) {
				list, _ := c.GetRules(chain.Table, chain) // it may be gone by now
				rules += len(list)
			}
		}
		all, err := c.ListTables()
		for _, table := range all {
			if !strings.HasPrefix(table.Name, networkName(s.DataDir)) {
				continue
			}
			sets, _ := c.GetSets(table)
			for _, set := range sets {
				list, _ := c.GetSetElements(set)
				elements += len(list)
			}
		}
		return err
	})
	if err != nil {
		s.T.Fatal(err)
	}
	return rules, elements
}

// files returns the files below dir that match the patterns: sandboxes, disks,
// unfinished downloads.
func files(dir string, patterns ...string) []string {
	all := []string{}
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(dir, p))
		if err != nil {
			panic(err) // a pattern is malformed
		}
		all = append(all, found...)
	}
	return all
}

// InstanceProcesses returns the processes of the server's instances that run a
// program of that file name. The init of an instance is not among them.
func (s *Server) InstanceProcesses(program string) []Process {
	var all []Process
	for _, pid := range ProcessesInCgroup(CgroupName(s.DataDir)) {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if err != nil || filepath.Base(exe) != program {
			continue
		}
		if p, ok := identify(pid); ok {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b Process) int { return a.Pid - b.Pid })
	return all
}

// Reaped reports whether this very process is gone: none of its threads is left, and its
// connections are closed. A process that has ended may have threads that have not.
func (p Process) Reaped() bool {
	now, state := readStat(p.Pid)
	return state == "" || now.start != p.start
}

// Alive reports whether this very process runs, and not another with its pid.
func (p Process) Alive() bool {
	now, ok := identify(p.Pid)
	return ok && now.start == p.start
}

// AssertNoFilesNamed fails when the path of a file below the data directory contains
// one of the ids. Logs are excepted, since they outlive a service for a while.
func (s *Server) AssertNoFilesNamed(ids ...string) {
	s.T.Helper()
	Eventually(s.T, "files of what was deleted are gone", func() (bool, string) {
		var left []string
		err := filepath.WalkDir(s.DataDir, func(path string, _ fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case path == filepath.Join(s.DataDir, "logs"):
				return fs.SkipDir
			}
			if slices.ContainsFunc(ids, func(id string) bool { return strings.Contains(path, id) }) {
				left = append(left, path)
			}
			return err
		})
		if err != nil {
			s.T.Fatal(err)
		}
		return len(left) == 0, strings.Join(left, "; ")
	})
}

// DiskUsed returns the bytes that the data directory occupies on disk.
func (s *Server) DiskUsed() int64 {
	var sum int64
	filepath.WalkDir(s.DataDir, func(_ string, d fs.DirEntry, err error) error {
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
