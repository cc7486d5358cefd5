package checks

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
)

const (
	lookAt     = 20 * time.Millisecond // how often the job's sockets are looked at
	settle     = 2 * time.Second       // a wrong address must stay for so long: the right one may follow
	bootOutput = 256 << 10             // bytes of output that are passed on
	bootDisk   = 1 << 30               // bytes that it may write
)

// boot runs the start command of a release until it listens, ends, or has had its time.
func (c *Checks) boot(ctx context.Context, k *check, r request, release slipway.Release) (Outcome, error) {
	w := release.Workload
	w.Process.Env = withVariables(w.Process.Env, r.env)
	c.Line(k.id, "[AppRunner] Starting the application: "+command(w.Process.Argv))
	if unset := missing(release, r.env); len(unset) > 0 {
		c.Line(k.id, "[AppRunner] A check reads no secrets, so these variables are not set: "+strings.Join(unset, ", ")+". `slipway check --env` sets one.")
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	began := time.Now()
	l := look{port: uint16(w.Port)}
	out := output{line: func(text string) { c.Line(k.id, "[Run] "+text) }}
	result, err := c.cfg.Jobs.RunJob(ctx, runtime.JobSpec{
		ID: slipway.NewID(), Image: release.Image, Workload: w, Disk: bootDisk, Output: bootOutput, Timeout: c.cfg.Patience,
		Running: func(ctx context.Context, listening func() ([]netip.AddrPort, error)) {
			if l.watch(ctx, listening) {
				end()
			}
		},
	}, func(ch runtime.Chunk) { out.write(ch.Data) })
	out.flush()
	if o, ok := l.outcome(began); ok {
		return o, nil
	}
	if err != nil {
		return Outcome{}, err
	}
	return ended(result, w.Port), nil
}

// withVariables returns an environment with more variables. PORT stays.
func withVariables(env []string, more map[string]string) []string {
	kept := slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		_, ok := more[name]
		return ok && name != "PORT"
	})
	for _, name := range slices.Sorted(maps.Keys(more)) {
		if name != "PORT" {
			kept = append(kept, name+"="+more[name])
		}
	}
	return kept
}

// missing returns the names of the release's secrets that no variable stands for.
func missing(release slipway.Release, env map[string]string) (names []string) {
	if release.Code == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(release.Code.Secrets)) {
		if _, ok := env[name]; !ok {
			names = append(names, name)
		}
	}
	return names
}

func command(argv []string) string {
	if len(argv) == 3 && argv[1] == "-c" {
		return argv[2]
	}
	return strings.Join(argv, " ")
}

// look watches where a job listens.
type look struct {
	port uint16 // where it must

	found time.Time        // when it did
	wrong []netip.AddrPort // where it listened instead, for longer than settle
}

// watch returns true once the job listens where it must, or elsewhere for too long, and
// false when ctx ends.
func (l *look) watch(ctx context.Context, listening func() ([]netip.AddrPort, error)) bool {
	tick := time.NewTicker(lookAt)
	defer tick.Stop()
	var since time.Time // of another address
	for {
		list, err := listening()
		if err == nil {
			if slices.ContainsFunc(list, func(a netip.AddrPort) bool { return a.Port() == l.port && !a.Addr().IsLoopback() }) {
				l.found = time.Now()
				return true
			}
			switch {
			case len(list) == 0:
				since = time.Time{}
			case since.IsZero():
				since = time.Now()
			case time.Since(since) > settle:
				l.wrong = list
				return true
			}
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// outcome says what was seen; false if nothing was.
func (l *look) outcome(began time.Time) (Outcome, bool) {
	if !l.found.IsZero() {
		return Outcome{Passed: true, Message: fmt.Sprintf("It listens on %d after %s.", l.port, seconds(l.found.Sub(began)))}, true
	}
	if len(l.wrong) == 0 {
		return Outcome{}, false
	}
	slices.SortFunc(l.wrong, func(a, b netip.AddrPort) int {
		// The right port first, then what can be reached.
		return rank(a, l.port) - rank(b, l.port)
	})
	switch a := l.wrong[0]; {
	case a.Port() == l.port:
		return Outcome{
			Message: fmt.Sprintf("It listens on %s, which nothing outside of the instance can reach.", a),
			Next:    fmt.Sprintf("Let it listen on 0.0.0.0:%d.", l.port),
		}, true
	case a.Addr().IsLoopback():
		return Outcome{
			Message: fmt.Sprintf("It listens on %s, and not on port %d of all addresses.", a, l.port),
			Next:    "Let it listen on 0.0.0.0 and the port in the variable PORT.",
		}, true
	default:
		return Outcome{
			Message: fmt.Sprintf("It listens on port %d, and not on %d.", a.Port(), l.port),
			Next:    fmt.Sprintf("Let it listen on the port in the variable PORT, or deploy it with --port %d.", a.Port()),
		}, true
	}
}

func rank(a netip.AddrPort, port uint16) int {
	switch {
	case a.Port() == port:
		return 0
	case a.Addr().IsLoopback():
		return 2
	}
	return 1
}

// ended says why a start command that ended, or had its time, is no service.
func ended(r runtime.JobResult, port int) Outcome {
	took := seconds(r.Exit.Ran)
	switch {
	case r.Limit == runtime.LimitTime:
		return Outcome{
			Message: fmt.Sprintf("After %s it listens nowhere.", took),
			Next:    fmt.Sprintf("Let the start command start a server on 0.0.0.0:%d, the port in the variable PORT.", port),
		}
	case r.Limit == runtime.LimitMemory:
		return Outcome{Message: fmt.Sprintf("It was killed at its memory limit after %s.", took), Next: "Deploy it with more --memory, or let it take less."}
	case r.Exit.Code == 127:
		return Outcome{Message: "A program of the start command does not exist in the image.", Next: "Correct the start command, or install the program in the build."}
	case r.Exit.Code == 126:
		return Outcome{Message: "A file of the start command is not executable.", Next: "Start it by its interpreter, or set its mode."}
	case r.Exit.Code == 0:
		return Outcome{
			Message: fmt.Sprintf("It ended by itself after %s, without an error.", took),
			Next:    "A service runs until it is stopped: let the start command start a server, in the foreground.",
		}
	}
	return Outcome{Message: fmt.Sprintf("It ended with code %d after %s.", r.Exit.Code, took), Next: "Its last lines say why."}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", max(d, 0).Seconds()) }

// maxLine is the longest line, in bytes.
const maxLine = 8 << 10

// output cuts what a job writes into lines.
type output struct {
	line func(string)

	mu   sync.Mutex // guards part
	part []byte
}

func (o *output) write(data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(data) > 0 {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			o.part = append(o.part, data...)
			if len(o.part) > maxLine {
				o.emit()
			}
			return
		}
		o.part = append(o.part, data[:i]...)
		o.emit()
		data = data[i+1:]
	}
}

// emit passes on what there is of a line. The caller holds the lock.
func (o *output) emit() {
	o.line(strings.ToValidUTF8(string(bytes.TrimRight(o.part, "\r")), "\uFFFD"))
	o.part = o.part[:0]
}

func (o *output) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.part) > 0 {
		o.emit()
	}
}
