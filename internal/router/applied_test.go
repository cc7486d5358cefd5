package router

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// TestAwait deletes a service and asks for it as soon as that is known to be in the table.
func TestAwait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newStoreFixture(t)
		b.run()
		host := RouteKey{Host: b.host()}
		for _, wanted := range []slipway.Wanted{slipway.WantedPaused, slipway.WantedDeleted} {
			if err := b.store.Update(t.Context(), func(tx *store.Tx) error { return tx.SetWanted(b.service.ID, wanted, t0) }); err != nil {
				t.Fatal(err)
			}
			b.router.Await(t.Context(), b.store.RoutesSeen())
			s := b.router.table.Load().find(host)
			if wanted == slipway.WantedDeleted && s != nil {
				t.Error("a deleted service is in the table")
			}
			if wanted == slipway.WantedPaused && s.gate.view.Load().refuse != ErrPaused {
				t.Error("a paused service is not refused as one")
			}
		}
	})
}

// TestAwaitEnds checks that a loop that does not follow holds nobody up for good, and that a
// transaction that fails leaves nothing to wait for.
func TestAwaitEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newStoreFixture(t)
		began := time.Now()
		b.router.Await(t.Context(), b.store.RoutesSeen()) // nothing has loaded the new service
		if took := time.Since(began); took != appliedWithin {
			t.Errorf("it waited %v for a loop that does not run, want %v", took, appliedWithin)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		b.router.Await(gone, b.store.RoutesSeen())
		seen := b.store.RoutesSeen()
		_ = b.store.Update(t.Context(), func(tx *store.Tx) error {
			return context.Canceled
		})
		if b.store.RoutesSeen() != seen {
			t.Error("a transaction that failed is waited for")
		}
		b.run()
		began = time.Now()
		b.router.Await(t.Context(), b.store.RoutesSeen())
		if took := time.Since(began); took != 0 {
			t.Errorf("it waited %v for what the table has", took)
		}
	})
}
