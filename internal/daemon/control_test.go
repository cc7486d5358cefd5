package daemon

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

// TestTakeOver starts processes of one node, and one of a directory that older
// versions used, on a store in which others hold leases and routers too.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		isNew bool // the directory has no node's id yet
		freed map[string]bool
	}{
		"a node's next process frees what is its own":       {false, map[string]bool{"this": true, "other": false}},
		"a directory without an id has only dead processes": {true, map[string]bool{"this": true, "other": true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := storetest.Memory(t)
			defer st.Close()
			now := time.Now()
			lease(t, st, now, "this", "other")
			core := newCore(Config{DataDir: t.TempDir()}, slog.New(slog.DiscardHandler))
			core.store, core.node = st, node{id: "this", isNew: c.isNew, file: filepath.Join(t.TempDir(), "node")}
			if err := (&controlRole{core: core}).takeOver(t.Context()); err != nil {
				t.Fatal(err)
			}
			for owner, freed := range c.freed {
				if got := claimable(t, st, now, owner); got != freed {
					t.Errorf("the lease of %s is freed: %v, want %v", owner, got, freed)
				}
			}
			var none bool
			err := st.View(t.Context(), func(tx *store.Tx) (err error) { none, err = tx.Drained("x", time.Minute); return err })
			if err != nil || none != c.isNew { // without a router everything is drained
				t.Errorf("no router is left: %v (%v), want %v", none, err, c.isNew)
			}
			again, err := readNode(core.node.file)
			if err != nil || c.isNew && (again.id != "this" || again.isNew) {
				t.Errorf("the next process is %+v (%v)", again, err)
			}
		})
	}
}

// An heir's router may have requests, those of the elder, from its start on. Where nobody has
// requests nothing waits for a router.
func TestHeirHasARouter(t *testing.T) {
	t.Parallel()
	for _, heir := range []bool{false, true} {
		st := storetest.Memory(t)
		defer st.Close()
		now := time.Now()
		lease(t, st, now, "this")
		if err := st.Update(t.Context(), func(tx *store.Tx) error { return tx.ReportDrained("this", "this", "x") }); err != nil {
			t.Fatal(err)
		}
		core := newCore(Config{DataDir: t.TempDir()}, slog.New(slog.DiscardHandler))
		core.store, core.node = st, node{id: "this", file: filepath.Join(t.TempDir(), "node")}
		if err := (&controlRole{core: core, heir: heir}).takeOver(t.Context()); err != nil {
			t.Fatal(err)
		}
		var drained bool
		err := st.View(t.Context(), func(tx *store.Tx) (err error) { drained, err = tx.Drained("x", time.Minute); return err })
		if err != nil || drained == heir {
			t.Errorf("an heir: %t; all requests have ended: %t, %v", heir, drained, err)
		}
	}
}

// lease makes each owner lease an operation on a service of its own, and run a
// router.
func lease(t *testing.T, st *store.Store, now time.Time, owners ...string) {
	t.Helper()
	for _, owner := range owners {
		err := st.Update(t.Context(), func(tx *store.Tx) error {
			if err := tx.InsertService(slipway.Service{ID: owner, Name: owner, ARN: owner, Label: owner, Wanted: slipway.WantedRunning, CreatedAt: now, UpdatedAt: now}); err != nil {
				return err
			}
			if err := tx.InsertOperation(slipway.Operation{ID: "op-" + owner, ServiceID: owner, Kind: slipway.StartDeployment, CreatedAt: now}); err != nil {
				return err
			}
			if _, err := tx.ClaimOperation(owner, now.Add(time.Hour)); err != nil {
				return err
			}
			return tx.PutRouter(owner, 1, now)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// claimable reports whether the owner's operation could be claimed now.
func claimable(t *testing.T, st *store.Store, now time.Time, owner string) (free bool) {
	t.Helper()
	err := st.View(t.Context(), func(tx *store.Tx) error {
		op, err := tx.Operation("op-" + owner)
		free = op.LeaseUntil.IsZero()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return free
}
