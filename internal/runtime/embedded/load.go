package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/cgroup"
)

// load finds what earlier drivers left in the directory. It takes over their
// instances and has the rest removed. It fails before anything is removed that it may
// only have been unable to read.
func (d *Driver) load(ctx context.Context) error {
	shims, err := d.shims()
	if err != nil {
		return fmt.Errorf("look for instances of an earlier server: %w", err)
	}
	keep, err := d.loadInstances(shims)
	if err != nil {
		return err
	}
	if err := d.killLost(d.adopted(), shims); err != nil {
		return err
	}
	if err := d.killJobs(ctx); err != nil {
		return err
	}
	for _, dir := range []string{dirBlank, dirJobs} {
		list, err := d.entries(dir)
		if err != nil {
			return err
		}
		for _, name := range list {
			if err := d.factory.discardDir(d.factory.path(dir, name), name); err != nil {
				return fmt.Errorf("discard a sandbox: %w", err)
			}
		}
	}
	if err := d.sweep(keep); err != nil {
		return err
	}
	if d.cfg.Egress != nil {
		if err := d.cfg.Egress.Sweep(ctx, keep); err != nil {
			return fmt.Errorf("take back the network of sandboxes that are gone: %w", err)
		}
		for _, in := range d.known() {
			d.mendNetwork(ctx, in)
		}
	}
	return nil
}

// adopted returns the shims of the instances that were taken over.
func (d *Driver) adopted() map[int]bool {
	found := map[int]bool{}
	for _, in := range d.known() {
		if in.process != nil {
			found[in.process.pid] = true
		}
	}
	return found
}

// loadInstances takes over all instances, and returns their sandboxes with the networks of
// each. One that is damaged is discarded, unless it lives.
func (d *Driver) loadInstances(shims map[string]int) (keep map[string][]string, err error) {
	ids, err := d.entries(dirInstances)
	if err != nil {
		return nil, err
	}
	keep = map[string][]string{}
	damaged := map[string]error{}
	for _, id := range ids {
		spec, err := d.loadInstance(id, shims[id])
		if isUnanswered(err) {
			return nil, fmt.Errorf("read instance %s, which may run: %w; once that is put right, start again: nothing was stopped", id, err)
		}
		if err != nil {
			damaged[id] = err
			continue
		}
		keep[spec.Sandbox] = spec.Networks
		if spec.Image != "" {
			d.pool.use(spec.Image)
		}
		d.factory.slots.mark(slotOf(spec.Sandbox))
	}
	for id, err := range damaged {
		if !errors.Is(err, errNeverStarted) {
			d.log.Error("discarding an instance that cannot be read", "instance", id, "err", err)
		}
		if err := d.factory.discardDir(d.factory.path(dirInstances, id), id); err != nil {
			return nil, err
		}
	}
	return keep, nil
}

// isUnanswered reports whether an error says nothing of what was asked about: the disk
// failed, this process lacks descriptors, memory or rights.
func isUnanswered(err error) bool {
	for _, no := range []error{
		unix.EIO, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS, unix.ENOSPC, unix.EAGAIN, unix.EINTR,
		unix.EACCES, unix.EPERM, unix.EROFS, unix.ESTALE, unix.ETIMEDOUT,
	} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// killJobs kills the jobs of earlier drivers and waits until they are dead: they
// may hold directories that the caller is about to use again.
func (d *Driver) killJobs(ctx context.Context) error {
	const interval = 2 * time.Millisecond
	list, err := d.entries(dirJobs)
	if err != nil {
		return err
	}
	for _, name := range list {
		for {
			if err := d.factory.killGroup(name); err != nil {
				return fmt.Errorf("kill a job: %w", err)
			}
			pids, err := d.factory.slice.Group(name).Procs()
			if err != nil {
				return fmt.Errorf("kill a job: %w", err)
			}
			if len(pids) == 0 {
				break
			}
			select {
			case <-time.After(interval):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// entries returns the names in one of the driver's directories.
func (d *Driver) entries(dir string) ([]string, error) {
	list, err := os.ReadDir(d.factory.path(dir))
	if err != nil {
		return nil, fmt.Errorf("list what an earlier server left: %w", err)
	}
	names := make([]string, 0, len(list))
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names, nil
}

// sweep removes the sandboxes that are not to be kept, whatever is left of them: a
// directory in the trash, a cgroup, a disk.
func (d *Driver) sweep(keep map[string][]string) error {
	groups, err := d.slice.Names()
	if err != nil {
		return fmt.Errorf("list cgroups: %w", err)
	}
	disks, err := d.factory.disks.Names()
	if err != nil {
		return fmt.Errorf("list disks: %w", err)
	}
	trash, err := d.entries(dirTrash)
	if err != nil {
		return err
	}
	stray := slices.Concat(groups, disks, trash)
	swept := map[string]bool{}
	for _, name := range stray {
		if _, kept := keep[name]; kept || swept[name] {
			continue
		}
		swept[name] = true
		d.factory.slots.mark(slotOf(name))
		d.reaper.add(name)
	}
	if len(swept) > 0 {
		d.log.Info("removing what an earlier daemon left", "sandboxes", len(swept))
	}
	return nil
}

// errNeverStarted means that the daemon died before the instance was started. The
// call of Ensure has not returned, so the fleet repeats it.
var errNeverStarted = errors.New("it was never started")

// loadInstance takes over an instance and returns its specification. shim is its shim, 0 if
// that has ended.
func (d *Driver) loadInstance(id string, shim int) (spec, error) {
	dir := d.factory.path(dirInstances, id)
	s, err := d.readRecord(id, dir, shim)
	if err != nil {
		return s, err
	}
	in := &instance{id: id, dir: dir, spec: s, group: d.slice.Group(s.Sandbox), done: make(chan struct{})}
	if started, ended, err := in.status(); isUnanswered(err) {
		return s, err
	} else if started == nil && ended == nil {
		if err := d.repairStatus(in, shim, err); err != nil {
			return s, err
		}
	}
	in.process, err = in.findShim()
	if err != nil {
		return s, err
	}
	if in.process != nil {
		in.takeRest(d.log)
	}
	d.mu.Lock()
	d.instances[id] = in
	d.mu.Unlock()
	if in.process == nil {
		d.recordExit(in, reasonRestart)
		return s, nil
	}
	if netns := in.process.netns; netns != nil {
		// Earlier versions of this program made no such routes.
		if err := admitPeers(netns, d.home); err != nil && !in.process.dead() {
			d.log.Error("an instance can't be reached", "instance", id, "err", err)
		}
		// An instance that cannot be traced keeps serving.
		if err := d.collect(in, netns); err != nil {
			d.log.Error("an instance can't reach the trace collector", "instance", id, "err", err)
		}
	}
	return s, d.poller.add(in.process.pidfd, func() { d.ended(in) })
}

// findShim returns the shim of an instance that an earlier daemon started, nil if it
// has ended.
func (in *instance) findShim() (*process, error) {
	pid, pidfd, err := openProcess(in.group, shimNumber)
	if errors.Is(err, errNoApplication) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := &process{pid: pid, pidfd: pidfd}
	started := in.whenStarted()
	if started == nil {
		return p, nil // it could not be started, and its shim is about to end
	}
	inside, insidefd, err := openProcess(in.group, started.PID)
	if err == nil {
		err = p.enter(inside, insidefd)
		insidefd.Close()
	}
	// An application that has just ended has no namespaces. Its shim tells how it ended.
	if err != nil && !errors.Is(err, errNoApplication) && !errors.Is(err, unix.ESRCH) && !errors.Is(err, fs.ErrNotExist) {
		p.release()
		return nil, err
	}
	return p, nil
}

// openProcess finds the process of a sandbox that has this id in the shim's pid
// namespace.
func openProcess(group cgroup.Group, number int) (pid int, pidfd *os.File, err error) {
	pid, err = findProcess(group, number)
	if err != nil {
		return 0, nil, err
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return 0, nil, errNoApplication
	}
	if err != nil {
		return 0, nil, err
	}
	pidfd = os.NewFile(uintptr(fd), "pidfd")
	// If the process is still there, the pidfd is its own.
	if inner, err := innerPID(pid); err != nil || inner != number {
		pidfd.Close()
		return 0, nil, errNoApplication
	}
	return pid, pidfd, nil
}
