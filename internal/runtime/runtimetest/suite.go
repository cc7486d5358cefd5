package runtimetest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
)

// Harness is one machine with a driver under test.
type Harness struct {
	// Open returns a driver on the machine, and a function that drops it without
	// any clean-up, as the death of the daemon does. It is called again only after
	// drop.
	Open func(t testing.TB) (d runtime.Driver, drop func())

	// Image is the digest of an image on the machine that holds the executable
	// of ./program at ProgramPath.
	Image string

	// OutputKept is an amount of output, in bytes, from which the driver drops
	// the oldest. 0: it keeps all, and gaps are not tested.
	OutputKept int64
}

// Run checks a driver against the contract of runtime.Driver. It calls setup once
// for each part; setup may share a machine between parts.
func Run(t *testing.T, setup func(t *testing.T) Harness) {
	for _, part := range []struct {
		name string
		test func(*fixture)
	}{
		{"prepare", testPrepare},
		{"ensure", testEnsure},
		{"ensure at once", testEnsureAtOnce},
		{"ensure after exit", testEnsureAfterExit},
		{"start that fails", testStartFails},
		{"exit", testExit},
		{"environment", testEnvironment},
		{"remove", testRemove},
		{"remove with grace", testRemoveGrace},
		{"remove cut short", testRemoveCutShort},
		{"stop", testStop},
		{"independence", testIndependence},
		{"many", testMany},
		{"dial", testDial},
		{"output", testOutput},
		{"output gap", testOutputGap},
		{"watch", testWatch},
		{"stats", testStats},
		{"restart", testRestart},
		{"restart often", testRestartOften},
		{"memory limit", testMemoryLimit},
		{"pids limit", testPidsLimit},
		{"disk limit", testDiskLimit},
	} {
		t.Run(part.name, func(t *testing.T) {
			b := &fixture{T: t, harness: setup(t), ctx: t.Context()}
			b.open()
			// Cleanups run last first: what the harness made outlives this one.
			t.Cleanup(b.clear)
			if err := b.driver.Prepare(b.ctx, b.harness.Image); err != nil {
				t.Fatalf("Prepare: %v", err)
			}
			part.test(b)
		})
	}
}

// fixture is one part's driver and its shorthands.
type fixture struct {
	*testing.T
	ctx     context.Context
	harness Harness
	driver  runtime.Driver
	drop    func()
	started []string
}

func (b *fixture) open() { b.driver, b.drop = b.harness.Open(b.T) }

// restart is the death of a daemon and the start of the next one.
func (b *fixture) restart() {
	b.drop()
	b.open()
}

// clear removes all that the part started and drops the driver.
func (b *fixture) clear() {
	ctx := context.WithoutCancel(b.ctx)
	for _, id := range b.started {
		if err := b.driver.Remove(ctx, id, 0); err != nil {
			b.Errorf("remove %s at the end: %v", id, err)
		}
	}
	b.drop()
}

// port is where programs are told to listen. Instances do not share addresses.
const port = 8080

// spec returns what runs p in an instance of its own.
func (b *fixture) spec(p Program) runtime.Spec {
	s := runtime.Spec{
		ID:      slipway.NewID(),
		Service: slipway.NewID(),
		Release: slipway.NewID(),
		Run:     3,
		Image:   b.harness.Image,
		Workload: slipway.Workload{
			Process: slipway.Process{
				Argv: p.Argv(),
				Env:  []string{"PORT=" + strconv.Itoa(port), "COLOUR=dark blue"},
				Dir:  "/",
			},
			Port:      port,
			Resources: slipway.Resources{CPU: 1024, Memory: 256},
		},
	}
	b.started = append(b.started, s.ID)
	return s
}

// ensure starts s.
func (b *fixture) ensure(s runtime.Spec) string {
	b.Helper()
	if err := b.driver.Ensure(b.ctx, s); err != nil {
		b.Fatalf("Ensure: %v", err)
	}
	return s.ID
}

// start starts a new instance that runs p.
func (b *fixture) start(p Program) string {
	b.Helper()
	return b.ensure(b.spec(p))
}

func (b *fixture) remove(id string, grace time.Duration) {
	b.Helper()
	if err := b.driver.Remove(b.ctx, id, grace); err != nil {
		b.Fatalf("Remove: %v", err)
	}
}

// observe returns the only entry of List with this id, or nil.
func (b *fixture) observe(id string) *runtime.Observed {
	b.Helper()
	list, err := b.driver.List(b.ctx)
	if err != nil {
		b.Fatalf("List: %v", err)
	}
	list = slices.DeleteFunc(list, func(o runtime.Observed) bool { return o.ID != id })
	switch len(list) {
	case 0:
		return nil
	case 1:
		return &list[0]
	}
	b.Fatalf("List shows %s %d times", id, len(list))
	return nil
}

// exited waits until an instance has ended and returns how.
func (b *fixture) exited(id string) slipway.Exit {
	b.Helper()
	var exit slipway.Exit
	b.eventually("the instance's exit is known", func() error {
		o := b.observe(id)
		switch {
		case o == nil:
			b.Fatalf("List no longer shows %s", id)
		case o.Running:
			return fmt.Errorf("it runs")
		case o.Exit == nil:
			b.Fatalf("List shows %s neither running nor with an exit", id)
		}
		exit = *o.Exit
		return nil
	})
	return exit
}

// printed waits until the instance's whole output of one kind is want.
func (b *fixture) printed(id string, stderr bool, want string) {
	b.Helper()
	b.eventually(fmt.Sprintf("output is %.80q", want), func() error {
		if got := text(b.output(id, 0), stderr); got != want {
			return fmt.Errorf("it is %.200q", got)
		}
		return nil
	})
}

// output reads all there is from a position on.
func (b *fixture) output(id string, from int64) []runtime.Chunk {
	b.Helper()
	var all []runtime.Chunk
	for {
		chunks, next, err := b.driver.Output(b.ctx, id, from)
		if err != nil {
			b.Fatalf("Output from %d: %v", from, err)
		}
		if len(chunks) == 0 {
			if next != from {
				b.Fatalf("Output from %d returned nothing and goes on at %d", from, next)
			}
			return all
		}
		last := chunks[len(chunks)-1]
		if end := last.Pos + int64(len(last.Data)); next != end {
			b.Fatalf("Output from %d ends at %d and goes on at %d", from, end, next)
		}
		all = append(all, chunks...)
		from = next
	}
}

func text(chunks []runtime.Chunk, stderr bool) string {
	var s bytes.Buffer
	for _, c := range chunks {
		if c.Stderr == stderr {
			s.Write(c.Data)
		}
	}
	return s.String()
}

// get asks the instance for / and returns status and body.
func (b *fixture) get(id string) (int, string, error) {
	c, err := b.driver.Dial(b.ctx, id, port)
	if err != nil {
		return 0, "", err
	}
	defer c.Close()
	req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, "http://instance/", nil)
	if err != nil {
		return 0, "", err
	}
	stop := context.AfterFunc(b.ctx, func() { c.Close() })
	defer stop()
	if err := req.Write(c); err != nil {
		return 0, "", err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}

// serves waits until the instance answers.
func (b *fixture) serves(id string) {
	b.Helper()
	b.eventually("the instance answers", func() error {
		status, body, err := b.get(id)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("it answers %d %q", status, body)
		}
		return err
	})
}

// patience bounds the wait for a condition: it guards against hanging and
// measures nothing.
const patience = time.Minute

// Eventually calls cond until it returns nil, and fails the test after a minute.
func Eventually(t testing.TB, what string, cond func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := cond()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("this did not come true: %s: %v", what, err)
		}
		<-tick.C
	}
}

func (b *fixture) eventually(what string, cond func() error) {
	b.Helper()
	Eventually(b, what, cond)
}
