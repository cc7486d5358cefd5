package embedded

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/embedded/cgroup"
	"github.com/openslipway/slipway/internal/runtime/embedded/disk"
	"github.com/openslipway/slipway/internal/runtime/embedded/egress"
	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
	"github.com/openslipway/slipway/internal/runtime/embedded/seccomp"
)

// Images is the part of the image store that the driver needs.
type Images interface {
	// Layers returns the directories of an image's layers, top first, and
	// unpacks those that are not yet. Whiteouts and opaque directories are
	// those of overlayfs. Layers stay while an instance uses them.
	Layers(ctx context.Context, digest string) ([]string, error)
}

// Egress connects sandboxes to the outside. All methods are idempotent and safe
// for concurrent use.
type Egress interface {
	// Attach gives the network namespace of a sandbox an address and a route.
	Attach(ctx context.Context, sandbox string, netns *os.File) (egress.Link, error)

	// Confine lets a sandbox, in which nothing runs yet, reach only the networks
	// of these names. It fails for names that it does not know.
	Confine(ctx context.Context, sandbox string, networks []string) (egress.Link, error)
	// Cut sets the sandbox's end of its link down. The sandbox may not set it up again.
	Cut(ctx context.Context, sandbox string, netns *os.File) error

	// Detach undoes Attach. The namespace may be gone.
	Detach(ctx context.Context, sandbox string) error

	// Check returns an error that says what is missing of a sandbox's link.
	Check(ctx context.Context, sandbox string, netns *os.File) error
	// Mend brings back what is missing of the link of a sandbox that runs, with its
	// address and confined to the same networks, and says what was missing, nil for nothing.
	Mend(ctx context.Context, sandbox string, netns *os.File, addr netip.Addr, networks []string) (missing, err error)
	// Watch calls changed with sandboxes whose links may have lost something, until ctx ends.
	Watch(ctx context.Context, changed func(sandbox string)) error

	// Sweep detaches all sandboxes but those to keep. Each of these is given with
	// the networks that it was confined to, if any.
	Sweep(ctx context.Context, keep map[string][]string) error
}

var _ Egress = (*egress.Network)(nil)

// Rates bound the use of a disk.
type Rates = cgroup.Rates

// Config says what a driver works with.
type Config struct {
	Dir      string // state; made if it is missing. One driver at a time may use it
	Images   Images
	LayerDir string // absolute; all directories that Images returns lie below it
	Egress   Egress // nil: instances reach nothing but themselves
	// Collectors are reachable for instances whose spec asks for tracing.
	Collectors []Collector
	Log        *slog.Logger

	Pool int   // blank sandboxes to keep ready, and prepared ones; 0: DefaultPool; negative: none
	Disk int64 // bytes of writable space where a spec does not say; 0: DefaultDisk
	// Overcommit is how many times the bytes that are free on the host's disk may be promised
	// to instances and jobs that run; beyond it no other is started. 0: any number of times.
	Overcommit int
	// Rates bound what each instance, and each job, may do to a disk; zero: without bound.
	Rates Rates
	// Profile is a profile of AppArmor, loaded and enforced, that confines instances and
	// jobs; "": none. A kernel without AppArmor is an error.
	Profile string
	Disks   disk.Kind // how to bound it; "": the best way that works here
	Output  int64     // bytes of output kept of an instance, about; 0: DefaultOutput

	// IDs that sandboxes take, 65,536 each: FirstID and up. 0: DefaultFirstID
	// and as many sandboxes as systemd leaves room for.
	FirstID   int
	Sandboxes int
	// Claims is a directory of the machine in which its drivers claim the ids that they
	// take, so that no two have the same; it is made if it is missing. "": this driver is
	// alone.
	Claims string

	// Init is the program of the instances' first process. nil: the one that
	// `make init` built, which this program embeds.
	Init []byte
	// SelfInit says that this program may serve as the init where none is
	// embedded: its main function first asks sandboxinit.Wanted. Instances then
	// start more slowly, and each takes some megabytes more.
	SelfInit bool
}

const (
	// DefaultPool is how many blank sandboxes are kept ready, and how many that
	// have the root file system of a recently used image. Each takes about a
	// megabyte.
	DefaultPool = 4
	// DefaultDisk is App Runner's ephemeral storage.
	DefaultDisk = 3 << 30
	// DefaultOutput is how much output is kept of an instance.
	DefaultOutput = 32 << 20

	// DefaultFirstID is above what useradd hands out for /etc/subuid, and in
	// the range that systemd leaves to containers.
	DefaultFirstID   = 1 << 30
	defaultSandboxes = (1879048191 - DefaultFirstID) / idsPerSandbox
	idsPerSandbox    = handoff.OwnIDs

	// shmSize is the size of /dev/shm, in bytes: Docker's. It counts as memory
	// of the instance.
	shmSize = 64 << 20
)

// Driver runs instances in sandboxes. Its methods wait until Run has begun.
type Driver struct {
	cfg    Config
	log    *slog.Logger
	slice  *cgroup.Slice
	filter []byte // system call filter of all instances

	forwarded chan struct{} // a slot for each connection to a collector
	landlock  landlock      // of all instances
	beneath   string        // the disk of the layers, "major:minor"; "" unless Rates are set

	ready  chan struct{} // closed once Run serves
	closed chan struct{} // closed once Run has begun to end
	gone   chan struct{} // closed once Run has ended, with way set if it was to be kept
	keep   atomic.Bool   // the way to the instances is to be kept
	way    *Way          // to the instances, for what outlives Run

	// Set by Run before ready is closed.
	factory *factory
	pool    *pool
	reaper  *reaper
	poller  *poller
	home    *os.File // the daemon's own network namespace
	boot    context.Context

	found    found          // layers of images
	starting keyed          // one Ensure or end of Remove at a time, by instance
	ends     sync.WaitGroup // ends of instances being seen to

	promising sync.Mutex // guards promises
	promises  promises

	mu        sync.Mutex // guards what follows
	instances map[string]*instance
	watchers  map[*func(string)]struct{}
	calls     int  // under way
	ending    bool // no more calls are let in
	idle      chan struct{}
}

var (
	_ runtime.Driver  = (*Driver)(nil)
	_ runtime.Watcher = (*Driver)(nil)
	_ runtime.Statser = (*Driver)(nil)
	_ runtime.Netstat = (*Driver)(nil)
	_ runtime.Stopper = (*Driver)(nil)
	_ runtime.Job     = (*Driver)(nil)
)

// New returns a driver on a directory. It reads the machine and starts nothing.
func New(cfg Config) (*Driver, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the embedded runtime needs root: it makes namespaces, mounts and cgroups")
	}
	if cfg.Dir == "" || cfg.LayerDir == "" || cfg.Images == nil || cfg.Log == nil {
		return nil, errors.New("the embedded runtime needs a directory, images and a log")
	}
	if err := checkCollectors(cfg.Collectors); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	if err := cfg.checkInit(); err != nil {
		return nil, err
	}
	var err error
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the mounts: %w", err)
	}
	slice, err := cgroup.Find(mounts, sliceName(cfg.Dir))
	if err != nil {
		return nil, err
	}
	filter, err := seccomp.Default(capabilityNames())
	if err != nil {
		return nil, fmt.Errorf("compile the system call filter: %w", err)
	}
	var beneath string
	if cfg.Rates != (cgroup.Rates{}) {
		if beneath, err = throttled(slice, cfg.LayerDir); err != nil {
			return nil, err
		}
	}
	if err := checkAppArmor(cfg.Profile); err != nil {
		return nil, err
	}
	confined := landlockOf(landlockABI())
	if confined.access == 0 {
		cfg.Log.Info("instances and builds run without Landlock, which this kernel does not have or has switched off")
	}
	return &Driver{
		cfg:       cfg,
		log:       cfg.Log,
		slice:     slice,
		filter:    filter.Bytes(),
		forwarded: make(chan struct{}, maxForwardedAll),
		landlock:  confined,
		beneath:   beneath,
		ready:     make(chan struct{}),
		closed:    make(chan struct{}),
		gone:      make(chan struct{}),
		promises:  promises{},
		instances: map[string]*instance{},
		watchers:  map[*func(string)]struct{}{},
		idle:      make(chan struct{}),
	}, nil
}

// throttled returns the disk of a directory, if groups of this slice can be throttled there.
func throttled(slice *cgroup.Slice, dir string) (string, error) {
	const not = "the use of disks (--io-read, --io-write, --io-read-ops, --io-write-ops) cannot be limited here"
	if !slice.Has(cgroup.IO) && !slice.Has(cgroup.BlkIO) {
		return "", errors.New(not + ": this machine has neither the io controller of cgroup version 2, with another of cpu, memory or pids, nor blkio of version 1")
	}
	device, err := disk.DeviceBeneath(dir)
	if err != nil {
		return "", fmt.Errorf(not+": %w", err)
	}
	return device, nil
}

// limits are those of a sandbox with this workload.
func (d *Driver) limits(s *sandbox, w slipway.Workload) cgroup.Limits {
	l := limits(w)
	l.Rates = d.cfg.Rates
	for _, disk := range []string{d.beneath, s.device} {
		if disk != "" && !slices.Contains(l.Disks, disk) {
			l.Disks = append(l.Disks, disk)
		}
	}
	return l
}

func (c *Config) setDefaults() {
	if c.Pool == 0 {
		c.Pool = DefaultPool
	}
	if c.Disk == 0 {
		c.Disk = DefaultDisk
	}
	if c.Output == 0 {
		c.Output = DefaultOutput
	}
	if c.FirstID == 0 {
		c.FirstID = DefaultFirstID
	}
	if c.Sandboxes == 0 {
		c.Sandboxes = defaultSandboxes
	}
}

// sliceName names the cgroup of all sandboxes of the driver on a directory.
func sliceName(dir string) string {
	h := fnv.New32a()
	h.Write([]byte(dir))
	return fmt.Sprintf("slipway-%08x", h.Sum32())
}

// Run serves until ctx ends. It finds what an earlier driver left in the
// directory, and cleans up after it. When it returns, instances run on.
func (d *Driver) Run(ctx context.Context) error {
	defer close(d.gone)
	defer d.end() // also after an error: no call may wait for ever
	lock, err := lockDir(d.cfg.Dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.serve(ctx, g) })
	return g.Wait()
}

// serve starts the parts of the driver in g, waits until ctx ends, and ends what
// the parts do not end themselves.
func (d *Driver) serve(ctx context.Context, g *errgroup.Group) error {
	var err error
	if d.home, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return fmt.Errorf("open the daemon's network namespace: %w", err)
	}
	defer d.home.Close()
	if d.poller, err = newPoller(); err != nil {
		return fmt.Errorf("watch processes: %w", err)
	}
	defer d.poller.close()
	if d.factory, err = openFactory(d.cfg, d.slice); err != nil {
		return err
	}
	defer d.factory.close()
	d.factory.home = d.home
	d.boot = ctx
	d.reaper = newReaper(d.factory, d.log)
	d.pool = newPool(d.factory, d.reaper, d.layers, max(d.cfg.Pool, 0), d.log)

	mountsReady := make(chan struct{})
	g.Go(func() error { return d.factory.mounts.run(ctx, mountsReady) })
	select {
	case <-mountsReady:
	case <-ctx.Done():
		return nil
	}
	if err := d.load(ctx); err != nil {
		d.release()
		return err
	}
	g.Go(func() error { return d.poller.run(ctx) })
	g.Go(func() error { return d.reaper.run(ctx) })
	g.Go(func() error { return d.pool.run(ctx) })
	for _, part := range []func(context.Context) error{d.keepWhole, d.watchGroups, d.watchInstances} {
		g.Go(func() error { return part(ctx) })
	}
	if d.cfg.Egress != nil {
		g.Go(func() error { return d.cfg.Egress.Watch(ctx, func(sandbox string) { d.linkChanged(ctx, sandbox) }) })
	}
	close(d.ready)
	<-ctx.Done()
	d.end() // calls under way end first: they use all of the above
	<-d.poller.done
	d.ends.Wait()
	if d.keep.Load() {
		d.way = d.wayOn()
	}
	d.release()
	d.pool.drain()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	d.reaper.finish(last)
	return nil
}

// finishTime is how long the removal of sandboxes may delay the daemon's end. The
// next daemon removes what is left.
const finishTime = 5 * time.Second

// release closes what the driver has open of instances. They run on.
func (d *Driver) release() {
	for _, in := range d.known() {
		in.mu.Lock()
		if in.process != nil {
			in.process.release()
			in.process = nil
		}
		c := in.traces
		in.traces = nil
		in.mu.Unlock()
		c.stop()
		in.close()
	}
}

// end refuses new calls and waits for those under way.
func (d *Driver) end() {
	d.mu.Lock()
	if !d.ending {
		d.ending = true
		close(d.closed)
		if d.calls == 0 {
			close(d.idle)
		}
	}
	d.mu.Unlock()
	<-d.idle
}

// begin admits a call. The context that it returns also ends with the driver.
func (d *Driver) begin(ctx context.Context) (context.Context, func(), error) {
	select {
	case <-d.ready:
	case <-d.closed:
		return nil, nil, errClosed
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ending {
		return nil, nil, errClosed
	}
	d.calls++
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(d.boot, func() { cancel(errClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.calls--
		if d.ending && d.calls == 0 {
			close(d.idle)
		}
	}, nil
}

// Limits implements runtime.Driver.
func (d *Driver) Limits() runtime.Limits {
	return runtime.Limits{
		CPU:    d.slice.Has(cgroup.CPU),
		Memory: d.slice.Has(cgroup.Memory),
		Pids:   d.slice.Has(cgroup.Pids),
		Disk:   true,
		Egress: d.cfg.Egress != nil,
	}
}

// Prepare implements runtime.Driver.
func (d *Driver) Prepare(ctx context.Context, image string) error {
	ctx, done, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if _, err := d.rootfs(ctx, image); err != nil {
		return fmt.Errorf("prepare image %s: %w", image, err)
	}
	return nil
}

// layers returns the image's layers as paths below the layers' directory.
func (d *Driver) layers(ctx context.Context, image string) ([]string, error) {
	dirs, err := d.cfg.Images.Layers(ctx, image)
	if err != nil {
		return nil, err
	}
	if len(dirs) == 0 {
		return nil, errors.New("the image has no layers")
	}
	layers := make([]string, len(dirs))
	for i, dir := range dirs {
		layers[i], err = filepath.Rel(d.cfg.LayerDir, dir)
		if err != nil || !filepath.IsLocal(layers[i]) {
			return nil, fmt.Errorf("layer %s is not below %s", dir, d.cfg.LayerDir)
		}
	}
	return layers, nil
}

// lockDir makes the driver's directory and takes it for this process.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the embedded runtime's directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the embedded runtime's directory: %w", err)
	}
	// A lock by fcntl belongs to this process: unlike one by flock it ends with
	// the process even if a child that was just forked lives on for a moment.
	exclusive := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(lock.Fd(), unix.F_SETLK, &exclusive); err != nil {
		lock.Close()
		if err == unix.EACCES || err == unix.EAGAIN {
			err = errors.New("another process runs instances there")
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return lock, nil
}

// inNamespace runs f on a thread that is in a network namespace.
func inNamespace(netns, home int, f func() error) error {
	result := make(chan error, 1)
	go func() {
		goruntime.LockOSThread()
		if err := unix.Setns(netns, unix.CLONE_NEWNET); err != nil {
			goruntime.UnlockOSThread()
			result <- err
			return
		}
		err := f()
		if back := unix.Setns(home, unix.CLONE_NEWNET); back != nil {
			// The thread stays locked, so it ends with this goroutine: no other
			// goroutine may run on it.
			result <- fmt.Errorf("leave a network namespace: %w", back)
			return
		}
		goruntime.UnlockOSThread()
		result <- err
	}()
	return <-result
}
