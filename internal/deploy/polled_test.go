package deploy

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

// A look reads what operations have changed, everything after an error, and everything
// now and then.
func TestPolledServices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := storetest.Memory(t)
		defer st.Close()
		watch := st.Watch(store.Operations)
		defer watch.Close()
		update := func(f func(tx *store.Tx) error) {
			t.Helper()
			if err := st.Update(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		insert := func(id string) {
			t.Helper()
			update(func(tx *store.Tx) error {
				return tx.InsertService(slipway.Service{ID: id, Name: id, ARN: id, Label: id, Wanted: slipway.WantedRunning, CreatedAt: time.Now()})
			})
		}
		operate := func(id string) {
			t.Helper()
			update(func(tx *store.Tx) error { return tx.PutPendingDeployment(id, time.Now()) })
		}
		p := polledServices{store: st, watch: watch, polls: func(v slipway.ServiceView) bool { return v.Wanted == slipway.WantedRunning }}
		expect := func(step string, want ...string) {
			t.Helper()
			list, err := p.read(t.Context())
			var got []string
			for _, v := range list {
				got = append(got, v.ID)
			}
			if slices.Sort(got); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %v, %v; want %v", step, got, err, want)
			}
		}
		insert("a")
		expect("at first", "a")
		insert("b") // without an operation, as another process does it
		expect("nothing has changed", "a")
		operate("b")
		expect("an operation", "a", "b")
		update(func(tx *store.Tx) error {
			return errors.Join(tx.SetWanted("a", slipway.WantedPaused, time.Now()), tx.PutPendingDeployment("a", time.Now()))
		})
		expect("it is not polled for any more", "b")
		gone, leave := context.WithCancel(t.Context())
		leave()
		if list, err := p.read(gone); len(list) != 1 || err != nil {
			t.Errorf("%d services, %v: a look without news read the database", len(list), err)
		}
		insert("c")
		time.Sleep(readChangedEvery)
		expect("after a while", "b", "c")

		update(func(tx *store.Tx) error {
			return errors.Join(tx.SetWanted("b", slipway.WantedPaused, time.Now()), tx.PutPendingDeployment("b", time.Now()))
		})
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.read(ended); err == nil {
			t.Error("a read for a caller that has gone succeeded")
		}
		expect("after an error", "c")
	})
}
