package deploy_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/deploy"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/operation"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

// resolver returns the reference as the digest. An image named "missing" does
// not exist; one named "late" fails twice with a temporary error.
type resolver struct {
	mu    sync.Mutex
	tries map[string]int
}

func (r *resolver) Resolve(ctx context.Context, s types.SourceConfiguration, progress func(string)) (source.Artifact, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ref := aws.ToString(s.ImageRepository.ImageIdentifier)
	r.tries[ref]++
	progress("looking for " + ref)
	if err := image.Permitted(ctx, ref); err != nil {
		return source.Artifact{}, err
	}
	switch {
	case ref == "missing":
		return source.Artifact{}, slipway.Errorf(slipway.InvalidRequest, "The image missing is not in its registry.")
	case ref == "late" && r.tries[ref] < 3:
		return source.Artifact{}, errors.New("connection reset")
	}
	return source.Artifact{Digest: ref, Ref: ref, Config: image.RunConfig{Cmd: []string{"/app"}}}, nil
}

// coder builds a branch as the image of its name. The branch "broken" does not
// build, "gone" does not exist, and "slow" fails once with a temporary error.
type coder struct {
	mu     sync.Mutex
	builds map[string]int // by branch
	tries  map[string]int // by branch
	tokens []string

	settings []slipway.BuildSettings // of each build
	secrets  []map[string]string     // of each build

	pushed    map[string]string // newest commit by branch, if not the first
	directory map[string]string // id of the source directory by commit, if not "tree"
	asked     int
	away      bool // the repository can't be reached
	slow      time.Duration
}

func newCoder() *coder {
	return &coder{builds: map[string]int{}, tries: map[string]int{}, pushed: map[string]string{}, directory: map[string]string{}}
}

func (c *coder) Directory(_ context.Context, _ source.Repository, commit string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.directory[commit], "tree"), nil
}

func (c *coder) Commit(_ context.Context, r source.Repository) (string, error) {
	c.mu.Lock()
	slow := c.slow
	c.mu.Unlock()
	time.Sleep(slow)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked++; c.away {
		return "", errors.New("no route to host")
	}
	if r.Branch == "gone" {
		return "", slipway.Errorf(slipway.InvalidRequest, "The repository has no branch gone.")
	}
	return cmp.Or(c.pushed[r.Branch], "commit of "+r.Branch), nil
}

func (c *coder) Build(ctx context.Context, q source.BuildRequest, progress func(string)) (source.Build, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	branch := q.Repository.Branch
	c.tries[branch]++
	c.tokens = append(c.tokens, q.Repository.Token)
	c.settings, c.secrets = append(c.settings, q.Repository.Build), append(c.secrets, q.Secrets)
	progress("Starting source code build.")
	if err := image.Permitted(ctx, "the base of a build"); err != nil {
		return source.Build{}, err
	}
	switch {
	case q.Commit == "bad commit":
		return source.Build{}, slipway.Errorf(slipway.InvalidRequest, "Failed to execute 'build' command.")
	case q.Commit != cmp.Or(c.pushed[branch], "commit of "+branch):
		return source.Build{}, slipway.Errorf(slipway.InvalidRequest, "%s was to be built.", q.Commit)
	case branch == "broken":
		return source.Build{}, slipway.Errorf(slipway.InvalidRequest, "Failed to execute 'build' command.")
	case branch == "slow" && c.tries[branch] == 1:
		return source.Build{}, errors.New("connection reset")
	}
	c.builds[branch]++
	b := source.Build{Code: slipway.CodeVersion{Commit: q.Commit, Directory: cmp.Or(c.directory[q.Commit], "tree"), Command: "run " + branch, Port: "9000"}}
	if v := q.Repository.Configuration.CodeConfigurationValues; v != nil {
		b.Code.Command, b.Code.Secrets = aws.ToString(v.StartCommand), v.RuntimeEnvironmentSecrets
	}
	b.Artifact = source.Artifact{Digest: branch, Ref: branch, Config: image.RunConfig{Dir: "/app"}}
	return b, nil
}

func (c *coder) Built(_ context.Context, digest string, _ slipway.CodeVersion, _ source.Repository) (source.Artifact, error) {
	return source.Artifact{Digest: digest, Ref: digest, Config: image.RunConfig{Dir: "/app"}}, nil
}

// fakeFleet stands for the fleet and a router: after a while it brings the
// instances of releases to their desired state, and it reports every drain.
type fakeFleet struct {
	store *store.Store
	log   *slog.Logger
	now   func() time.Time
}

func (w fakeFleet) run(ctx context.Context) {
	watch := w.store.Watch(store.Releases | store.Routes)
	defer watch.Close()
	tick := time.NewTicker(5 * time.Second) // as often as a router's heartbeat
	defer tick.Stop()
	do := w.pass
	for ctx.Err() == nil {
		if err := w.store.Update(ctx, do); err != nil && ctx.Err() == nil {
			panic(err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
			do = w.beat
		case <-watch.C:
			watch.Take()
			time.Sleep(3 * time.Millisecond) // an instance takes a moment
			do = w.pass
		}
	}
}

func (w fakeFleet) beat(tx *store.Tx) error { return tx.PutRouter("router", 1, w.now()) }

func (w fakeFleet) pass(tx *store.Tx) error {
	if err := w.beat(tx); err != nil {
		return err
	}
	services, err := tx.Services(time.Time{}, "", 0)
	if err != nil {
		return err
	}
	for _, s := range services {
		releases, err := tx.ReleasesOf(s.ID)
		if err != nil {
			return err
		}
		for _, r := range releases {
			if err := w.follow(tx, r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w fakeFleet) follow(tx *store.Tx, r slipway.Release) error {
	if r.Unlisted && r.Desired != slipway.DesiredRun {
		if err := tx.SetListed(r); err != nil {
			return err
		}
	}
	instances, err := tx.InstancesOfRelease(r.ID)
	if err != nil {
		return err
	}
	var live []slipway.Instance
	for _, i := range instances {
		if i.State.Live() {
			live = append(live, i)
		} else if r.Image == "crash" && r.Desired == slipway.DesiredRun {
			return nil // it crashed: the operation decides what follows
		}
	}
	switch r.Desired {
	case slipway.DesiredDrain:
		if r.Image == "busy" { // its requests do not end
			return nil
		}
		return tx.ReportDrained("router", r.ServiceID, r.ID)
	case slipway.DesiredKeep:
		return w.keep(tx, r, live)
	case slipway.DesiredStop:
		for _, i := range live {
			i.State, i.EndedAt = slipway.InstanceEnded, w.now()
			if err := tx.PutInstance(i); err != nil {
				return err
			}
		}
		return nil
	}
	if live, err = w.thaw(tx, r, live); err != nil {
		return err
	}
	for n := r.Size; n < len(live); n++ {
		i := live[n]
		i.State, i.EndedAt = slipway.InstanceEnded, w.now()
		if err := tx.PutInstance(i); err != nil {
			return err
		}
	}
	for range r.Size - len(live) {
		i := slipway.Instance{ID: slipway.NewID(), ServiceID: r.ServiceID, ReleaseID: r.ID, Run: r.Run, CreatedAt: w.now(), ReadyAt: w.now(), State: slipway.InstanceReady}
		switch r.Image {
		case "crash":
			i.State, i.ReadyAt = slipway.InstanceEnded, time.Time{}
			i.Exit = &slipway.Exit{Code: 1, Ran: 300 * time.Millisecond, Tail: "cannot reach the database\n"}
		case "silent":
			i.State, i.ReadyAt, i.Problem = slipway.InstanceStarting, time.Time{}, "nothing listens on port 8080"
		}
		if err := tx.PutInstance(i); err != nil {
			return err
		}
	}
	return nil
}

// keep freezes the instances of a paused service, until their time is over.
func (w fakeFleet) keep(tx *store.Tx, r slipway.Release, live []slipway.Instance) error {
	for n, i := range live {
		switch {
		case n >= r.Size || !r.Keeps(w.now()):
			i.State, i.EndedAt = slipway.InstanceEnded, w.now()
		case i.State == slipway.InstanceKept:
			continue
		default:
			i.State = slipway.InstanceKept
		}
		if err := tx.PutInstance(i); err != nil {
			return err
		}
	}
	return nil
}

// thaw has kept instances serve again, or ends them if they must not. It returns those that
// live on.
func (w fakeFleet) thaw(tx *store.Tx, r slipway.Release, live []slipway.Instance) (rest []slipway.Instance, err error) {
	for _, i := range live {
		if i.State == slipway.InstanceKept {
			if i.State, i.ReadyAt, i.Run = slipway.InstanceReady, w.now(), r.Run; r.KeepUntil.IsZero() {
				i.State, i.EndedAt = slipway.InstanceEnded, w.now()
			}
			if err := tx.PutInstance(i); err != nil {
				return nil, err
			}
		}
		if i.State.Live() {
			rest = append(rest, i)
		}
	}
	return rest, nil
}

// killer kills the engine at the n-th checkpoint.
type killer struct {
	mu     sync.Mutex
	at     int
	points []string
	dead   chan struct{}
}

var errKilled = errors.New("killed")

func (k *killer) checkpoint(op slipway.Operation, point string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.points = append(k.points, fmt.Sprintf("%s: %s", op.Kind, point))
	if len(k.points) < k.at || k.at == 0 {
		return nil
	}
	if len(k.points) == k.at {
		close(k.dead)
	}
	return errKilled
}

// lifecycle is a sequence of operations on a service, each with the status that
// it and the service must have at its end.
type lifecycle struct {
	name       string
	idle       bool // the active release is stopped before each operation, as the scaler does it
	keeps      bool // a pause keeps instances for an hour
	operations []testOperation
}

type testOperation struct {
	kind   slipway.OperationKind
	image  string // for create and update
	status slipway.OperationStatus
	rest   slipway.Status
	serves string // image that serves afterwards; "" for none. "kept:" and an image: one that is kept
	cause  string // of the operation, when it fails
}

var lifecycles = []lifecycle{
	{name: "life", operations: []testOperation{
		{slipway.CreateService, "one", slipway.OperationSucceeded, slipway.StatusRunning, "one", ""},
		{slipway.UpdateService, "two", slipway.OperationSucceeded, slipway.StatusRunning, "two", ""},
		{slipway.UpdateService, "two", slipway.OperationSucceeded, slipway.StatusRunning, "two", ""},
		{slipway.StartDeployment, "", slipway.OperationSucceeded, slipway.StatusRunning, "two", ""},
		{slipway.PauseService, "", slipway.OperationSucceeded, slipway.StatusPaused, "", ""},
		{slipway.ResumeService, "", slipway.OperationSucceeded, slipway.StatusRunning, "two", ""},
		{slipway.DeleteService, "", slipway.OperationSucceeded, slipway.StatusDeleted, "", ""},
	}},
	{name: "failed creation, mended, then deleted", operations: []testOperation{
		{
			slipway.CreateService, "crash", slipway.OperationFailed, slipway.StatusCreateFailed, "",
			"the process exited with code 1 after 0.3 s; its last lines were: cannot reach the database",
		},
		{
			slipway.UpdateService, "missing", slipway.OperationFailed, slipway.StatusCreateFailed, "",
			"The image missing is not in its registry.",
		},
		{slipway.UpdateService, "late", slipway.OperationSucceeded, slipway.StatusRunning, "late", ""},
		{slipway.DeleteService, "", slipway.OperationSucceeded, slipway.StatusDeleted, "", ""},
	}},
	{name: "secrets", operations: []testOperation{
		{slipway.CreateService, "secret:/token", slipway.OperationSucceeded, slipway.StatusRunning, "secret:/token", ""},
		{
			slipway.UpdateService, "secret:/gone", slipway.OperationRollbackSucceeded, slipway.StatusRunning, "secret:/token",
			"The secret for environment variable TOKEN could not be read from /gone: Parameter Store has no parameter of this name.",
		},
		{slipway.PauseService, "", slipway.OperationSucceeded, slipway.StatusPaused, "", ""},
		{slipway.ResumeService, "", slipway.OperationSucceeded, slipway.StatusRunning, "secret:/token", ""},
	}},
	{name: "code", operations: []testOperation{
		{slipway.CreateService, "code:one", slipway.OperationSucceeded, slipway.StatusRunning, "one", ""},
		{
			slipway.UpdateService, "code:broken", slipway.OperationRollbackSucceeded, slipway.StatusRunning, "one",
			"Failed to build your application source code. Reason: Failed to execute 'build' command.",
		},
		{
			slipway.UpdateService, "code:gone", slipway.OperationRollbackSucceeded, slipway.StatusRunning, "one",
			"Failed to pull your application source code. Reason: The repository has no branch gone.",
		},
		{slipway.UpdateService, "code:slow", slipway.OperationSucceeded, slipway.StatusRunning, "slow", ""},
		{slipway.StartDeployment, "", slipway.OperationSucceeded, slipway.StatusRunning, "slow", ""},
		{slipway.PauseService, "", slipway.OperationSucceeded, slipway.StatusPaused, "", ""},
		{slipway.ResumeService, "", slipway.OperationSucceeded, slipway.StatusRunning, "slow", ""},
		{slipway.DeleteService, "", slipway.OperationSucceeded, slipway.StatusDeleted, "", ""},
	}},
	{name: "failed creation from code, mended", operations: []testOperation{
		{
			slipway.CreateService, "code:broken", slipway.OperationFailed, slipway.StatusCreateFailed, "",
			"Failed to build your application source code. Reason: Failed to execute 'build' command.",
		},
		{slipway.UpdateService, "code:one", slipway.OperationSucceeded, slipway.StatusRunning, "one", ""},
	}},
	{name: "failed updates keep the old version", operations: []testOperation{
		{slipway.CreateService, "one", slipway.OperationSucceeded, slipway.StatusRunning, "one", ""},
		{
			slipway.UpdateService, "missing", slipway.OperationRollbackSucceeded, slipway.StatusRunning, "one",
			"The image missing is not in its registry.",
		},
		{
			slipway.UpdateService, "crash", slipway.OperationRollbackSucceeded, slipway.StatusRunning, "one",
			"the process exited with code 1 after 0.3 s; its last lines were: cannot reach the database",
		},
		{
			slipway.UpdateService, "silent", slipway.OperationRollbackSucceeded, slipway.StatusRunning, "one",
			"it took longer than 5m0s: 0 of 1 instances passed the health check on protocol `TCP` [Port: '8080']; nothing listens on port 8080",
		},
	}},
	{name: "kept over pauses", keeps: true, operations: []testOperation{
		{slipway.CreateService, "secret:/token", slipway.OperationSucceeded, slipway.StatusRunning, "secret:/token", ""},
		{slipway.PauseService, "", slipway.OperationSucceeded, slipway.StatusPaused, "kept:secret:/token", ""},
		{slipway.ResumeService, "", slipway.OperationSucceeded, slipway.StatusRunning, "secret:/token", ""},
		{slipway.PauseService, "", slipway.OperationSucceeded, slipway.StatusPaused, "kept:secret:/token", ""},
		{slipway.ResumeService, "", slipway.OperationSucceeded, slipway.StatusRunning, "secret:/token", ""},
		{slipway.UpdateService, "two", slipway.OperationSucceeded, slipway.StatusRunning, "two", ""},
		{slipway.PauseService, "", slipway.OperationSucceeded, slipway.StatusPaused, "kept:two", ""},
		{slipway.DeleteService, "", slipway.OperationSucceeded, slipway.StatusDeleted, "", ""},
	}},
	{name: "stopped for want of requests before each operation", idle: true, operations: []testOperation{
		{slipway.CreateService, "one", slipway.OperationSucceeded, slipway.StatusRunning, "one", ""},
		{slipway.UpdateService, "two", slipway.OperationSucceeded, slipway.StatusRunning, "two", ""},
		{
			slipway.UpdateService, "crash", slipway.OperationRollbackSucceeded, slipway.StatusRunning, "",
			"the process exited with code 1 after 0.3 s; its last lines were: cannot reach the database",
		},
		{slipway.StartDeployment, "", slipway.OperationSucceeded, slipway.StatusRunning, "two", ""},
		{slipway.PauseService, "", slipway.OperationSucceeded, slipway.StatusPaused, "", ""},
		{slipway.ResumeService, "", slipway.OperationSucceeded, slipway.StatusRunning, "two", ""},
		{slipway.DeleteService, "", slipway.OperationSucceeded, slipway.StatusDeleted, "", ""},
	}},
}

// The engine is killed at every checkpoint of every lifecycle, once in each run,
// and the next engine must bring the lifecycle to the same end.
func TestEveryLifecycleAtEveryCrashPoint(t *testing.T) {
	for _, s := range lifecycles {
		t.Run(s.name, func(t *testing.T) {
			points := runLifecycle(t, s, 0)
			if len(points) < 2*len(s.operations) {
				t.Fatalf("only %d crash points: %v", len(points), points)
			}
			for n := 0; n < len(points); n += stride {
				t.Run(points[n], func(t *testing.T) { runLifecycle(t, s, n+1) })
			}
		})
	}
}

func runLifecycle(t *testing.T, s lifecycle, killAt int) (points []string) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		st, running := newStore(t)
		k := &killer{at: killAt, dead: make(chan struct{})}
		res := &resolver{tries: map[string]int{}}
		read := newReader(t, st)
		putToken(t, read, "t")
		first, die := context.WithCancel(ctx)
		defer die()
		ended := start(t, running, first, st, res, read, "first", k.checkpoint)
		running.Go(func() {
			select {
			case <-ctx.Done():
			case <-k.dead:
				die() // the rest of the process, which executes no operation
				<-ended
				time.Sleep(time.Second) // the time a restart takes
				if err := st.Update(ctx, func(tx *store.Tx) error { return tx.ReleaseLeases("first") }); err == nil {
					start(t, running, ctx, st, res, read, "second", nil)
				}
			}
		})
		scaling := slipway.Scaling{MaxConcurrency: 100, MinSize: 1, MaxSize: 3}
		if s.idle {
			scaling.MinSize = 3
		}
		id := createScaled(t, st, scaling)
		if s.keeps {
			setTags(t, st, id, slipway.Tag{Key: "slipway:pause-keeps", Value: "3600"})
		}
		kept := ""
		for _, c := range s.operations {
			if s.idle {
				stopIdle(t, st, id)
			}
			c.run(t, st, id)
			if n := liveInstances(t, st, id); s.idle && n > 1 {
				t.Errorf("%d instances live after %s, want one at most", n, c.kind)
			}
			now := onlyInstance(t, st, id)
			if c.kind == slipway.ResumeService && s.keeps && now != kept {
				t.Errorf("the service resumes with instance %s, want %s", now, kept)
			}
			kept = now
		}
		points = k.points
		checkEvents(t, st, s)
	})
	return points
}

// liveInstances counts the live instances of a service.
func liveInstances(t *testing.T, st *store.Store, id string) (n int) {
	t.Helper()
	if err := st.View(t.Context(), func(tx *store.Tx) error {
		list, err := tx.InstancesOf(id)
		for _, i := range list {
			if i.State.Live() {
				n++
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// onlyInstance returns the id of the only live instance of a service; "" if that is not the
// number.
func onlyInstance(t *testing.T, st *store.Store, id string) (only string) {
	t.Helper()
	if err := st.View(t.Context(), func(tx *store.Tx) error {
		list, err := tx.InstancesOf(id)
		list = slices.DeleteFunc(list, func(i slipway.Instance) bool { return !i.State.Live() })
		if len(list) == 1 {
			only = list[0].ID
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return only
}

// setTags sets tags of a service.
func setTags(t *testing.T, st *store.Store, id string, tags ...slipway.Tag) {
	t.Helper()
	if err := st.Update(t.Context(), func(tx *store.Tx) error {
		v, err := tx.Service(id)
		return errors.Join(err, tx.SetTags(v.ARN, tags))
	}); err != nil {
		t.Fatal(err)
	}
}

// stopIdle stops the instances of the active release of a service, which may have none.
func stopIdle(t *testing.T, st *store.Store, id string) {
	t.Helper()
	if err := st.Update(t.Context(), func(tx *store.Tx) error {
		v, err := tx.Service(id)
		if err := errors.Join(err, tx.SetTags(v.ARN, []slipway.Tag{{Key: "slipway:min-size", Value: "0"}})); err != nil {
			return err
		}
		if v.ActiveRelease == "" || v.Wanted != slipway.WantedRunning {
			return nil
		}
		r, err := tx.Release(v.ActiveRelease)
		return errors.Join(err, tx.SetSize(r, 0))
	}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
}

// newStore opens a store in memory and runs a fake fleet on it until the test ends. The
// test's end waits for running.
func newStore(t *testing.T) (st *store.Store, running *sync.WaitGroup) {
	t.Helper()
	return newStoreAt(t, time.Now)
}

// newStoreAt is newStore with a fake fleet that has this clock.
func newStoreAt(t *testing.T, now func() time.Time) (st *store.Store, running *sync.WaitGroup) {
	t.Helper()
	st = storetest.Memory(t)
	return st, runFleet(t, st, now)
}

// runFleet runs a fake fleet with this clock on a store until the test ends, and then closes the store.
func runFleet(t *testing.T, st *store.Store, now func() time.Time) (running *sync.WaitGroup) {
	running = new(sync.WaitGroup)
	t.Cleanup(func() {
		running.Wait()
		st.Close()
	})
	running.Go(func() { fakeFleet{st, slog.New(slog.DiscardHandler), now}.run(t.Context()) })
	return running
}

func start(t *testing.T, running *sync.WaitGroup, ctx context.Context, st *store.Store, res deploy.Resolver,
	read *secrets.Reader, owner string, checkpoint func(slipway.Operation, string) error, options ...func(*deploy.Config),
) (ended chan struct{}) {
	return startAt(t, running, ctx, time.Now, st, res, read, owner, checkpoint, options...)
}

// startAt is start with a clock.
func startAt(t *testing.T, running *sync.WaitGroup, ctx context.Context, now func() time.Time, st *store.Store, res deploy.Resolver,
	read *secrets.Reader, owner string, checkpoint func(slipway.Operation, string) error, options ...func(*deploy.Config),
) (ended chan struct{}) {
	ended = make(chan struct{})
	log := slog.New(slog.DiscardHandler)
	cfg := deploy.Config{Store: st, Resolver: res, Code: newCoder(), Secrets: read, Region: "us-east-1", Log: log, Now: now}
	for _, o := range options {
		o(&cfg)
	}
	plans, err := deploy.New(cfg)
	if err != nil {
		t.Error(err)
		return ended
	}
	e, err := operation.New(operation.Config{Store: st, Plan: plans.Plan, Owner: owner, Log: log, Checkpoint: checkpoint, Now: now})
	if err != nil {
		t.Error(err)
		return ended
	}
	running.Go(func() {
		defer close(ended)
		e.Run(ctx)
	})
	return ended
}

func create(t *testing.T, st *store.Store) string {
	t.Helper()
	return createScaled(t, st, slipway.Scaling{MaxConcurrency: 100, MinSize: 1, MaxSize: 3})
}

func createScaled(t *testing.T, st *store.Store, scaling slipway.Scaling) string {
	t.Helper()
	v := slipway.Service{
		ID: slipway.NewID(), Name: "shop", ARN: serviceARN, Label: slipway.NewLabel(), Wanted: slipway.WantedRunning,
		Spec: specOf("none"), Status: slipway.StatusCreateFailed, CreatedAt: time.Now(), UpdatedAt: time.Now(),
	}
	err := st.Update(t.Context(), func(tx *store.Tx) error {
		asc := slipway.AutoScaling{Configuration: slipway.Configuration{ARN: "asc", Name: "asc", Revision: 1, Active: true}, Scaling: scaling}
		return errors.Join(tx.InsertAutoScaling(asc), tx.InsertService(v), tx.InsertWebhook(slipway.Webhook{ID: webhook}))
	})
	if err != nil {
		t.Fatal(err)
	}
	return v.ID
}

func specOf(image string) slipway.Spec {
	if branch, ok := strings.CutPrefix(image, "code:"); ok {
		return codeSpec(branch)
	}
	conf := &types.ImageConfiguration{}
	if ref, ok := strings.CutPrefix(image, "secret:"); ok {
		conf.RuntimeEnvironmentSecrets = map[string]string{"TOKEN": ref}
	}
	return slipway.Spec{
		AutoScalingConfigurationARN: "asc",
		Instance:                    types.InstanceConfiguration{Cpu: aws.String("1024"), Memory: aws.String("2048")},
		Source:                      types.SourceConfiguration{ImageRepository: &types.ImageRepository{ImageIdentifier: &image, ImageConfiguration: conf}},
	}
}

// codeSpec is the specification of a service built from a branch.
func codeSpec(branch string) slipway.Spec {
	spec := specOf("")
	spec.Source = types.SourceConfiguration{CodeRepository: &types.CodeRepository{
		RepositoryUrl: aws.String("https://git.example.com/shop"), SourceDirectory: aws.String("/"),
		SourceCodeVersion: &types.SourceCodeVersion{Type: types.SourceCodeVersionTypeBranch, Value: &branch},
		CodeConfiguration: &types.CodeConfiguration{ConfigurationSource: types.ConfigurationSourceRepository},
	}}
	return spec
}

// run requests the operation, waits for its end and checks it.
func (c testOperation) run(t *testing.T, st *store.Store, service string) {
	t.Helper()
	op := c.end(t, st, service)
	if op.Status != c.status || op.Cause != c.cause {
		t.Errorf("%s of %q ended %s at %q with cause %q, want %s with %q", c.kind, c.image, op.Status, op.Step, op.Cause, c.status, c.cause)
	}
	if op.EndedAt.IsZero() || op.EndedAt.Before(op.StartedAt) {
		t.Errorf("%s started %v and ended %v", c.kind, op.StartedAt, op.EndedAt)
	}
	c.check(t, st, service)
}

// end requests the operation and returns it after its end.
func (c testOperation) end(t *testing.T, st *store.Store, service string) slipway.Operation {
	t.Helper()
	op := slipway.Operation{ID: slipway.NewID(), ServiceID: service, Kind: c.kind, CreatedAt: time.Now()}
	if c.image != "" {
		image, by, _ := strings.Cut(c.image, " by ")
		spec := specOf(image)
		spec.SourceSetBy = by
		op.Input.Spec = &spec
	}
	if err := st.Update(t.Context(), func(tx *store.Tx) error { return tx.InsertOperation(op) }); err != nil {
		t.Fatal(err)
	}
	for range 3600 {
		time.Sleep(time.Second)
		if err := st.View(t.Context(), func(tx *store.Tx) (err error) { op, err = tx.Operation(op.ID); return err }); err != nil {
			t.Fatal(err)
		}
		if !op.Status.Live() {
			break
		}
	}
	time.Sleep(time.Minute) // for the fake fleet to finish
	return op
}

// specified returns the image or branch of a source.
func specified(s types.SourceConfiguration) string {
	if r, ok := source.RepositoryOf(s); ok {
		return r.Branch
	}
	return source.ImageIdentifier(s)
}

func (c testOperation) check(t *testing.T, st *store.Store, service string) {
	t.Helper()
	err := st.View(t.Context(), func(tx *store.Tx) error {
		v, err := tx.Service(service)
		if err != nil {
			return err
		}
		if v.VisibleStatus() != c.rest {
			t.Errorf("after %s the service rests %s, want %s", c.kind, v.VisibleStatus(), c.rest)
		}
		instances, err := tx.InstancesOf(service)
		if err != nil {
			return err
		}
		var images []string
		for _, i := range instances {
			if !i.State.Live() {
				continue
			}
			r, err := tx.Release(i.ReleaseID)
			if err != nil {
				return err
			}
			if r.ID != v.ActiveRelease {
				t.Errorf("an instance of %s lives, which is not active", r.Image)
			}
			if i.State == slipway.InstanceKept {
				images = append(images, "kept:"+r.Image)
				continue
			}
			images = append(images, r.Image)
		}
		if (c.serves == "") != (len(images) == 0) || (len(images) > 0 && images[0] != c.serves) {
			t.Errorf("after %s, %v live; want %q", c.kind, images, c.serves)
		}
		if specified := specified(v.Spec.Source); c.serves != "" && specified != strings.TrimPrefix(c.serves, "kept:") {
			t.Errorf("the specification says %s, want %s", specified, c.serves)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
