package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/embedded/cgroup"
)

// Way reaches the instances that a driver had when it ended: a router that still has
// requests goes on with it, while another process's driver has the instances. It starts,
// stops and observes nothing, and knows no instance that was started later.
type Way struct {
	home *os.File // the daemon's own network namespace
	to   map[string]reached
}

// reached is an instance that a Way leads to.
type reached struct {
	netns *os.File
	addrs []netip.Addr
	group cgroup.Group
	cpu   int // its service's, in 1024ths of a core; 0 if not known
}

// KeepWay has Run leave a Way when it ends. It must be called before that.
func (d *Driver) KeepWay() { d.keep.Store(true) }

// Way waits until Run has ended, and returns the way to its instances. It fails if none
// was to be kept.
func (d *Driver) Way(ctx context.Context) (*Way, error) {
	select {
	case <-d.gone:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if d.way == nil {
		return nil, errClosed
	}
	return d.way, nil
}

// wayOn copies what leads to the instances. Those without a copy can't be reached by it.
func (d *Driver) wayOn() *Way {
	w := &Way{to: map[string]reached{}}
	var err error
	if w.home, err = dup(d.home); err != nil {
		d.log.Warn("instances can't be reached until the next server runs", "err", err)
		return w
	}
	for _, in := range d.known() {
		in.mu.Lock()
		if p := in.process; p != nil && p.netns != nil {
			if ns, err := dup(p.netns); err == nil {
				w.to[in.id] = reached{netns: ns, addrs: in.addresses(), group: in.group, cpu: in.spec.CPU}
			} else {
				d.log.Warn("an instance can't be reached until the next server runs", "instance", in.id, "err", err)
			}
		}
		in.mu.Unlock()
	}
	return w
}

func dup(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// Dial is [Driver.Dial].
func (w *Way) Dial(ctx context.Context, id string, port int) (net.Conn, error) {
	r, ok := w.to[id]
	if !ok {
		return nil, fmt.Errorf("dial instance %s: %w", id, runtime.ErrNotFound)
	}
	conn, err := namespace{netns: r.netns, home: w.home}.connectAny(ctx, r.addrs, port)
	if err != nil {
		return nil, fmt.Errorf("dial instance %s: %w", id, err)
	}
	return conn, nil
}

// Thaw is [Driver.Thaw].
func (w *Way) Thaw(_ context.Context, id string) error {
	r, ok := w.to[id]
	if !ok {
		return runtime.ErrNotFound
	}
	if err := r.group.Thaw(); err != nil {
		return fmt.Errorf("thaw instance %s: %w", id, err)
	}
	return nil
}

// Unthrottle is [Driver.Throttle] with 0.
func (w *Way) Unthrottle(_ context.Context, id string) error {
	r, ok := w.to[id]
	if !ok {
		return runtime.ErrNotFound
	}
	if r.cpu == 0 {
		return nil
	}
	if err := gone(r.group.SetCPU(r.cpu)); err != nil {
		return fmt.Errorf("throttle instance %s: %w", id, err)
	}
	return nil
}

// Frozen is [Driver.Frozen].
func (w *Way) Frozen(id string) bool {
	r, ok := w.to[id]
	if !ok {
		return false
	}
	frozen, _ := r.group.Frozen() // of a group that is gone nothing is frozen
	return frozen
}

// Close forgets the instances. No call may be under way.
func (w *Way) Close() error {
	var errs []error
	for _, r := range w.to {
		errs = append(errs, r.netns.Close())
	}
	clear(w.to)
	if w.home != nil {
		errs = append(errs, w.home.Close())
	}
	return errors.Join(errs...)
}
