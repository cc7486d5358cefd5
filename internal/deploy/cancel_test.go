package deploy_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// cancellation is an operation that is cancelled at each of its checkpoints.
type cancellation struct {
	name   string
	before []testOperation
	// taken is the operation with its end if it could be cancelled, refused if
	// it was irrevocable.
	taken, refused testOperation
	keeps          bool // a pause keeps instances for an hour
}

var (
	creation   = testOperation{slipway.CreateService, "one", slipway.OperationSucceeded, slipway.StatusRunning, "one", ""}
	withSecret = testOperation{slipway.CreateService, "secret:/token", slipway.OperationSucceeded, slipway.StatusRunning, "secret:/token", ""}
	pausing    = testOperation{slipway.PauseService, "", slipway.OperationSucceeded, slipway.StatusPaused, "", ""}
	keeping    = testOperation{slipway.PauseService, "", slipway.OperationSucceeded, slipway.StatusPaused, "kept:one", ""}
	deletion   = testOperation{slipway.DeleteService, "", slipway.OperationSucceeded, slipway.StatusDeleted, "", ""}
	failed     = testOperation{
		slipway.CreateService, "missing", slipway.OperationFailed, slipway.StatusCreateFailed, "",
		"The image missing is not in its registry.",
	}
)

var cancellations = []cancellation{
	{
		"creation", nil,
		testOperation{slipway.CreateService, "one", slipway.OperationFailed, slipway.StatusCreateFailed, "", ""},
		creation,
		false,
	},
	{
		"update",
		[]testOperation{creation},
		testOperation{slipway.UpdateService, "two", slipway.OperationRollbackSucceeded, slipway.StatusRunning, "one", ""},
		testOperation{slipway.UpdateService, "two", slipway.OperationSucceeded, slipway.StatusRunning, "two", ""},
		false,
	},
	{
		"update with a secret",
		[]testOperation{creation},
		testOperation{slipway.UpdateService, "secret:/token", slipway.OperationRollbackSucceeded, slipway.StatusRunning, "one", ""},
		testOperation{slipway.UpdateService, "secret:/token", slipway.OperationSucceeded, slipway.StatusRunning, "secret:/token", ""},
		false,
	},
	{
		"update whose work is tried again",
		[]testOperation{creation},
		testOperation{slipway.UpdateService, "late", slipway.OperationRollbackSucceeded, slipway.StatusRunning, "one", ""},
		testOperation{slipway.UpdateService, "late", slipway.OperationSucceeded, slipway.StatusRunning, "late", ""},
		false,
	},
	{
		"update of a failed creation",
		[]testOperation{failed},
		testOperation{slipway.UpdateService, "two", slipway.OperationFailed, slipway.StatusCreateFailed, "", ""},
		testOperation{slipway.UpdateService, "two", slipway.OperationSucceeded, slipway.StatusRunning, "two", ""},
		false,
	},
	{
		"deployment",
		[]testOperation{creation},
		testOperation{slipway.StartDeployment, "", slipway.OperationRollbackSucceeded, slipway.StatusRunning, "one", ""},
		testOperation{slipway.StartDeployment, "", slipway.OperationSucceeded, slipway.StatusRunning, "one", ""},
		false,
	},
	{
		"pause",
		[]testOperation{creation},
		testOperation{slipway.PauseService, "", slipway.OperationFailed, slipway.StatusRunning, "one", ""},
		pausing,
		false,
	},
	{
		"resume",
		[]testOperation{withSecret, pausing},
		testOperation{slipway.ResumeService, "", slipway.OperationFailed, slipway.StatusPaused, "", ""},
		testOperation{slipway.ResumeService, "", slipway.OperationSucceeded, slipway.StatusRunning, "secret:/token", ""},
		false,
	},
	{
		"pause that keeps instances",
		[]testOperation{creation},
		testOperation{slipway.PauseService, "", slipway.OperationFailed, slipway.StatusRunning, "one", ""},
		keeping,
		true,
	},
	{
		"resume of kept instances",
		[]testOperation{withSecret, {slipway.PauseService, "", slipway.OperationSucceeded, slipway.StatusPaused, "kept:secret:/token", ""}},
		testOperation{slipway.ResumeService, "", slipway.OperationFailed, slipway.StatusPaused, "", ""},
		testOperation{slipway.ResumeService, "", slipway.OperationSucceeded, slipway.StatusRunning, "secret:/token", ""},
		true,
	},
	{"deletion", []testOperation{creation}, deletion, deletion, false},
	{"deletion with kept instances", []testOperation{creation, keeping}, deletion, deletion, true},
}

// Every kind of operation is cancelled at every checkpoint; in a second run the
// engine is also killed there, right after the request is committed.
func TestCancelAtEveryStep(t *testing.T) {
	for _, c := range cancellations {
		t.Run(c.name, func(t *testing.T) {
			points := c.run(t, 0, false).points
			if len(points) < 4 {
				t.Fatalf("only %d checkpoints: %v", len(points), points)
			}
			taken := 0
			for n := 0; n < len(points); n += stride {
				for _, kill := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s, killed %v", points[n], kill), func(t *testing.T) {
						if c.run(t, n+1, kill).request.Load() != nil {
							taken++
						}
					})
				}
			}
			t.Logf("%d of %d requests were taken", taken, 2*len(points))
			if deletes := c.taken.kind == slipway.DeleteService; deletes != (taken == 0) {
				t.Errorf("%d requests were taken", taken)
			}
		})
	}
}

func (c cancellation) run(t *testing.T, at int, kill bool) *canceller {
	var k *canceller
	synctest.Test(t, func(t *testing.T) {
		st, running := newStore(t)
		k = &canceller{store: st, kind: c.taken.kind, at: at, kill: kill, dead: make(chan struct{})}
		res := &resolver{tries: map[string]int{}}
		read := newReader(t, st)
		putToken(t, read, "t")
		ctx := t.Context()
		first, die := context.WithCancel(ctx)
		defer die()
		ended := start(t, running, first, st, res, read, "first", k.checkpoint)
		running.Go(func() {
			select {
			case <-ctx.Done():
			case <-k.dead:
				die()
				<-ended
				time.Sleep(time.Second) // the time a restart takes
				if err := st.Update(ctx, func(tx *store.Tx) error { return tx.ReleaseLeases("first") }); err == nil {
					start(t, running, ctx, st, res, read, "second", nil)
				}
			}
		})
		id := create(t, st)
		if c.keeps {
			setTags(t, st, id, slipway.Tag{Key: "slipway:pause-keeps", Value: "3600"})
		}
		for _, b := range c.before {
			b.run(t, st, id)
		}
		c.follow(t, st, id, k)
	})
	return k
}

// follow runs the operation, then deletes the service: it must be whole.
func (c cancellation) follow(t *testing.T, st *store.Store, service string, k *canceller) {
	t.Helper()
	op := c.taken.end(t, st, service)
	want := c.refused
	request := k.request.Load()
	if request != nil {
		want = c.taken
		want.cause = request.String()
	}
	if op.Status != want.status || op.Cause != want.cause {
		t.Errorf("%s ended %s at %q with cause %q, want %s with %q", want.kind, op.Status, op.Step, op.Cause, want.status, want.cause)
	}
	want.check(t, st, service)
	lines := 0
	err := st.View(t.Context(), func(tx *store.Tx) error {
		events, err := tx.EventsByTime(store.EventQuery{ServiceID: service, Stream: "events"})
		for _, e := range events {
			if strings.Contains(e.Text, "was cancelled by ann") {
				lines++
			}
		}
		return err
	})
	if err != nil || (lines == 1) != (request != nil) || lines > 1 {
		t.Errorf("%d lines say who cancelled it, taken: %v, err %v", lines, request != nil, err)
	}
	if want.rest != slipway.StatusDeleted {
		deletion.run(t, st, service)
	}
}

// canceller cancels an operation of the kind at its n-th checkpoint, and then
// kills the engine.
type canceller struct {
	store *store.Store
	kind  slipway.OperationKind
	at    int
	kill  bool
	dead  chan struct{}

	request atomic.Pointer[slipway.Cancellation] // nil if the operation was irrevocable

	mu     sync.Mutex // guards the rest
	points []string
	killed bool
}

func (k *canceller) checkpoint(op slipway.Operation, point string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.killed {
		return errKilled
	}
	if op.Kind != k.kind {
		return nil
	}
	k.points = append(k.points, point)
	if len(k.points) != k.at {
		return nil
	}
	// A checkpoint in the transaction of a claim comes before the request.
	go k.cancel(op.ID)
	time.Sleep(time.Millisecond)
	if k.kill {
		k.killed = true
		close(k.dead)
		return errKilled
	}
	return nil
}

// cancel does what the API does.
func (k *canceller) cancel(id string) {
	err := k.store.Update(context.Background(), func(tx *store.Tx) error {
		op, err := tx.Operation(id)
		if err != nil {
			return err
		}
		v, err := tx.Service(op.ServiceID)
		if err != nil {
			return err
		}
		var active slipway.Release
		if v.ActiveRelease != "" {
			if active, err = tx.Release(v.ActiveRelease); err != nil {
				return err
			}
		}
		if !op.Status.Live() || op.Irrevocable(active) != "" {
			return nil
		}
		c := slipway.Cancellation{By: "ann", At: time.Now()}
		k.request.Store(&c)
		return tx.CancelOperation(op, c)
	})
	if err != nil {
		panic(err)
	}
}
