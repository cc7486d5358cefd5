package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/dirwatch"
	"github.com/openslipway/slipway/internal/runtime/embedded/cgroup"
)

// What somebody else removes of an instance comes back, or the instance ends with the
// reason and the fleet starts another one. The kernel tells what is removed; all is looked
// at now and then besides, for messages that were lost and for what no message tells. See
// ADR 047.

const (
	// groupsEvery is how often it is looked whether instances are in their cgroups: a
	// process that is moved out of one makes no message.
	groupsEvery = time.Minute
	// linksEvery is how often links are looked at of which no message came.
	linksEvery = 10 * time.Minute
)

// Reasons for instances that the driver ends since something was taken from them.
const (
	reasonGroup     = "its control group was removed, or its processes were moved out of it: its limits did not hold any more"
	reasonDirectory = "its directory was removed"
)

// Dirs returns the directories that the driver needs at any time.
func (d *Driver) Dirs() (dirs []string) {
	for _, name := range workDirs {
		dirs = append(dirs, filepath.Join(d.cfg.Dir, name))
	}
	return dirs
}

// keepWhole looks after what the instances have on the host until ctx ends.
func (d *Driver) keepWhole(ctx context.Context) error {
	groups, links := time.NewTicker(groupsEvery), time.NewTicker(linksEvery)
	defer groups.Stop()
	defer links.Stop()
	for {
		select {
		case <-groups.C:
			d.checkGroups()
		case <-links.C:
			for _, in := range d.known() {
				d.mendNetwork(ctx, in)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// watchGroups waits for cgroups that somebody removes.
func (d *Driver) watchGroups(ctx context.Context) error {
	return dirwatch.Watch(ctx, d.slice.Dirs(), func(dir, name string) {
		if dir == "" || name == "" || cgroup.IsHeld(name) {
			if err := d.slice.Restore(); err != nil {
				d.log.Error("the control group of all instances cannot be made again", "err", err)
			}
		}
		d.checkGroups()
	})
}

// watchInstances waits for directories of instances that somebody removes.
func (d *Driver) watchInstances(ctx context.Context) error {
	return dirwatch.Watch(ctx, []string{d.factory.path(dirInstances)}, func(_, name string) {
		for _, in := range d.known() {
			if name != "" && in.id != name || !in.alive() {
				continue
			}
			if _, err := os.Lstat(in.dir); errors.Is(err, fs.ErrNotExist) {
				d.endDamaged(in, reasonDirectory)
			}
		}
	})
}

// checkGroups ends the instances whose processes are not in their cgroups: nothing limits
// them. What limited them cannot be had again, since what they see of it is of the cgroup
// that is gone.
func (d *Driver) checkGroups() {
	for _, in := range d.known() {
		if in.alive() && in.loose() {
			d.endDamaged(in, reasonGroup)
		}
	}
}

// loose reports whether a process of the instance lives outside of the instance's cgroup.
func (in *instance) loose() bool {
	in.mu.Lock() // its pidfd is open as long as it has a process
	defer in.mu.Unlock()
	if in.process == nil {
		return false
	}
	for _, pid := range []int{in.process.pid, in.process.inside} {
		if held, err := in.group.Holds(pid); pid > 0 && err == nil && !held && !in.process.dead() && !exiting(pid) {
			return true
		}
	}
	return false
}

// exiting reports whether a process is about to end, or has ended and is not waited for: the
// kernel shows it in no cgroup then.
func exiting(pid int) bool {
	const flag = 4 // PF_EXITING
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // its name may have spaces
	if len(f) < 7 {
		return false
	}
	flags, err := strconv.ParseUint(f[6], 10, 64)
	return f[0] == "Z" || f[0] == "X" || err == nil && flags&flag != 0
}

// lives reports whether the instance has a process that has not ended.
func (in *instance) lives() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.process != nil && !in.process.dead()
}

// endDamaged ends an instance from which something was taken that it cannot be without.
func (d *Driver) endDamaged(in *instance, reason string) {
	d.log.Warn("an instance is ended: something was taken from it on the host", "instance", in.id, "service", in.spec.Service, "reason", reason)
	in.setKillReason(reason)
	if err := in.kill(); err != nil {
		d.log.Error("a damaged instance cannot be ended", "instance", in.id, "err", err)
	}
}

// linkChanged is told the sandboxes whose links may have lost something.
func (d *Driver) linkChanged(ctx context.Context, sandbox string) {
	for _, in := range d.known() {
		if in.spec.Sandbox == sandbox {
			d.mendNetwork(ctx, in)
			return
		}
	}
}

// mendNetwork brings back what is missing of a live instance's network.
func (d *Driver) mendNetwork(ctx context.Context, in *instance) {
	in.mu.Lock()
	p := in.process
	var netns *os.File
	var err error
	if p != nil && p.netns != nil {
		netns, err = dup(p.netns)
	}
	in.mu.Unlock()
	if netns == nil {
		if err != nil {
			d.log.Error("an instance's network cannot be looked at", "instance", in.id, "err", err)
		}
		return
	}
	defer netns.Close()
	missing, err := admitPeersAgain(netns, d.home)
	if d.cfg.Egress != nil && in.spec.Addr.IsValid() && err == nil {
		var of error
		of, err = d.cfg.Egress.Mend(ctx, in.spec.Sandbox, netns, in.spec.Addr, in.spec.Networks)
		missing = errors.Join(missing, of)
	}
	switch {
	case missing == nil && err == nil, ctx.Err() != nil, !in.lives():
	case err != nil:
		d.log.Error("an instance's network could not be restored", "instance", in.id, "missing", missing, "err", err)
	default:
		d.log.Warn("something was removed of an instance's network: restored it", "instance", in.id, "service", in.spec.Service, "missing", missing)
	}
}

// check returns what is missing of a sandbox that was made ahead of time.
func (s *sandbox) check(ctx context.Context) error {
	for _, pid := range []int{s.process.pid, s.process.inside} {
		if held, err := s.group.Holds(pid); err != nil || !held {
			return errors.Join(errors.New("its processes are not in its control group"), err)
		}
	}
	for _, name := range []string{fileStatus, fileOutput0, fileOutput1} {
		if _, err := os.Lstat(filepath.Join(s.dir, name)); err != nil {
			return err
		}
	}
	if err := s.factory.disks.Check(s.name); err != nil {
		return err
	}
	if s.factory.egress != nil {
		return s.factory.egress.Check(ctx, s.name, s.process.netns)
	}
	return nil
}

// killLost kills the shims of instances that are not in their cgroups, where nobody else
// would find them. adopted are the shims that are where they belong, all is every shim by
// instance.
func (d *Driver) killLost(adopted map[int]bool, all map[string]int) error {
	for id, pid := range all {
		if adopted[pid] {
			continue
		}
		d.log.Warn("an instance is ended: something was taken from it on the host", "instance", id, "reason", reasonGroup)
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
			return fmt.Errorf("kill a process of an instance that is not in its cgroup: %w", err)
		}
	}
	return nil
}

// shims returns the shims that live, by instance, wherever they are: a shim has the status
// of its instance open. Only the descriptors of processes that are the first of their pid
// namespace are read: a host may have a hundred thousand of others.
func (d *Driver) shims() (map[string]int, error) {
	own, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return nil, err
	}
	list, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	shims := map[string]int{}
	for _, e := range list {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if ns, err := os.Readlink("/proc/" + e.Name() + "/ns/pid"); err != nil || ns == own {
			continue
		}
		if number, err := innerPID(pid); err != nil || number != shimNumber {
			continue
		}
		if id := d.statusOf(pid); id != "" {
			shims[id] = pid
		}
	}
	return shims, nil
}

// statusOf returns the instance of which a process has the status open, "" for none.
func (d *Driver) statusOf(pid int) string {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	list, err := os.ReadDir(dir)
	if err != nil {
		return "" // it has ended
	}
	for _, e := range list {
		file, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			continue
		}
		file = strings.TrimSuffix(file, " (deleted)")
		if at := filepath.Dir(file); filepath.Base(file) == fileStatus && filepath.Dir(at) == d.factory.path(dirInstances) {
			return filepath.Base(at)
		}
	}
	return ""
}
