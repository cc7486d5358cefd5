package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Group is one cgroup, in each of the slice's hierarchies. A Group is a name:
// it may or may not exist.
type Group struct {
	slice *Slice
	name  string
}

// Group returns the group with this name.
func (s *Slice) Group(name string) Group { return Group{s, name} }

func (g Group) path(t tree, file string) string {
	return filepath.Join(t.root, g.slice.name, g.name, file)
}

// tree returns the hierarchy that a controller is on.
func (g Group) tree(controller string) (tree, bool) {
	for _, t := range g.slice.trees {
		if t.has(controller) {
			return t, true
		}
	}
	return tree{}, false
}

// Create makes the group. It must not exist.
func (g Group) Create() error {
	for _, t := range g.slice.trees {
		if err := os.Mkdir(g.path(t, ""), 0o755); err != nil {
			return errors.Join(err, g.Remove())
		}
	}
	return nil
}

// Open returns the group's directory in version 2, for CLONE_INTO_CGROUP. It
// is nil on hosts where version 2 has none of the controllers.
func (g Group) Open() (*os.File, error) {
	for _, t := range g.slice.trees {
		if t.unified {
			return os.Open(g.path(t, ""))
		}
	}
	return nil, nil
}

// Add moves a process into the group in all hierarchies but that of Open, in which
// the process has to be started.
func (g Group) Add(pid int) error {
	for _, t := range g.slice.trees {
		if t.unified {
			continue
		}
		if err := write(g.path(t, "cgroup.procs"), strconv.Itoa(pid)); err != nil {
			return err
		}
	}
	return nil
}

// Limits bound what the processes of a group may use together. Zero means
// without bound.
type Limits struct {
	CPU    int   // 1024 are one core
	Memory int64 // bytes, with nothing swapped out
	Pids   int   // processes and threads

	// Background processes get processor time that no other group of the slice wants,
	// and the least share of the disks, where the kernel can share them.
	Background bool

	// Rates bound what the group may do to each of the Disks, "major:minor".
	Rates Rates
	Disks []string
}

// Rates bound the use of a disk, each second. Zero means without bound.
//
// In version 1 the kernel throttles only what a process of the group does itself: reads that
// are not cached, and direct or synchronous writes. What it writes back later counts for nobody.
type Rates struct {
	ReadBytes, WriteBytes int64
	ReadOps, WriteOps     int64
}

// period is the time over which a share of a core is accounted.
const period = 100 * time.Millisecond

// SetLimits sets the limits, as far as the host has the controllers.
func (g Group) SetLimits(l Limits) error {
	type setting struct {
		controller string
		wanted     bool
		set        func(tree, Limits) error
	}
	for _, s := range []setting{
		{Memory, l.Memory > 0, g.limitMemory},
		{CPU, l.CPU > 0, g.limitCPU},
		{Pids, l.Pids > 0, g.limitPids},
		{IO, l.Background, g.limitIO},
	} {
		t, ok := g.tree(s.controller)
		if !ok || !s.wanted {
			continue
		}
		if err := s.set(t, l); err != nil {
			return fmt.Errorf("limit %s: %w", s.controller, err)
		}
	}
	if l.Rates != (Rates{}) {
		return g.limitRates(l)
	}
	return nil
}

// limitRates throttles the group's use of disks.
func (g Group) limitRates(l Limits) error {
	two, unified := g.tree(IO)
	one, old := g.tree(BlkIO)
	if !unified && !old {
		return errors.New("limit the use of disks: this machine has neither the io controller of cgroup version 2 nor blkio of version 1")
	}
	for _, disk := range l.Disks {
		var err error
		if unified {
			err = write(g.path(two, "io.max"), l.Rates.line(disk))
		} else {
			err = g.throttle(one, disk, l.Rates)
		}
		if err != nil {
			return fmt.Errorf("limit the use of disk %s: %w", disk, err)
		}
	}
	return nil
}

// line is what version 2 takes for a disk.
func (r Rates) line(disk string) string {
	line := disk
	for _, v := range []struct {
		name  string
		value int64
	}{{"rbps", r.ReadBytes}, {"wbps", r.WriteBytes}, {"riops", r.ReadOps}, {"wiops", r.WriteOps}} {
		value := "max"
		if v.value > 0 {
			value = strconv.FormatInt(v.value, 10)
		}
		line += " " + v.name + "=" + value
	}
	return line
}

// throttle is limitRates in version 1.
func (g Group) throttle(t tree, disk string, r Rates) error {
	for name, value := range map[string]int64{"read_bps": r.ReadBytes, "write_bps": r.WriteBytes, "read_iops": r.ReadOps, "write_iops": r.WriteOps} {
		if value <= 0 {
			continue
		}
		if err := write(g.path(t, "blkio.throttle."+name+"_device"), fmt.Sprintf("%s %d", disk, value)); err != nil {
			return err
		}
	}
	return nil
}

func (g Group) limitMemory(t tree, l Limits) error {
	bytes := strconv.FormatInt(l.Memory, 10)
	if t.unified {
		if err := write(g.path(t, "memory.max"), bytes); err != nil {
			return err
		}
		return optional(write(g.path(t, "memory.swap.max"), "0"))
	}
	if err := write(g.path(t, "memory.limit_in_bytes"), bytes); err != nil {
		return err
	}
	return optional(write(g.path(t, "memory.memsw.limit_in_bytes"), bytes))
}

// optional ignores that a kernel does not have the file: it does not account swap
// then.
func optional(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// leastQuota is the least that kernels allow a group in a period.
const leastQuota = time.Millisecond

// SetCPU changes how much processor time the group may use: 1024 are one core. Its share
// where groups compete stays. A host without the controller bounds nothing.
func (g Group) SetCPU(cpu int) error {
	t, ok := g.tree(CPU)
	if !ok {
		return nil
	}
	quota := max(period.Microseconds()*int64(cpu)/1024, leastQuota.Microseconds())
	if t.unified {
		return write(g.path(t, "cpu.max"), fmt.Sprintf("%d %d", quota, period.Microseconds()))
	}
	return write(g.path(t, "cpu.cfs_quota_us"), strconv.FormatInt(quota, 10))
}

func (g Group) limitCPU(t tree, l Limits) error {
	if !t.unified {
		if err := write(g.path(t, "cpu.cfs_period_us"), strconv.FormatInt(period.Microseconds(), 10)); err != nil {
			return err
		}
	}
	if err := g.SetCPU(l.CPU); err != nil {
		return err
	}
	if t.unified {
		if l.Background {
			return g.yieldCPU(t, "cpu.weight", "1")
		}
		// The default of 100 is what a whole core gets.
		weight := min(max(l.CPU*100/1024, 1), 10_000)
		return write(g.path(t, "cpu.weight"), strconv.Itoa(weight))
	}
	if l.Background {
		return g.yieldCPU(t, "cpu.shares", "2")
	}
	return write(g.path(t, "cpu.shares"), strconv.Itoa(max(l.CPU, 2)))
}

// yieldCPU lets the group have the processor time that its siblings leave. Kernels
// before 5.15 cannot do that; there it gets the smallest share.
func (g Group) yieldCPU(t tree, file, least string) error {
	err := write(g.path(t, "cpu.idle"), "1")
	if errors.Is(err, fs.ErrNotExist) {
		return write(g.path(t, file), least)
	}
	return err
}

// limitIO gives the group the smallest share of each disk. A kernel has one of the
// files, or both, or none, with the ways to share disks that it was made with.
func (g Group) limitIO(t tree, _ Limits) error {
	return errors.Join(
		optional(write(g.path(t, "io.weight"), "default 1")),
		optional(write(g.path(t, "io.bfq.weight"), "default 1")),
	)
}

func (g Group) limitPids(t tree, l Limits) error {
	return write(g.path(t, "pids.max"), strconv.Itoa(l.Pids))
}

// PidsRefused returns how often a process or thread could not be made because of the
// group's limit.
func (g Group) PidsRefused() (int64, error) {
	t, ok := g.tree(Pids)
	if !ok {
		return 0, nil
	}
	return keyed(g.path(t, "pids.events"), "max")
}

// Procs returns the ids of the processes in the group, of all hierarchies
// together. A group that does not exist has none.
func (g Group) Procs() ([]int, error) {
	var all []int
	for _, t := range g.slice.trees {
		b, err := os.ReadFile(g.path(t, "cgroup.procs"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for field := range strings.FieldsSeq(string(b)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				return nil, fmt.Errorf("%s holds %q", g.path(t, "cgroup.procs"), field)
			}
			// 0 is a process outside of this pid namespace.
			if pid > 0 && !slices.Contains(all, pid) {
				all = append(all, pid)
			}
		}
	}
	return all, nil
}

// Holds reports whether a process is in the group, in every hierarchy that limits it. A
// process that has ended is in none.
func (g Group) Holds(pid int) (bool, error) {
	in, err := membership(pid)
	if err != nil {
		return false, err
	}
	for _, t := range g.slice.trees {
		if !strings.HasSuffix(in[t.first()], "/"+g.slice.name+"/"+g.name) {
			return false, nil
		}
	}
	return true, nil
}

// GroupOf returns the name of the slice's group that holds a process, "" if none does.
func (s *Slice) GroupOf(pid int) (string, error) {
	in, err := membership(pid)
	if err != nil || len(s.trees) == 0 {
		return "", err
	}
	dir, name := filepath.Split(in[s.trees[0].first()])
	if !strings.HasSuffix(dir, "/"+s.name+"/") {
		return "", nil
	}
	held, err := s.Group(name).Holds(pid)
	if err != nil || !held {
		return "", err
	}
	return name, nil
}

// first is a controller of the tree, as membership has it.
func (t tree) first() string {
	if t.unified {
		return ""
	}
	return t.controllers[0]
}

// membership returns the groups of a process by controller; version 2 has the controller "".
func membership(pid int) (map[string]string, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return nil, err
	}
	in := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if _, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":"); ok {
			controllers, path, _ := strings.Cut(rest, ":")
			for c := range strings.SplitSeq(controllers, ",") {
				in[c] = path
			}
		}
	}
	return in, nil
}

// Usage is what a group's processes have used, dead ones included.
type Usage struct {
	CPU    time.Duration
	Memory int64 // bytes now, without file pages that are easily dropped
	Pids   int
}

// Usage measures the group.
func (g Group) Usage() (Usage, error) {
	var u Usage
	var errs [3]error
	u.CPU, errs[0] = g.CPU()
	u.Memory, errs[1] = g.usedMemory()
	if t, ok := g.tree(Pids); ok {
		var n int64
		n, errs[2] = number(g.path(t, "pids.current"))
		u.Pids = int(n)
	}
	return u, errors.Join(errs[:]...)
}

// CPU returns how much processor time the group's processes have used, dead ones
// included.
func (g Group) CPU() (time.Duration, error) {
	if t, ok := g.tree(CPUAcc); ok {
		ns, err := number(g.path(t, "cpuacct.usage"))
		return time.Duration(ns), err
	}
	if t, ok := g.tree(CPU); ok && t.unified {
		us, err := keyed(g.path(t, "cpu.stat"), "usage_usec")
		return time.Duration(us) * time.Microsecond, err
	}
	return 0, nil
}

func (g Group) usedMemory() (int64, error) {
	t, ok := g.tree(Memory)
	if !ok {
		return 0, nil
	}
	file, key := "memory.usage_in_bytes", "total_inactive_file"
	if t.unified {
		file, key = "memory.current", "inactive_file"
	}
	used, err := number(g.path(t, file))
	if err != nil {
		return 0, err
	}
	inactive, err := keyed(g.path(t, "memory.stat"), key)
	return max(used-inactive, 0), err
}

// OOMKills returns how many processes the kernel killed because the group had
// no memory left.
func (g Group) OOMKills() (int, error) {
	t, ok := g.tree(Memory)
	if !ok {
		return 0, nil
	}
	file := "memory.oom_control"
	if t.unified {
		file = "memory.events"
	}
	n, err := keyed(g.path(t, file), "oom_kill")
	return int(n), err
}

// Remove removes the group. A group that does not exist is removed already. It
// fails for a group that has processes, or had some a moment ago.
func (g Group) Remove() error {
	var errs []error
	for _, t := range g.slice.trees {
		if err := os.Remove(g.path(t, "")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// number reads a file that holds one number.
func number(path string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

// keyed reads a number from a file of lines "key number", 0 if the kernel does
// not know the key.
func keyed(path, key string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if k, value, _ := strings.Cut(lines.Text(), " "); k == key {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", path, err)
			}
			return n, nil
		}
	}
	return 0, lines.Err()
}
