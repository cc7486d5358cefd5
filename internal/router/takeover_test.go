package router

import (
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// reported returns those of the ids that were reported as drained.
func (b *storeFixture) reported(ids ...string) (list []string) {
	for _, id := range ids {
		if b.drained(id) {
			list = append(list, id)
		}
	}
	return list
}

// A router that takes over reports nothing as drained before it knows the requests of its
// elder, and then not what has some. Their slots are taken.
func TestLend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newStoreFixture(t)
		var err error
		if b.router, err = New(Config{Store: b.store, Log: slog.New(slog.DiscardHandler), Suffix: "us-east-1.slipway.test", Heir: true}); err != nil {
			t.Fatal(err)
		}
		b.release("r")
		for _, id := range []string{"busy", "idle"} {
			b.put(id, "r", slipway.InstanceReady)
		}
		b.update(func(tx *store.Tx) error { return tx.SetActiveRelease(b.service.ID, "r") })
		b.run()
		for _, id := range []string{"busy", "idle"} {
			b.put(id, "r", slipway.InstanceDraining)
		}
		if got := b.reported("busy", "idle"); len(got) > 0 {
			t.Errorf("before it knows, it reports %v", got)
		}
		lend := func(by map[string]int64) {
			if err := b.router.Lend(t.Context(), by); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		lend(map[string]int64{"busy": 2, "unknown": 1})
		if d := cmp.Diff([]string{"idle"}, b.reported("busy", "idle")); d != "" {
			t.Errorf("reported (-want +got):\n%s", d)
		}
		if d := cmp.Diff(map[string]int64{"busy": 2}, b.router.InFlight()); d != "" {
			t.Errorf("in flight (-want +got):\n%s", d)
		}
		lend(map[string]int64{"busy": 1})
		if d := cmp.Diff([]string{"idle"}, b.reported("busy", "idle")); d != "" {
			t.Errorf("with one request left, reported (-want +got):\n%s", d)
		}
		lend(nil)
		if d := cmp.Diff([]string{"busy", "idle"}, b.reported("busy", "idle")); d != "" {
			t.Errorf("reported in the end (-want +got):\n%s", d)
		}
	})
}

// Slots that are lent are handed to waiting requests as they are given back.
func TestLentSlots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newStoreFixture(t)
		b.release("r") // two requests at once
		b.put("i", "r", slipway.InstanceReady)
		b.update(func(tx *store.Tx) error { return tx.SetActiveRelease(b.service.ID, "r") })
		b.run()
		if err := b.router.Lend(t.Context(), map[string]int64{"i": 2}); err != nil {
			t.Fatal(err)
		}
		s := b.router.Find(RouteKey{Host: b.host()})
		got := make(chan error, 1)
		go func() { _, err := s.Admit(t.Context(), false); got <- err }()
		synctest.Wait()
		select {
		case err := <-got:
			t.Fatalf("a request is admitted above the limit: %v", err)
		default:
		}
		if err := b.router.Lend(t.Context(), map[string]int64{"i": 1}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
}
