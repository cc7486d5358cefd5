package fleet_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/fleet"
	"github.com/openslipway/slipway/internal/runtime/runtimetest"
	"github.com/openslipway/slipway/internal/store"
)

// BenchmarkStart measures what the fleet and the store add to a start: from the
// commit that wants an instance to the commit that writes it as ready. The driver
// takes no time, the application listens at once, and other services are stopped.
func BenchmarkStart(b *testing.B) {
	for _, resting := range []int{0, 1000} {
		b.Run(fmt.Sprintf("resting=%d", resting), func(b *testing.B) {
			st, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "db"))
			if err != nil {
				b.Fatal(err)
			}
			defer st.Close()
			w := runtimetest.NewMachine()
			defer w.Close()
			w.SetImage(image, runtimetest.Image{})
			f, err := fleet.New(fleet.Config{Store: st, Driver: runtimetest.NewFake(w), Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			update := func(f func(*store.Tx) error) {
				if err := st.Update(b.Context(), f); err != nil {
					b.Fatal(err)
				}
			}
			var r slipway.Release
			update(func(tx *store.Tx) error {
				for n := range resting + 1 {
					id := fmt.Sprintf("%032d", n)
					r = slipway.Release{
						ID: id, ServiceID: id, Image: image, Workload: slipway.Workload{Port: 8080}, Desired: slipway.DesiredStop, Size: 1,
						HealthCheck: slipway.HealthCheck{Interval: time.Minute, Timeout: time.Second, HealthyThreshold: 1, UnhealthyThreshold: 1},
					}
					if err := tx.InsertService(slipway.Service{ID: id, Name: id, ARN: id, Label: id}); err != nil {
						return err
					}
					if err := tx.InsertRelease(r); err != nil {
						return err
					}
				}
				return nil
			})
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- f.Run(ctx) }()
			watch := st.Watch(store.Instances)
			defer watch.Close()
			await := func(cond func([]slipway.Instance) bool) {
				for {
					var rows []slipway.Instance
					if err := st.View(b.Context(), func(tx *store.Tx) (err error) { rows, err = tx.InstancesOfRelease(r.ID); return err }); err != nil {
						b.Fatal(err)
					}
					if cond(rows) {
						return
					}
					<-watch.C
				}
			}
			for b.Loop() {
				update(func(tx *store.Tx) error { return tx.SetDesired(r, slipway.DesiredRun) })
				await(func(rows []slipway.Instance) bool { return len(rows) == 1 && rows[0].State == slipway.InstanceReady })
				b.StopTimer()
				update(func(tx *store.Tx) error { return tx.SetDesired(r, slipway.DesiredStop) })
				await(func(rows []slipway.Instance) bool { return len(rows) == 0 })
				b.StartTimer()
			}
			cancel()
			<-done
		})
	}
}
