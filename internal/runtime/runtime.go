// Package runtime is the contract between the fleet and whatever runs
// instances: the Driver interface and its types.
//
// It runs nothing itself. Drivers live in sub-packages, know this package and
// never each other; runtimetest holds the suite that each must pass and a fake
// for everybody's tests. Names come from the caller and there are no handles
// to save: after a crash the state is read again with List.
package runtime

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/openslipway/slipway"
)

// ErrNotFound is returned for an instance the driver does not know.
var ErrNotFound = errors.New("no such instance")

// ErrNotRunning is returned by Dial for an instance whose process is gone.
var ErrNotRunning = errors.New("instance is not running")

// Driver runs instances. All methods are idempotent and safe for concurrent
// use; calls for different ids do not wait for one another.
type Driver interface {
	// Prepare makes the image with this manifest digest ready to run here. It
	// may be slow (unpacking) and is safe to repeat.
	Prepare(ctx context.Context, image string) error

	// Ensure starts instance want.ID unless the driver already knows it, alive
	// or dead. An instance that could not start is known as exited, with the
	// reason in Exit.Reason: that is not an error of Ensure. An error means
	// nothing was left behind and the call may be repeated.
	Ensure(ctx context.Context, want Spec) error

	// Remove stops the instance (stop signal, then after grace SIGKILL to all
	// of it; with a grace of 0 only the kill) and forgets it with everything it
	// had. An unknown id is success.
	// When Remove returns nil, no process of it lives; the rest of the
	// clean-up may continue in the background and survives a restart.
	Remove(ctx context.Context, id string, grace time.Duration) error

	// List returns every instance of this driver, dead or alive, and never one
	// whose Remove returned nil.
	List(ctx context.Context) ([]Observed, error)

	// Output returns what the instance wrote from position from on, oldest
	// first, at most about 1 MiB a call, and the position to continue from. It
	// does not wait for more. Output that was overwritten before it was read
	// shows as a gap: the first chunk's Pos is then larger than from.
	Output(ctx context.Context, id string, from int64) (chunks []Chunk, next int64, err error)

	// Dial opens a TCP connection to the port inside the instance, whichever
	// of its local addresses the application listens on.
	Dial(ctx context.Context, id string, port int) (net.Conn, error)

	// Limits tells what this driver enforces.
	Limits() Limits
}

// Watcher is a driver that tells when something may have changed (an instance
// exited). Watch blocks until ctx ends. A nudge is a hint and carries no data: the
// callee lists again. id is "" when anything may have changed.
type Watcher interface {
	Watch(ctx context.Context, nudge func(id string)) error
}

// Statser is a driver that measures its instances.
type Statser interface {
	// Stats returns the usage of every live instance by id.
	Stats(ctx context.Context) (map[string]Usage, error)
}

// Stopper is a driver that can stop an instance without forgetting it, so that
// its last output can still be read: stop signal, then after grace SIGKILL to
// all of it; with a grace of 0 only the kill. It returns when no process of it lives; an unknown or ended one is
// stopped already.
type Stopper interface {
	Stop(ctx context.Context, id string, grace time.Duration) error
}

// Freezer is a driver that can stop the processes of an instance where they are. They keep
// memory, sockets and open files, and take no processor time. A frozen instance is Running.
// It may be removed and stopped as any other, and stays frozen when the daemon ends.
type Freezer interface {
	// Freeze returns when all processes have stopped. It may be repeated. It fails with
	// ErrNotFound, and with ErrNotRunning for an instance that has ended or is being
	// stopped. If ctx ends while it waits, the processes run on.
	Freeze(ctx context.Context, id string) error

	// Thaw lets them go on. It may be repeated, and fails as Freeze does.
	Thaw(ctx context.Context, id string) error

	// Frozen reports whether the instance is frozen, or just about to be: false of one that
	// does not exist or has ended.
	Frozen(id string) bool

	// Freezes returns how often this driver has frozen the instance or found it frozen.
	// thawed is nil unless it is frozen now, and is closed when that ends.
	Freezes(id string) (times int, thawed <-chan struct{})
}

// Throttler is a driver that can bound the processor time of an instance while it has
// nothing to do.
type Throttler interface {
	// Throttle bounds it, in 1024ths of a core, but never to more than the instance's
	// Resources; 0 is those. A later daemon has lifted the bound. It fails with ErrNotFound, and
	// with ErrNotRunning for an instance that has ended or is being stopped. Without
	// Limits.CPU it does nothing.
	Throttle(ctx context.Context, id string, cpu int) error
}

// Spec is all a driver needs to run one instance.
type Spec struct {
	ID      string // 32 hexadecimal digits: also directory, cgroup and host name
	Service string // labels, returned by List
	Release string
	Run     int64 // the run of the release; see slipway.Instance

	Image string // manifest digest, prepared before
	Disk  int64  // bytes its writable layer may hold; 0: the driver's default

	// Workload's Networks are names that the driver was configured with: Ensure
	// fails for others. Tracing has an effect where the driver has a collector.
	slipway.Workload
}

// Observed is one instance as the driver sees it. Service, Release and Run are those of its
// Spec, or zero if what the driver has written down of them is damaged.
type Observed struct {
	ID, Service, Release string

	Run       int64
	Running   bool
	Frozen    bool // see Freezer; never set when not running
	PID       int  // of the instance's first process in the host's namespace; 0 when not running
	StartedAt time.Time
	Exit      *slipway.Exit // set when not running

	Full Full  // what keeps it from writing to its disk
	Disk int64 // bytes that its disk may take, if Full is set
}

// Full says why an instance cannot write to its disk; "" if it can.
type Full string

// Reasons of full disks.
const (
	FullOwn  Full = "own"  // it has written all that its disk may take
	FullHost Full = "host" // the host's disk is full, and its own is not
)

// Chunk is a piece of output as the application wrote it, not cut at lines.
type Chunk struct {
	Pos    int64 // position of its first byte in the instance's output
	At     time.Time
	Stderr bool
	Full   bool // what is missing before it was lost because the host's disk was full
	Data   []byte
}

// Limits tells which limits a driver enforces.
type Limits struct {
	CPU, Memory, Pids, Disk bool
	Egress                  bool // instances reach the outside and not one another
}

// Usage is what an instance has used.
type Usage struct {
	CPU    time.Duration // since its start
	Memory int64         // bytes now
	Pids   int
}
