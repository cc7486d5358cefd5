package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

var t0 = time.Unix(1_800_000_000, 123_000_000).UTC()

func open(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "slipway.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func update(t *testing.T, s *store.Store, f func(*store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func service(name string) slipway.Service {
	id := slipway.NewID()
	return slipway.Service{
		ID: id, Name: name, ARN: "arn:aws:apprunner:us-east-1:000000000000:service/" + name + "/" + id,
		Label: slipway.NewLabel(), Wanted: slipway.WantedRunning, CreatedAt: t0, UpdatedAt: t0,
		Spec: slipway.Spec{AutoScalingConfigurationARN: "asc"},
	}
}

func operation(s slipway.Service, kind slipway.OperationKind) slipway.Operation {
	return slipway.Operation{ID: slipway.NewID(), ServiceID: s.ID, Kind: kind, CreatedAt: t0}
}

func TestServiceRoundTrip(t *testing.T) {
	t.Parallel()
	s := open(t)
	v := service("shop")
	update(t, s, func(tx *store.Tx) error { return tx.InsertService(v) })
	err := s.View(t.Context(), func(tx *store.Tx) error {
		got, err := tx.ServiceByName("shop")
		if err != nil {
			return err
		}
		opts := cmp.Options{cmpopts.EquateEmpty(), cmpopts.IgnoreFields(slipway.Service{}, "RouteVersion", "Spec")}
		if d := cmp.Diff(v, got.Service, opts); d != "" {
			t.Errorf("service changed on its way (-want +got):\n%s", d)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNameIsTakenUntilDeleted(t *testing.T) {
	t.Parallel()
	s := open(t)
	v := service("shop")
	update(t, s, func(tx *store.Tx) error { return tx.InsertService(v) })
	err := s.Update(t.Context(), func(tx *store.Tx) error { return tx.InsertService(service("shop")) })
	if !errors.Is(err, store.ErrNameTaken) {
		t.Fatalf("second insert: %v, want ErrNameTaken", err)
	}
	update(t, s, func(tx *store.Tx) error { return tx.SetStatus(v.ID, slipway.StatusDeleted, t0) })
	update(t, s, func(tx *store.Tx) error { return tx.InsertService(service("shop")) })
}

// A service's history has an end; what is under way stays whatever its age.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	s := open(t)
	v := service("shop")
	update(t, s, func(tx *store.Tx) error { return tx.InsertService(v) })
	for i := range 10 {
		update(t, s, func(tx *store.Tx) error {
			op := operation(v, slipway.StartDeployment)
			op.CreatedAt = t0.Add(time.Duration(i) * time.Minute)
			err := errors.Join(tx.InsertOperation(op), tx.InsertEvent(slipway.Event{ServiceID: v.ID, Operation: op.ID, Stream: "deployment/" + op.ID, At: t0, Text: "x"}))
			if i < 9 {
				op.Status, op.EndedAt = slipway.OperationSucceeded, op.CreatedAt
				err = errors.Join(err, tx.SaveOperation(op))
			}
			return err
		})
	}
	for _, keep := range []int{4, 0} {
		update(t, s, func(tx *store.Tx) error { return tx.ForgetOperations(v.ID, keep) })
		update(t, s, func(tx *store.Tx) error {
			ops, err := tx.OperationsOf(v.ID, time.Time{}, "", 0)
			if want := max(keep, 1); err != nil || len(ops) != want || ops[0].Kind != slipway.StartDeployment {
				t.Errorf("%d operations are left, %v; want %d", len(ops), err, want)
			}
			events, err := tx.LastEvents(store.EventQuery{ServiceID: v.ID})
			if len(events) > max(keep, 1) {
				t.Errorf("%d lines of logs are left", len(events))
			}
			return err
		})
	}
}

func TestOneLiveOperation(t *testing.T) {
	t.Parallel()
	s := open(t)
	v := service("shop")
	first := operation(v, slipway.CreateService)
	update(t, s, func(tx *store.Tx) error { return errors.Join(tx.InsertService(v), tx.InsertOperation(first)) })
	second := operation(v, slipway.PauseService)
	err := s.Update(t.Context(), func(tx *store.Tx) error { return tx.InsertOperation(second) })
	if !errors.Is(err, store.ErrOperationLive) {
		t.Fatalf("second insert: %v, want ErrOperationLive", err)
	}
	update(t, s, func(tx *store.Tx) error {
		got, err := tx.Service(v.ID)
		if err != nil {
			return err
		}
		if got.VisibleStatus() != slipway.StatusOperationInProgress || got.Live.ID != first.ID {
			t.Errorf("view = %s with %v, want OPERATION_IN_PROGRESS with the first operation", got.VisibleStatus(), got.Live)
		}
		first.Status = slipway.OperationSucceeded
		return errors.Join(tx.SaveOperation(first), tx.InsertOperation(second))
	})
}

func TestEachOperationIsClaimedOnce(t *testing.T) {
	t.Parallel()
	s := open(t)
	const n = 100
	update(t, s, func(tx *store.Tx) error {
		for i := range n {
			v := service("s" + string(rune('a'+i/26)) + string(rune('a'+i%26)))
			if err := errors.Join(tx.InsertService(v), tx.InsertOperation(operation(v, slipway.CreateService))); err != nil {
				return err
			}
		}
		return nil
	})
	var mu sync.Mutex
	claimed := map[string]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				var op slipway.Operation
				err := s.Update(context.Background(), func(tx *store.Tx) (err error) {
					op, err = tx.ClaimOperation("me", t0.Add(time.Minute))
					return err
				})
				if errors.Is(err, store.ErrNotFound) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				claimed[op.ID]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(claimed) != n {
		t.Errorf("%d operations claimed, want %d", len(claimed), n)
	}
	for id, times := range claimed {
		if times != 1 {
			t.Errorf("operation %s claimed %d times", id, times)
		}
	}
}

func TestStaleOwnerWritesNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	v := service("shop")
	update(t, s, func(tx *store.Tx) error {
		return errors.Join(tx.InsertService(v), tx.InsertOperation(operation(v, slipway.CreateService)))
	})
	claim := func(owner string) (op slipway.Operation) {
		update(t, s, func(tx *store.Tx) (err error) {
			op, err = tx.ClaimOperation(owner, t0.Add(time.Second))
			return err
		})
		return op
	}
	old := claim("old")
	update(t, s, func(tx *store.Tx) error {
		leases, err := tx.Leases()
		if len(leases) != 1 {
			t.Fatalf("leases are %v, want one", leases)
		}
		return errors.Join(err, tx.EndLease(leases[0]))
	})
	claim("new")
	old.Step = "route"
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		if err := tx.SetStatus(v.ID, slipway.StatusRunning, t0); err != nil {
			return err
		}
		return tx.SaveOperation(old)
	})
	if !errors.Is(err, store.ErrLeaseLost) {
		t.Fatalf("save by the old owner: %v, want ErrLeaseLost", err)
	}
	err = s.View(t.Context(), func(tx *store.Tx) error {
		got, err := tx.Service(v.ID)
		if got.Status != "" {
			t.Errorf("status = %q: the old owner's edit was kept", got.Status)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRoutesRiseWithEachChange(t *testing.T) {
	t.Parallel()
	s := open(t)
	v := service("shop")
	r := slipway.Release{ID: slipway.NewID(), ServiceID: v.ID, Desired: slipway.DesiredRun, Size: 1, CreatedAt: t0}
	i := slipway.Instance{ID: slipway.NewID(), ServiceID: v.ID, ReleaseID: r.ID, State: slipway.InstanceReady, CreatedAt: t0}
	var seen int64
	step := func(want int, f func(*store.Tx) error) []store.Route {
		t.Helper()
		var routes []store.Route
		update(t, s, f)
		if err := s.View(t.Context(), func(tx *store.Tx) (err error) { routes, err = tx.RoutesSince(seen); return err }); err != nil {
			t.Fatal(err)
		}
		if len(routes) != want {
			t.Fatalf("%d routes changed, want %d", len(routes), want)
		}
		if err := s.View(t.Context(), func(tx *store.Tx) error {
			ids, last, err := tx.ChangedServices(seen)
			if want > 0 {
				seen = routes[len(routes)-1].Service.RouteVersion
			}
			if len(ids) != want || want > 0 && ids[want-1] != routes[want-1].Service.ID || last != seen {
				t.Errorf("services %v changed until version %d, want %d until version %d", ids, last, want, seen)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return routes
	}
	step(2, func(tx *store.Tx) error { return errors.Join(tx.InsertService(v), tx.InsertService(service("other"))) })
	step(1, func(tx *store.Tx) error { return tx.InsertRelease(r) })
	step(1, func(tx *store.Tx) error { return tx.SetActiveRelease(v.ID, r.ID) })
	step(1, func(tx *store.Tx) error { return tx.SetSize(r, 2) })
	got := step(1, func(tx *store.Tx) error { return tx.PutInstance(i) })
	if len(got[0].Releases) != 1 || len(got[0].Instances) != 1 {
		t.Errorf("route has %d releases and %d instances, want 1 and 1", len(got[0].Releases), len(got[0].Instances))
	}
	i.State = slipway.InstanceEnded
	if got = step(1, func(tx *store.Tx) error { return tx.PutInstance(i) }); len(got[0].Instances) != 0 {
		t.Error("an ended instance is still routed")
	}
	tags := []slipway.Tag{{Key: "slipway:request-timeout", Value: "7"}, {Key: "team", Value: "a"}}
	got = step(1, func(tx *store.Tx) error { return tx.SetTags(v.ARN, tags) })
	if got[0].Settings.RequestTime != 7*time.Second {
		t.Errorf("settings %+v after the tags %v", got[0].Settings, tags)
	}
	got = step(1, func(tx *store.Tx) error { return tx.DeleteTags(v.ARN, []string{"slipway:request-timeout"}) })
	if got[0].Settings.RequestTime != 0 {
		t.Errorf("settings %+v after the tag was removed", got[0].Settings)
	}
	step(0, func(tx *store.Tx) error {
		return tx.SetTags("arn:aws:apprunner:us-east-1:000000000000:connection/x/y", tags[1:])
	})
}

func TestDrainedNeedsEveryLiveRouter(t *testing.T) {
	t.Parallel()
	s := open(t)
	drained := func() (ok bool) {
		if err := s.View(t.Context(), func(tx *store.Tx) (err error) { ok, err = tx.Drained("rel", time.Minute); return err }); err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if !drained() {
		t.Error("without a router nothing is in flight")
	}
	update(t, s, func(tx *store.Tx) error { return errors.Join(tx.PutRouter("a", 1, t0), tx.PutRouter("b", 1, t0)) })
	update(t, s, func(tx *store.Tx) error { return tx.ReportDrained("a", "svc", "rel") })
	if drained() {
		t.Error("drained although router b has not said so")
	}
	update(t, s, func(tx *store.Tx) error { return tx.ReportDrained("b", "svc", "rel") })
	if !drained() {
		t.Error("not drained although both routers said so")
	}
}

func TestWatchNudgesAfterCommitOnly(t *testing.T) {
	t.Parallel()
	s := open(t)
	w := s.Watch(store.Routes)
	defer w.Close()
	v := service("shop")
	boom := errors.New("boom")
	err := s.Update(t.Context(), func(tx *store.Tx) error { return errors.Join(tx.InsertService(v), boom) })
	if !errors.Is(err, boom) || len(w.C) != 0 {
		t.Fatalf("err = %v, nudges = %d; want the error and no nudge", err, len(w.C))
	}
	update(t, s, func(tx *store.Tx) error { return tx.InsertService(v) })
	<-w.C
	if d := cmp.Diff([]string{v.ID}, w.Take()); d != "" {
		t.Error(d)
	}
}

func TestPanicGivesTheWriterBack(t *testing.T) {
	t.Parallel()
	s := open(t)
	v := service("shop")
	func() {
		defer func() { recover() }()
		s.Update(t.Context(), func(tx *store.Tx) error {
			if err := tx.InsertService(v); err != nil {
				return err
			}
			panic("a bug in a handler")
		})
	}()
	update(t, s, func(tx *store.Tx) error { return tx.InsertService(v) }) // the panic rolled back and released the writer
}

func TestEventsAreBounded(t *testing.T) {
	t.Parallel()
	s := open(t)
	update(t, s, func(tx *store.Tx) error {
		for range 12_500 {
			if err := tx.InsertEvent(slipway.Event{ServiceID: "svc", Stream: "events", At: t0, Text: "line"}); err != nil {
				return err
			}
		}
		return nil
	})
	if err := s.View(t.Context(), func(tx *store.Tx) error {
		list, err := tx.EventsByTime(store.EventQuery{ServiceID: "svc", Stream: "events"})
		if n := len(list); n < 10_000 || n > 11_000 {
			t.Errorf("%d lines kept, want 10,000 or a little more", n)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// In memory the store works inside a synctest bubble. The tests of all loops rely
// on it.
func TestInMemoryInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), ":memory:")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		w := s.Watch(store.Routes)
		go func() {
			time.Sleep(time.Hour)
			s.Update(t.Context(), func(tx *store.Tx) error { return tx.InsertService(service("shop")) })
		}()
		<-w.C
		if got := w.Take(); len(got) != 1 {
			t.Errorf("Take = %v, want one service", got)
		}
	})
}

func TestReopenKeepsEverything(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "slipway.db")
	for range 2 {
		s, err := store.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		err = s.Update(t.Context(), func(tx *store.Tx) error { return tx.InsertService(service("shop")) })
		if err != nil && !errors.Is(err, store.ErrNameTaken) {
			t.Fatal(err)
		}
		s.Close()
	}
}

// The resources that a specification names are in use from the operation that
// deploys it until the specification is replaced or the service deleted.
func TestReferences(t *testing.T) {
	t.Parallel()
	s := open(t)
	inUse := func(arn string) (used bool) {
		t.Helper()
		if err := s.View(t.Context(), func(tx *store.Tx) (err error) { used, err = tx.InUse(arn); return err }); err != nil {
			t.Fatal(err)
		}
		return used
	}
	uses := func(step string, want map[string]bool) {
		t.Helper()
		for arn, want := range want {
			if got := inUse(arn); got != want {
				t.Errorf("%s: %s is in use: %t, want %t", step, arn, got, want)
			}
		}
	}
	v := service("shop")
	next := slipway.Spec{
		Source:                      types.SourceConfiguration{AuthenticationConfiguration: &types.AuthenticationConfiguration{ConnectionArn: aws.String("connection")}},
		Network:                     types.NetworkConfiguration{EgressConfiguration: &types.EgressConfiguration{VpcConnectorArn: aws.String("connector")}},
		Observability:               &types.ServiceObservabilityConfiguration{ObservabilityConfigurationArn: aws.String("observability")},
		AutoScalingConfigurationARN: "other",
	}
	op := operation(v, slipway.UpdateService)
	op.Input.Spec = &next
	update(t, s, func(tx *store.Tx) error { return errors.Join(tx.InsertService(v), tx.InsertOperation(op)) })
	uses("while the update is live", map[string]bool{"asc": true, "other": true, "connection": true, "connector": true, "observability": true, "none": false})

	failed := op
	failed.Status = slipway.OperationRollbackSucceeded
	update(t, s, func(tx *store.Tx) error { return tx.SaveOperation(failed) })
	uses("after it failed", map[string]bool{"asc": true, "other": false, "connection": false, "connector": false, "observability": false})

	update(t, s, func(tx *store.Tx) error { return tx.SetSpec(v.ID, next, t0) })
	uses("with the next specification", map[string]bool{"asc": false, "other": true, "connection": true, "connector": true, "observability": true})

	update(t, s, func(tx *store.Tx) error { return tx.SetStatus(v.ID, slipway.StatusDeleted, t0) })
	uses("after the service was deleted", map[string]bool{"other": false, "connection": false, "connector": false, "observability": false})
}

// Characters that have a meaning in a URI have none in a path.
func TestOddPaths(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a#b?c%20d.db")
	for range 2 {
		s, err := store.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

func TestServicesWithInstances(t *testing.T) {
	t.Parallel()
	s := open(t)
	run := slipway.Release{ID: "rel-run", ServiceID: "run", Desired: slipway.DesiredRun}
	left := slipway.Instance{ID: "i", ServiceID: "left", ReleaseID: "rel-left", State: slipway.InstanceEnded}
	update(t, s, func(tx *store.Tx) error {
		return errors.Join(
			tx.InsertRelease(run),
			tx.InsertRelease(slipway.Release{ID: "rel-old", ServiceID: "run", Desired: slipway.DesiredStop}),
			tx.InsertRelease(slipway.Release{ID: "rel-drain", ServiceID: "drain", Desired: slipway.DesiredDrain}),
			tx.InsertRelease(slipway.Release{ID: "rel-rest", ServiceID: "rest", Desired: slipway.DesiredStop}),
			tx.InsertRelease(slipway.Release{ID: "rel-left", ServiceID: "left", Desired: slipway.DesiredStop}),
			tx.PutInstance(left))
	})
	expect := func(want ...string) {
		t.Helper()
		var got []string
		if err := s.View(t.Context(), func(tx *store.Tx) (err error) { got, err = tx.ServicesWithInstances(); return err }); err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("at work are %v, want %v", got, want)
		}
	}
	expect("drain", "left", "run")
	update(t, s, func(tx *store.Tx) error {
		return errors.Join(tx.SetDesired(run, slipway.DesiredStop), tx.DeleteInstance(left))
	})
	expect("drain")
}

// A release that begins to serve after the clock was set back is the newest all the same.
func TestPastReleasesAfterAClockStep(t *testing.T) {
	t.Parallel()
	s := open(t)
	var got []string
	update(t, s, func(tx *store.Tx) error {
		for i, at := range []time.Time{t0, t0.Add(-6 * time.Hour), t0.Add(-5 * time.Hour)} {
			r := slipway.Release{ID: string(rune('a' + i)), ServiceID: "svc"}
			if err := tx.PutPastRelease(r, at, 2); err != nil {
				return err
			}
		}
		list, err := tx.PastReleases("svc")
		for _, r := range list {
			got = append(got, r.ID)
		}
		return err
	})
	if d := cmp.Diff([]string{"c", "b"}, got); d != "" {
		t.Error(d)
	}
}
