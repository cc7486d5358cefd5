package runtimetest

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/openslipway/slipway/internal/runtime"
)

// ErrKilled is what calls on a severed Fake return. The daemon that would see it
// is dead.
var ErrKilled = errors.New("this daemon is dead")

// Method names a call of runtime.Driver in failpoints and counts.
type Method string

const (
	Prepare Method = "Prepare"
	Ensure  Method = "Ensure"
	Remove  Method = "Remove"
	Stop    Method = "Stop"
	List    Method = "List"
	Output  Method = "Output"
	Dial    Method = "Dial"
	Freeze  Method = "Freeze"
	Thaw    Method = "Thaw"
)

// Failpoint breaks one call. Exactly one of Err, Panic and Kill is set.
type Failpoint struct {
	Method Method
	Call   int  // which call of Method from now on; 0 and 1 are the next one
	After  bool // once the call has done its work; else instead of it

	Err   error
	Panic any
	Kill  func() // the daemon dies here: the Fake is severed, then Kill runs (to cancel its context)
}

// Fake is a runtime.Driver on a Machine. It keeps only what a daemon holds in
// memory: failpoints, counts and the jobs under way.
type Fake struct {
	machine *Machine

	mu    sync.Mutex // guards what follows
	dead  bool
	fails []*Failpoint
	calls map[Method]int
	jobs  map[*func()]struct{} // what ends each job under way
}

var (
	_ runtime.Driver  = (*Fake)(nil)
	_ runtime.Watcher = (*Fake)(nil)
	_ runtime.Statser = (*Fake)(nil)
	_ runtime.Netstat = (*Fake)(nil)
	_ runtime.Stopper = (*Fake)(nil)
	_ runtime.Freezer = (*Fake)(nil)
)

// NewFake returns a driver on w. Several may share a machine.
func NewFake(w *Machine) *Fake {
	return &Fake{machine: w, calls: map[Method]int{}, jobs: map[*func()]struct{}{}}
}

// Break arms a failpoint. It breaks one call and is spent.
func (f *Fake) Break(fp Failpoint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = append(f.fails, &fp)
}

// Kill severs the Fake from its Machine: from now on its calls change nothing
// and return ErrKilled, and so do jobs under way.
func (f *Fake) Kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = true
	for end := range f.jobs {
		(*end)()
	}
}

// onKill has end called when the Fake is killed, until release is called.
func (f *Fake) onKill(end func()) (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		end()
	}
	f.jobs[&end] = struct{}{}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.jobs, &end)
	}
}

// Calls returns how often a method was called.
func (f *Fake) Calls(m Method) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[m]
}

// call runs work as one call of m, through its failpoint if it has one.
func (f *Fake) call(m Method, work func() error) error {
	fp, err := f.enter(m)
	if err != nil {
		return err
	}
	if fp == nil {
		return work()
	}
	if fp.After {
		if err := work(); err != nil {
			return err
		}
	}
	switch {
	case fp.Panic != nil:
		panic(fp.Panic)
	case fp.Kill != nil:
		f.Kill()
		fp.Kill()
		return ErrKilled
	}
	return fp.Err
}

func (f *Fake) enter(m Method) (*Failpoint, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return nil, ErrKilled
	}
	f.calls[m]++
	var hit *Failpoint
	rest := f.fails[:0]
	for _, fp := range f.fails {
		if fp.Method == m {
			fp.Call--
			if fp.Call <= 0 && hit == nil {
				hit = fp
				continue
			}
		}
		rest = append(rest, fp)
	}
	f.fails = rest
	return hit, nil
}

// Prepare implements runtime.Driver.
func (f *Fake) Prepare(ctx context.Context, image string) error {
	return f.call(Prepare, func() error { return f.machine.prepare(ctx, image) })
}

// Ensure implements runtime.Driver.
func (f *Fake) Ensure(ctx context.Context, want runtime.Spec) error {
	return f.call(Ensure, func() error { return f.machine.ensure(ctx, want) })
}

// Remove implements runtime.Driver.
func (f *Fake) Remove(ctx context.Context, id string, grace time.Duration) error {
	return f.call(Remove, func() error { return f.machine.remove(ctx, id, grace) })
}

// Stop implements runtime.Stopper.
func (f *Fake) Stop(ctx context.Context, id string, grace time.Duration) error {
	return f.call(Stop, func() error { return f.machine.stop(ctx, id, grace) })
}

// Freeze implements runtime.Freezer. A frozen instance accepts connections and answers none.
func (f *Fake) Freeze(_ context.Context, id string) error {
	return f.call(Freeze, func() error { return f.machine.rest(id, true) })
}

// Thaw implements runtime.Freezer.
func (f *Fake) Thaw(_ context.Context, id string) error {
	return f.call(Thaw, func() error { return f.machine.rest(id, false) })
}

// Frozen implements runtime.Freezer.
func (f *Fake) Frozen(id string) bool {
	_, thawed := f.Freezes(id)
	return thawed != nil
}

// Freezes implements runtime.Freezer.
func (f *Fake) Freezes(id string) (times int, thawed <-chan struct{}) {
	f.machine.mu.Lock()
	defer f.machine.mu.Unlock()
	p := f.machine.known[id]
	if p == nil || p.exit != nil {
		return 0, nil
	}
	return p.freezes, p.thawed
}

// List implements runtime.Driver.
func (f *Fake) List(ctx context.Context) (list []runtime.Observed, err error) {
	err = f.call(List, func() error {
		list = f.machine.list()
		return nil
	})
	return list, err
}

// Output implements runtime.Driver.
func (f *Fake) Output(ctx context.Context, id string, from int64) (chunks []runtime.Chunk, next int64, err error) {
	next = from
	err = f.call(Output, func() error {
		p := f.machine.process(id)
		if p == nil {
			return runtime.ErrNotFound
		}
		f.machine.mu.Lock()
		defer f.machine.mu.Unlock()
		chunks, next = p.out.read(from)
		return nil
	})
	return chunks, next, err
}

// Dial implements runtime.Driver. The connection is one end of a net.Pipe.
func (f *Fake) Dial(ctx context.Context, id string, port int) (c net.Conn, err error) {
	err = f.call(Dial, func() error {
		p := f.machine.process(id)
		if p == nil {
			return runtime.ErrNotFound
		}
		c, err = p.dial(ctx, port)
		return err
	})
	return c, err
}

// Listening implements runtime.Netstat.
func (f *Fake) Listening(_ context.Context, id string) ([]runtime.Socket, error) {
	p := f.machine.process(id)
	if p == nil {
		return nil, runtime.ErrNotFound
	}
	return p.sockets(), nil
}

// Limits implements runtime.Driver: a Program that takes more memory than its
// limit is killed, nothing else is enforced.
func (f *Fake) Limits() runtime.Limits { return runtime.Limits{Memory: true} }

// Watch implements runtime.Watcher.
func (f *Fake) Watch(ctx context.Context, nudge func(id string)) error {
	f.machine.watch(ctx, func(id string) {
		f.mu.Lock()
		dead := f.dead
		f.mu.Unlock()
		if !dead {
			nudge(id)
		}
	})
	return ctx.Err()
}

// Stats implements runtime.Statser: every live instance uses a millisecond of
// CPU time per second and 1 MiB.
func (f *Fake) Stats(ctx context.Context) (map[string]runtime.Usage, error) {
	stats := map[string]runtime.Usage{}
	for _, o := range f.machine.list() {
		if o.Running {
			stats[o.ID] = runtime.Usage{CPU: time.Since(o.StartedAt) / 1000, Memory: 1 << 20, Pids: 1}
		}
	}
	return stats, nil
}
