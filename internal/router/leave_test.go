package router

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// asked is a Pool that notes which instances' clients were asked to leave.
type asked struct {
	mu  sync.Mutex
	ids []string
}

func (a *asked) Retire(*Target) {}

func (a *asked) Leave(t *Target) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Contains(a.ids, t.Instance) {
		a.ids = append(a.ids, t.Instance)
	}
}

// Clients whose connections last are asked to leave when their instance must drain, and
// when its release must.
func TestLeave(t *testing.T) {
	t.Parallel()
	for name, drain := range map[string]func(tx *store.Tx, b *storeFixture) error{
		"instance": func(tx *store.Tx, b *storeFixture) error {
			return tx.PutInstance(slipway.Instance{ID: "i", ServiceID: b.service.ID, ReleaseID: "old", State: slipway.InstanceDraining, CreatedAt: t0})
		},
		"release": func(tx *store.Tx, b *storeFixture) error {
			return tx.SetDesired(slipway.Release{ID: "old", ServiceID: b.service.ID}, slipway.DesiredDrain)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newStoreFixture(t)
				pool := &asked{}
				b.router.Attach(pool)
				b.release("old")
				b.put("i", "old", slipway.InstanceReady)
				b.update(func(tx *store.Tx) error { return tx.SetActiveRelease(b.service.ID, "old") })
				b.run()
				b.claim() // a WebSocket
				b.update(func(tx *store.Tx) error { return drain(tx, b) })
				if d := cmp.Diff([]string{"i"}, pool.ids); d != "" {
					t.Errorf("asked to leave (-want +got):\n%s", d)
				}
			})
		})
	}
}
