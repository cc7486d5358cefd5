package embedded

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/embedded/cgroup"
	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
	"github.com/openslipway/slipway/internal/runtime/embedded/ring"
)

// spec is the part of an instance's specification that is kept, see record.go. The
// environment is not kept: it may hold secrets, and it is not needed again.
type spec struct {
	Service    string     `json:"service"`
	Release    string     `json:"release"`
	Run        int64      `json:"run,omitempty"` // of the release; 0: of an earlier version, which recorded none
	Image      string     `json:"image"`
	Sandbox    string     `json:"sandbox"`
	StopSignal string     `json:"stopSignal,omitempty"`
	Init       bool       `json:"init,omitempty"` // see slipway.Process
	Memory     int        `json:"memory"`         // MiB
	CPU        int        `json:"cpu,omitempty"`  // 1024ths of a core; 0: of an earlier version, which recorded none
	Disk       int64      `json:"disk,omitempty"` // bytes; 0: of an earlier version, which recorded none
	Port       int        `json:"port,omitempty"`
	Tracing    bool       `json:"tracing,omitempty"`
	Addr       netip.Addr `json:"addr,omitzero"`
	Networks   []string   `json:"networks,omitempty"`
	CreatedAt  time.Time  `json:"createdAt"`
}

// instance is an instance, dead or alive, that the driver knows.
type instance struct {
	id    string
	dir   string
	spec  spec
	group cgroup.Group

	done chan struct{} // closed once it is known to have ended, with exit set

	freezing sync.Mutex // held while it is frozen or thawed, or its processor time changed
	frost    frost

	mu         sync.Mutex // guards what follows
	process    *process   // nil once it has ended
	pid        int        // of the application in this process's namespace; 0: not looked up yet
	started    *handoff.Started
	exit       *slipway.Exit
	full       runtime.Full
	killReason string // why the driver killed it; "" if it did not

	traces *traceForwarder // nil while it has no collectors

	output output
}

// output reads what an instance wrote. It opens the files at the first read.
type output struct {
	mu     sync.Mutex // guards what follows
	files  []*os.File
	reader *ring.Reader
}

// status reads what the shim has recorded so far.
func (in *instance) status() (*handoff.Started, *handoff.Ended, error) {
	b, err := os.ReadFile(filepath.Join(in.dir, fileStatus))
	if err != nil {
		return nil, nil, fmt.Errorf("read the status of instance %s: %w", in.id, err)
	}
	started, ended := handoff.ParseStatus(b)
	return started, ended, nil
}

// alive reports whether the instance is not known to have ended.
func (in *instance) alive() bool {
	select {
	case <-in.done:
		return false
	default:
		return true
	}
}

// observed is the instance as List shows it.
func (in *instance) observed() runtime.Observed {
	o := runtime.Observed{ID: in.id, Service: in.spec.Service, Release: in.spec.Release, Run: in.spec.Run, StartedAt: in.spec.CreatedAt}
	running := in.alive()
	in.mu.Lock()
	defer in.mu.Unlock()
	if started := in.whenStarted(); started != nil {
		o.StartedAt = time.Unix(0, started.At)
	}
	if !running {
		exit := *in.exit
		o.Exit = &exit
		return o
	}
	o.Running, o.Frozen = true, in.frost.is()
	o.PID, _ = in.applicationPID() // 0 if it is just ending: the next List shows it
	return o
}

// whenStarted returns the record of the start, nil if it has not been started.
// The caller holds mu.
func (in *instance) whenStarted() *handoff.Started {
	if in.started == nil {
		in.started, _, _ = in.status() // what cannot be read has not been written
	}
	return in.started
}

// errNoApplication means that the application has ended or has not started.
var errNoApplication = errors.New("the application does not run")

// applicationPID returns the id of the application's process: the process of the
// instance's cgroup whose id in the shim's pid namespace is the one that the shim
// recorded. The caller holds mu.
func (in *instance) applicationPID() (int, error) {
	if in.pid > 0 {
		return in.pid, nil
	}
	started := in.whenStarted()
	if started == nil {
		return 0, errNoApplication
	}
	pid, err := findProcess(in.group, started.PID)
	if err == nil {
		in.pid = pid
	}
	return pid, err
}

// shimNumber is the shim's id in its own pid namespace. Sandboxes of earlier versions
// have no shim but an init, in the same pid namespace as the application: it has this
// id there, and does what a shim does.
const shimNumber = 1

// findProcess returns the process of a sandbox that has this id in the shim's pid
// namespace.
func findProcess(group cgroup.Group, number int) (int, error) {
	pids, err := group.Procs()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		if inner, err := innerPID(pid); err == nil && inner == number {
			return pid, nil
		}
	}
	return 0, errNoApplication
}

// innerPID returns a process's id in the pid namespace below this process's: that of
// the shim. The application's own is one further below.
func innerPID(pid int) (int, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if list, ok := strings.CutPrefix(line, "NSpid:"); ok {
			numbers := strings.Fields(list)
			if len(numbers) < 2 { // not in a namespace below ours
				break
			}
			return strconv.Atoi(numbers[1])
		}
	}
	return 0, errNoApplication
}

// application returns the ids of the application's process: in the daemon's pid
// namespace and in the shim's.
func (in *instance) application() (pid, number int, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if pid, err = in.applicationPID(); err != nil {
		return 0, 0, err
	}
	return pid, in.started.PID, nil
}

// setKillReason sets the reason for which the instance is about to be killed.
func (in *instance) setKillReason(reason string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.killReason = reason
}

// signal sends a signal to the application.
func (in *instance) signal(s unix.Signal) error {
	pid, number, err := in.application()
	if err != nil {
		return err
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	// If it is still the application, the pidfd is not that of another process.
	if inner, err := innerPID(pid); err != nil || inner != number {
		return errNoApplication
	}
	return unix.PidfdSendSignal(pidfd, s, nil, 0)
}

// kill kills all of the instance.
func (in *instance) kill() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.process == nil {
		return nil
	}
	return in.process.kill()
}

// read returns output from a position on.
func (in *instance) read(from int64, most int) ([]ring.Chunk, int64, error) {
	o := &in.output
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.reader == nil {
		var files [2]io.ReaderAt
		for i, name := range []string{fileOutput0, fileOutput1} {
			f, err := os.Open(filepath.Join(in.dir, name))
			if err != nil {
				o.release()
				return nil, from, err
			}
			o.files, files[i] = append(o.files, f), f
		}
		o.reader = ring.NewReader(files)
	}
	return o.reader.Read(from, most)
}

// release closes the files. The caller holds mu.
func (o *output) release() {
	for _, f := range o.files {
		f.Close()
	}
	o.files, o.reader = nil, nil
}

// close closes the output files.
func (in *instance) close() {
	in.output.mu.Lock()
	defer in.output.mu.Unlock()
	in.output.release()
}
