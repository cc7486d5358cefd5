// Package step runs the commands of one stage of a build in a sandbox.
//
// A stage is one job of the driver: its commands run one after the other on the same
// root file system, each in a shell of its own, until one fails. What they changed is
// one layer. The package knows nothing of App Runner's stages, of the log's form or of
// images; internal/build does, and is its only caller. Nothing else of a build runs
// jobs, but for internal/build/runtimes, which makes root file systems with the same
// function.
package step

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
)

// Stage is commands that run on one root file system.
type Stage struct {
	Image  string   // manifest digest in the image store; "" for none
	Layers []string // directories over the image's layers, top first
	Binds  []runtime.Bind

	Commands []string // each is run by `/bin/sh -c`, in order, until one fails
	Dir      string   // working directory of each
	Env      []string // "NAME=value": all that they get, beside PATH, HOME and HOSTNAME
	Networks []string // see slipway.Workload
	Limits   Limits

	// Changes is the directory that the stage's layer becomes; "": its changes are
	// dropped. See runtime.JobSpec.
	Changes string
	// Unidentified leaves the layer's identity out. See runtime.JobSpec.
	Unidentified bool
}

// Limits bound one stage.
type Limits struct {
	CPU    int           // units: 1024 are one core; 0: no limit
	Memory int           // MiB; 0: no limit
	Pids   int           // processes and threads; 0: the driver's default
	Disk   int64         // bytes that the changes may take; 0: the driver's default
	Output int64         // bytes of output; 0: no limit
	Time   time.Duration // 0: no limit
}

// Result is how a stage ended.
type Result struct {
	runtime.JobResult
	Last int           // index of the command that ran last: the failed one, if Exit is not 0; -1 for none
	Took time.Duration // of the stage
}

// Log receives what the commands of a stage write.
type Log interface {
	// Begin is called before a command runs, with its index.
	Begin(command int)
	// Output receives what the running command writes, both streams in one order.
	Output(data []byte)
}

// Runner runs stages as jobs.
type Runner struct{ Jobs runtime.Job }

// Run runs a stage to its end. How its commands ended is in the result. An error means
// that they could not be run, or that ctx ended.
func (n Runner) Run(ctx context.Context, s Stage, log Log) (Result, error) {
	id, mark := token(), token()
	r := Result{Last: -1}
	m := &marks{mark: mark, output: log.Output, begin: func(i int) {
		if i == r.Last+1 && i < len(s.Commands) {
			r.Last = i
			log.Begin(i)
		}
	}}
	want := runtime.JobSpec{
		ID: id, Image: s.Image, Layers: s.Layers, Binds: s.Binds,
		Workload: slipway.Workload{
			Process: slipway.Process{
				Argv: append([]string{"/bin/sh", "-c", script, "sh", mark}, s.Commands...),
				Env:  s.Env, Dir: s.Dir, User: "0:0",
			},
			Resources: slipway.Resources{CPU: s.Limits.CPU, Memory: s.Limits.Memory},
			Networks:  s.Networks,
		},
		Pids: s.Limits.Pids, Disk: s.Limits.Disk, Timeout: s.Limits.Time, Output: s.Limits.Output,
		Changes: s.Changes, Unidentified: s.Unidentified,
	}
	if len(s.Commands) == 0 {
		return r, errors.New("a stage has no commands")
	}
	began := time.Now()
	pos := int64(0)
	var err error
	r.JobResult, err = n.Jobs.RunJob(ctx, want, func(c runtime.Chunk) {
		if c.Pos > pos {
			m.write(lost(c.Pos - pos))
		}
		pos = c.Pos + int64(len(c.Data))
		m.write(c.Data)
	})
	m.flush()
	r.Took = time.Since(began)
	return r, err
}

// Process is one program that runs on a root file system.
type Process struct {
	Image  string   // manifest digest in the image store; "" for none
	Layers []string // directories over the image's layers, top first
	Binds  []runtime.Bind

	Argv     []string
	Env      []string // as in Stage
	Dir      string   // working directory; made if it is missing
	User     string   // "", "uid", "name", "uid:gid", "name:group"; names are the image's
	Networks []string // see slipway.Workload
	Offline  bool     // no network at all
	Limits   Limits
	Changes  string // as in Stage
}

// Exec runs a process to its end. How it ended is in the result. An error means that it
// could not be run, or that ctx ended. output receives both streams; it may be nil.
func (n Runner) Exec(ctx context.Context, p Process, output func(data []byte)) (Result, error) {
	began, pos := time.Now(), int64(0)
	res, err := n.Jobs.RunJob(ctx, runtime.JobSpec{
		ID: token(), Image: p.Image, Layers: p.Layers, Binds: p.Binds, Offline: p.Offline,
		Workload: slipway.Workload{
			Process:   slipway.Process{Argv: p.Argv, Env: p.Env, Dir: p.Dir, User: p.User},
			Resources: slipway.Resources{CPU: p.Limits.CPU, Memory: p.Limits.Memory},
			Networks:  p.Networks,
		},
		Pids: p.Limits.Pids, Disk: p.Limits.Disk, Timeout: p.Limits.Time, Output: p.Limits.Output, Changes: p.Changes,
	}, func(c runtime.Chunk) {
		if output == nil {
			return
		}
		if c.Pos > pos {
			output(lost(c.Pos - pos))
		}
		pos = c.Pos + int64(len(c.Data))
		output(c.Data)
	})
	return Result{JobResult: res, Took: time.Since(began)}, err
}

// lost tells of output that nobody will see.
func lost(n int64) []byte {
	return fmt.Appendf(nil, "\n[%d bytes of output were lost: they came faster than they could be read]\n", n)
}

// script runs the commands in its arguments. It joins the two streams, so that their
// order is exact, and writes a mark before each command. The blank keeps a command
// that begins with a hyphen from being an option.
const script = `exec 2>&1
mark=$1
shift
i=0
for c do
	printf '\036%s %d\036' "$mark" "$i"
	/bin/sh -c " $c" </dev/null || exit $?
	i=$((i+1))
done
`

// token returns 32 random hexadecimal digits: an id, and a mark that no command can
// guess. (A command that looks for it can find it, and can then only fool its own log.)
func token() string {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // never fails
	return hex.EncodeToString(b[:])
}
