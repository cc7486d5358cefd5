package router

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// What a pause keeps is no instance of the router, which would thaw it: neither one that is
// kept, nor one that is frozen for it and not noted yet.
func TestKeptIsNoEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newStoreFixture(t)
		rel := b.release("rel")
		b.put("a", "rel", slipway.InstanceReady)
		b.put("b", "rel", slipway.InstanceReady)
		b.update(func(tx *store.Tx) error { return tx.SetActiveRelease(b.service.ID, "rel") })
		b.run()
		known := func() (ids []string) {
			synctest.Wait()
			for id := range b.router.services[b.service.ID].instances {
				ids = append(ids, id)
			}
			slices.Sort(ids)
			return ids
		}
		if ids := known(); !slices.Equal(ids, []string{"a", "b"}) {
			t.Errorf("the router knows %v", ids)
		}
		b.update(func(tx *store.Tx) error {
			return errors.Join(tx.SetWanted(b.service.ID, slipway.WantedPaused, time.Now()), tx.SetDesired(rel, slipway.DesiredKeep))
		})
		b.put("a", "rel", slipway.InstanceKept)
		if ids := known(); len(ids) > 0 {
			t.Errorf("the router knows %v of a paused service that keeps them", ids)
		}
		if !b.drained("rel") {
			t.Error("what is kept is not reported as drained")
		}
		b.update(func(tx *store.Tx) error {
			return errors.Join(tx.SetWanted(b.service.ID, slipway.WantedRunning, time.Now()), tx.SetDesired(rel, slipway.DesiredRun))
		})
		if ids := known(); !slices.Equal(ids, []string{"b"}) {
			t.Errorf("the router knows %v while a is being thawed", ids)
		}
		b.put("a", "rel", slipway.InstanceReady)
		if ids := known(); !slices.Equal(ids, []string{"a", "b"}) {
			t.Errorf("the router knows %v", ids)
		}
	})
}
