package cgroup_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/runtime/embedded/cgroup"
)

// host is a made-up machine: directories in place of mounted hierarchies.
type host struct {
	*testing.T
	root string
	info strings.Builder
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{T: t, root: t.TempDir()}
	h.info.WriteString("22 1 8:1 / / rw - ext4 /dev/vda rw\n24 22 0:5 / /proc rw,relatime - proc proc rw\n")
	return h
}

// mount adds a hierarchy.
func (h *host) mount(dir, kind, options string) string {
	path := filepath.Join(h.root, dir)
	h.dir(path)
	fmt.Fprintf(&h.info, "30 22 0:26 / %s rw,nosuid shared:9 - %s cgroup rw,%s\n", strings.ReplaceAll(path, " ", `\040`), kind, options)
	return path
}

// unified adds version 2 with these controllers.
func (h *host) unified(dir, controllers string) string {
	path := h.mount(dir, "cgroup2", "nsdelegate")
	h.file(path+"/cgroup.controllers", controllers+"\n")
	h.file(path+"/cgroup.subtree_control", "cpu\n")
	return path
}

func (h *host) dir(path string) {
	h.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		h.Fatal(err)
	}
}

func (h *host) file(path, text string) {
	h.Helper()
	h.dir(filepath.Dir(path))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.Fatal(err)
	}
}

// files makes a group's files, as the kernel does for a new directory.
func (h *host) files(dir string, names ...string) {
	h.Helper()
	for _, name := range names {
		h.file(filepath.Join(dir, name), "")
	}
}

// has checks a file's text.
func (h *host) has(path, want string) {
	h.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		h.Errorf("%s holds %q, want %q (%v)", path, got, want, err)
	}
}

func (h *host) find() *cgroup.Slice {
	h.Helper()
	s, err := cgroup.Find([]byte(h.info.String()), "boats")
	if err != nil {
		h.Fatal(err)
	}
	return s
}

func (h *host) make(s *cgroup.Slice) {
	h.Helper()
	if err := s.Make(); err != nil {
		h.Fatal(err)
	}
}

var limits = cgroup.Limits{CPU: 256, Memory: 512 << 20, Pids: 1032}

func TestVersion1(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	cpu, memory, pids := h.mount("cpu,cpuacct", "cgroup", "cpu,cpuacct"), h.mount("memory", "cgroup", "memory"), h.mount("pids", "cgroup", "pids")
	h.mount("systemd", "cgroup", "xattr,name=systemd")
	freezer := h.mount("freezer", "cgroup", "freezer")
	cpuset := h.mount("cpuset", "cgroup", "cpuset")
	h.file(cpuset+"/cpuset.cpus", "0-3\n")
	h.file(cpuset+"/cpuset.mems", "0\n")
	h.files(cpuset+"/boats", "cpuset.cpus", "cpuset.mems", "cgroup.clone_children")
	s := h.find()
	h.make(s)
	h.make(s) // again is nothing new
	h.has(cpuset+"/boats/cpuset.cpus", "0-3")
	h.has(cpuset+"/boats/cpuset.mems", "0")
	h.has(cpuset+"/boats/cgroup.clone_children", "1") // so that groups get the same

	want := []cgroup.Mount{{Name: "cpu,cpuacct", Options: "cpu,cpuacct"}, {Name: "memory", Options: "memory"}, {Name: "pids", Options: "pids"}, {Name: "cpuset", Options: "cpuset"}}
	if diff := cmp.Diff(want, s.Mounts()); diff != "" {
		t.Error(diff)
	}
	g := s.Group("a")
	if err := g.Create(); err != nil {
		t.Fatal(err)
	}
	if dir, err := g.Open(); dir != nil || err != nil {
		t.Errorf("on version 1 Open gave %v, %v", dir, err)
	}
	h.files(cpu+"/boats/a", "cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.shares", "cgroup.procs")
	h.files(memory+"/boats/a", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cgroup.procs")
	h.files(pids+"/boats/a", "pids.max", "cgroup.procs")
	h.files(cpuset+"/boats/a", "cgroup.procs")
	h.files(freezer+"/boats/a", "cgroup.procs")
	if err := g.SetLimits(limits); err != nil {
		t.Fatal(err)
	}
	h.has(cpu+"/boats/a/cpu.cfs_period_us", "100000")
	h.has(cpu+"/boats/a/cpu.cfs_quota_us", "25000")
	h.has(cpu+"/boats/a/cpu.shares", "256")
	h.has(memory+"/boats/a/memory.limit_in_bytes", "536870912")
	h.has(memory+"/boats/a/memory.memsw.limit_in_bytes", "536870912")
	h.has(pids+"/boats/a/pids.max", "1032")

	h.file(cpu+"/boats/a/cpu.cfs_quota_us", "")
	if err := g.SetCPU(5); err != nil { // less than kernels take
		t.Fatal(err)
	}
	h.has(cpu+"/boats/a/cpu.cfs_quota_us", "1000")

	if err := g.Add(77); err != nil {
		t.Fatal(err)
	}
	for _, tree := range []string{cpu, memory, pids, cpuset, freezer} {
		h.has(tree+"/boats/a/cgroup.procs", "77")
	}

	h.file(cpu+"/boats/a/cpuacct.usage", "1500000000\n")
	h.file(memory+"/boats/a/memory.usage_in_bytes", "10000\n")
	h.file(memory+"/boats/a/memory.stat", "cache 4000\ninactive_file 100\ntotal_inactive_file 3000\n")
	h.file(pids+"/boats/a/pids.current", "12\n")
	u, err := g.Usage()
	if want := (cgroup.Usage{CPU: 1500 * time.Millisecond, Memory: 7000, Pids: 12}); u != want || err != nil {
		t.Errorf("usage is %+v, %v, want %+v", u, err, want)
	}
	h.file(memory+"/boats/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
	if n, err := g.OOMKills(); n != 3 || err != nil {
		t.Errorf("%d kills, %v", n, err)
	}
}

func TestVersion1WithoutSwapAccounting(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	memory := h.mount("memory", "cgroup", "memory")
	s := h.find()
	h.make(s)
	h.files(memory+"/boats/a", "memory.limit_in_bytes")
	if err := s.Group("a").SetLimits(limits); err != nil {
		t.Error(err)
	}
	if !s.Has(cgroup.Memory) || s.Has(cgroup.CPU) || s.Has(cgroup.Pids) {
		t.Error("the machine has only memory limits")
	}
}

func TestVersion2(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	root := h.unified("cg roup", "cpuset cpu io memory hugetlb pids rdma")
	h.files(root+"/boats", "cgroup.subtree_control")
	s := h.find()
	h.make(s)
	h.has(root+"/cgroup.subtree_control", "+memory +pids +io") // cpu was there
	h.has(root+"/boats/cgroup.subtree_control", "+cpu +memory +pids +io")
	if diff := cmp.Diff([]cgroup.Mount{{}}, s.Mounts()); diff != "" {
		t.Error(diff)
	}
	g := s.Group("a")
	if err := g.Create(); err != nil {
		t.Fatal(err)
	}
	dir, err := g.Open()
	if err != nil || dir == nil || dir.Name() != root+"/boats/a" {
		t.Fatalf("Open gave %v, %v", dir, err)
	}
	dir.Close()
	h.files(root+"/boats/a", "cpu.max", "cpu.weight", "memory.max", "memory.swap.max", "pids.max", "cgroup.procs")
	if err := g.SetLimits(limits); err != nil {
		t.Fatal(err)
	}
	h.has(root+"/boats/a/cpu.max", "25000 100000")
	h.has(root+"/boats/a/cpu.weight", "25")
	h.has(root+"/boats/a/memory.max", "536870912")
	h.has(root+"/boats/a/memory.swap.max", "0")
	h.has(root+"/boats/a/pids.max", "1032")
	h.file(root+"/boats/a/cpu.max", "")
	if err := g.SetCPU(51); err != nil {
		t.Fatal(err)
	}
	h.has(root+"/boats/a/cpu.max", "4980 100000")
	h.has(root+"/boats/a/cpu.weight", "25") // stays
	if err := g.Add(77); err != nil {
		t.Fatal(err)
	}
	h.has(root+"/boats/a/cgroup.procs", "") // begun there: nothing to move

	h.file(root+"/boats/a/cpu.stat", "usage_usec 2500\nuser_usec 2000\n")
	h.file(root+"/boats/a/memory.current", "9000\n")
	h.file(root+"/boats/a/memory.stat", "anon 1000\ninactive_file 500\n")
	h.file(root+"/boats/a/pids.current", "3\n")
	u, err := g.Usage()
	if want := (cgroup.Usage{CPU: 2500 * time.Microsecond, Memory: 8500, Pids: 3}); u != want || err != nil {
		t.Errorf("usage is %+v, %v, want %+v", u, err, want)
	}
	h.file(root+"/boats/a/memory.events", "low 0\nhigh 0\nmax 4\noom 2\noom_kill 1\n")
	if n, err := g.OOMKills(); n != 1 || err != nil {
		t.Errorf("%d kills, %v", n, err)
	}
	h.file(root+"/boats/a/pids.events", "max 5\n")
	if n, err := g.PidsRefused(); n != 5 || err != nil {
		t.Errorf("%d processes were refused, %v", n, err)
	}
}

// TestBackground gives a group what its siblings leave, as far as the kernel can.
func TestBackground(t *testing.T) {
	t.Parallel()
	background := limits
	background.Background = true
	for name, c := range map[string]struct {
		files []string
		want  map[string]string
	}{
		"new kernel": {
			[]string{"cpu.idle", "cpu.weight", "io.weight", "io.bfq.weight"},
			map[string]string{"cpu.idle": "1", "cpu.weight": "", "io.weight": "default 1", "io.bfq.weight": "default 1"},
		},
		"before 5.15":       {[]string{"cpu.weight", "io.bfq.weight"}, map[string]string{"cpu.weight": "1", "io.bfq.weight": "default 1"}},
		"disks not shared":  {[]string{"cpu.idle"}, map[string]string{"cpu.idle": "1"}},
		"version 1":         {[]string{"cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.idle", "cpu.shares"}, map[string]string{"cpu.cfs_quota_us": "25000", "cpu.idle": "1", "cpu.shares": ""}},
		"version 1, before": {[]string{"cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.shares"}, map[string]string{"cpu.shares": "2"}},
	} {
		h := newHost(t)
		root := ""
		if strings.HasPrefix(name, "version 1") {
			root = h.mount("cpu", "cgroup", "cpu")
		} else {
			root = h.unified("unified", "cpu io memory pids")
			h.files(root+"/boats", "cgroup.subtree_control")
			c.files = append(c.files, "cpu.max", "memory.max", "pids.max")
		}
		s := h.find()
		h.make(s)
		g := s.Group("a")
		h.files(root+"/boats/a", c.files...)
		if err := g.SetLimits(background); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for file, want := range c.want {
			h.has(root+"/boats/a/"+file, want)
		}
	}
}

// TestRates throttles disks in either version, and refuses where nothing can.
func TestRates(t *testing.T) {
	t.Parallel()
	fast := limits
	fast.Rates = cgroup.Rates{ReadBytes: 1 << 20, WriteOps: 500}
	fast.Disks = []string{"8:0", "7:3"}

	h := newHost(t)
	blkio := h.mount("blkio", "cgroup", "blkio")
	memory := h.mount("memory", "cgroup", "memory")
	h.files(memory+"/boats/a", "memory.limit_in_bytes")
	s := h.find()
	h.make(s)
	if mounts := s.Mounts(); !slices.Equal(mounts, []cgroup.Mount{{Name: "memory", Options: "memory"}}) {
		t.Errorf("instances see %v", mounts)
	}
	h.files(blkio+"/boats/a", "blkio.throttle.read_bps_device", "blkio.throttle.write_iops_device") // and not the others: no line for them
	if err := s.Group("a").SetLimits(fast); err != nil {
		t.Error(err)
	}
	h.has(blkio+"/boats/a/blkio.throttle.read_bps_device", "7:3 1048576") // the last line that the kernel was given
	h.has(blkio+"/boats/a/blkio.throttle.write_iops_device", "7:3 500")

	h = newHost(t)
	root := h.unified("unified", "cpu io memory pids")
	h.files(root+"/boats", "cgroup.subtree_control")
	s = h.find()
	h.make(s)
	h.files(root+"/boats/a", "cpu.max", "cpu.weight", "memory.max", "pids.max", "io.max")
	if err := s.Group("a").SetLimits(fast); err != nil {
		t.Error(err)
	}
	h.has(root+"/boats/a/io.max", "7:3 rbps=1048576 wbps=max riops=max wiops=500")

	h = newHost(t)
	memory = h.mount("memory", "cgroup", "memory")
	h.files(memory+"/boats/a", "memory.limit_in_bytes")
	s = h.find()
	h.make(s)
	if err := s.Group("a").SetLimits(fast); err == nil {
		t.Error("limits of disks were accepted where nothing can set them")
	}
}

func TestHybrid(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	unified := h.unified("unified", "memory pids")
	h.files(unified+"/boats", "cgroup.subtree_control")
	cpu := h.mount("cpu", "cgroup", "cpu")
	s := h.find()
	h.make(s)
	want := []cgroup.Mount{{Name: "unified"}, {Name: "cpu", Options: "cpu"}}
	if diff := cmp.Diff(want, s.Mounts()); diff != "" {
		t.Error(diff)
	}
	g := s.Group("a")
	if err := g.Create(); err != nil {
		t.Fatal(err)
	}
	h.files(cpu+"/boats/a", "cgroup.procs")
	h.files(unified+"/boats/a", "cgroup.procs")
	if err := g.Add(5); err != nil {
		t.Fatal(err)
	}
	h.has(cpu+"/boats/a/cgroup.procs", "5")
	h.has(unified+"/boats/a/cgroup.procs", "")
	h.file(unified+"/boats/a/cgroup.procs", "5\n6\n0\n")
	if pids, err := g.Procs(); !slices.Equal(pids, []int{5, 6}) || err != nil {
		t.Errorf("processes are %v, %v", pids, err)
	}
	h.dir(cpu + "/boats/b")
	if names, err := s.Names(); !slices.Equal(names, []string{"a", "b"}) || err != nil {
		t.Errorf("groups are %v, %v", names, err)
	}
}

// TestUnifiedWithoutControllers is a hybrid host whose controllers are all on
// version 1: version 2 is of no use.
func TestUnifiedWithoutControllers(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.unified("unified", "")
	h.mount("memory", "cgroup", "memory")
	if diff := cmp.Diff([]cgroup.Mount{{Name: "memory", Options: "memory"}}, h.find().Mounts()); diff != "" {
		t.Error(diff)
	}
}

func TestNoCgroups(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.mount("freezer", "cgroup", "freezer")
	if _, err := cgroup.Find([]byte(h.info.String()), "boats"); err == nil {
		t.Error("a machine without the controllers was accepted")
	}
}

func TestMissingGroup(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.mount("memory", "cgroup", "memory")
	s := h.find()
	h.make(s)
	g := s.Group("gone")
	if pids, err := g.Procs(); len(pids) > 0 || err != nil {
		t.Errorf("a group that does not exist has the processes %v, %v", pids, err)
	}
	if err := g.Remove(); err != nil {
		t.Errorf("removing a group that does not exist: %v", err)
	}
	if _, err := g.Usage(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("measuring a group that does not exist: %v", err)
	}
}

// FuzzFind reads mountinfo of any content.
func FuzzFind(f *testing.F) {
	if b, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		f.Add(b)
	}
	f.Add([]byte("30 22 0:26 / /nowhere/memory rw - cgroup cgroup rw,memory\n"))
	f.Add([]byte("30 22 0:26 / /nowhere rw - cgroup2 cgroup2 rw\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := cgroup.Find(b, "boats")
		if err == nil && len(s.Mounts()) == 0 {
			t.Error("no hierarchy was found, and no error returned")
		}
	})
}

// TestKernel does it all on this machine's own hierarchies.
func TestKernel(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("makes cgroups: needs root")
	}
	t.Parallel()
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	s, err := cgroup.Find(info, fmt.Sprintf("slipway-test-%d", os.Getpid()))
	if err != nil {
		t.Skip(err)
	}
	if err := s.Make(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	g := s.Group("a")
	if err := g.Create(); err != nil {
		t.Fatal(err)
	}
	if err := g.SetLimits(limits); err != nil {
		t.Error(err)
	}
	background := limits
	background.Background = true
	if err := g.SetLimits(background); err != nil {
		t.Error(err)
	}
	sleeper := exec.CommandContext(t.Context(), "sleep", "1h")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer sleeper.Wait()
	defer sleeper.Process.Kill()
	if dir, err := g.Open(); err != nil {
		t.Error(err)
	} else if dir != nil {
		// What CLONE_INTO_CGROUP does.
		if err := os.WriteFile(dir.Name()+"/cgroup.procs", []byte(fmt.Sprint(sleeper.Process.Pid)), 0); err != nil {
			t.Error(err)
		}
		dir.Close()
	}
	if err := g.Add(sleeper.Process.Pid); err != nil {
		t.Error(err)
	}
	if pids, err := g.Procs(); !slices.Equal(pids, []int{sleeper.Process.Pid}) || err != nil {
		t.Errorf("processes are %v, %v", pids, err)
	}
	if u, err := g.Usage(); err != nil || s.Has(cgroup.Pids) && u.Pids != 1 {
		t.Errorf("usage is %+v, %v", u, err)
	}
	if n, err := g.OOMKills(); n != 0 || err != nil {
		t.Errorf("%d kills, %v", n, err)
	}
	if err := g.Remove(); err == nil {
		t.Error("a group with a process in it was removed")
	}
	sleeper.Process.Kill()
	sleeper.Wait()
	deadline := time.Now().Add(time.Minute)
	for err = g.Remove(); err != nil && time.Now().Before(deadline); err = g.Remove() {
	}
	if err != nil {
		t.Error(err)
	}
	if names, err := s.Names(); len(names) > 0 || err != nil {
		t.Errorf("left are %v, %v", names, err)
	}
}

// A group is frozen as long as the slice is in use, so that the kernel never thaws the last
// frozen group of the machine. It is none of the driver's groups.
func TestHoldsFreezer(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	freezer, memory := h.mount("freezer", "cgroup", "freezer"), h.mount("memory", "cgroup", "memory")
	h.files(freezer+"/boats/frozen", "freezer.state")
	s := h.find()
	h.make(s)
	h.has(freezer+"/boats/frozen/freezer.state", "FROZEN")
	if names, err := s.Names(); len(names) > 0 || err != nil {
		t.Errorf("groups %v, %v", names, err)
	}
	if err := s.Group("a").Create(); err != nil {
		t.Fatal(err)
	}
	if names, err := s.Names(); !slices.Equal(names, []string{"a"}) || err != nil {
		t.Errorf("groups %v, %v", names, err)
	}
	if err := errors.Join(s.Group("a").Remove(), os.Remove(freezer+"/boats/frozen/freezer.state")); err != nil { // as the kernel does with the directory
		t.Fatal(err)
	}
	s.Close()
	for _, dir := range []string{freezer, memory} {
		if _, err := os.Stat(dir + "/boats"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after Close there is %s/boats: %v", dir, err)
		}
	}
}

// A group that a daemon was about to freeze when it died counts as frozen: some of its
// processes may have stopped.
func TestHalfFrozen(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	one := newHost(t)
	root := h.unified("unified", "cpu memory pids")
	h.files(root+"/boats", "cgroup.subtree_control")
	freezer := one.mount("freezer", "cgroup", "freezer")
	one.mount("memory", "cgroup", "memory")
	two, old := h.find(), one.find()
	h.make(two)
	one.make(old)
	for name, g := range map[string]cgroup.Group{"a": two.Group("a"), "b": old.Group("b")} {
		if frozen, err := g.Frozen(); frozen || err != nil {
			t.Errorf("a group that is not there: frozen %t, %v", frozen, err)
		}
		set := func(wanted string) {
			h.file(root+"/boats/"+name+"/cgroup.freeze", wanted)
			h.file(root+"/boats/"+name+"/cgroup.events", "populated 1\nfrozen 0\n")
			h.file(freezer+"/boats/"+name+"/freezer.self_freezing", wanted)
			h.file(freezer+"/boats/"+name+"/freezer.state", "")
		}
		for _, wanted := range []string{"0", "1"} {
			set(wanted)
			if frozen, err := g.Frozen(); frozen != (wanted == "1") || err != nil {
				t.Errorf("it is to be frozen: %s; frozen %t, %v", wanted, frozen, err)
			}
		}
		set("")
	}
	// It does not stop, so the group runs on.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := two.Group("a").Freeze(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a freeze that was given up: %v", err)
	}
	h.has(root+"/boats/a/cgroup.freeze", "0")
}
