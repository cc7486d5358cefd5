package deploy_test

import (
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/deploy"
	"github.com/openslipway/slipway/internal/store"
)

func TestPushDeploysFollowersOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		st, running := newStore(t)
		auto := deploy.NewAuto(st, func(ref string) (string, string, bool) { return ref, "latest", true }, nil, slog.New(slog.DiscardHandler))
		running.Go(func() { auto.Run(ctx) })
		start(t, running, ctx, st, &resolver{tries: map[string]int{}}, nil, "a", nil)
		id := create(t, st)

		spec := specOf("one")
		spec.Source.AutoDeploymentsEnabled = aws.Bool(true)
		ask := func(kind slipway.OperationKind, spec *slipway.Spec) {
			t.Helper()
			op := slipway.Operation{ID: slipway.NewID(), ServiceID: id, Kind: kind, CreatedAt: time.Now(), Input: slipway.Input{Spec: spec}}
			if err := st.Update(ctx, func(tx *store.Tx) error { return tx.InsertOperation(op) }); err != nil {
				t.Fatal(err)
			}
		}
		push := func(repository string) {
			t.Helper()
			if err := auto.Pushed(ctx, repository, "latest"); err != nil {
				t.Fatal(err)
			}
		}
		deployments := func() (n int) {
			t.Helper()
			err := st.View(ctx, func(tx *store.Tx) error {
				ops, err := tx.OperationsOf(id, time.Time{}, "", 0)
				for _, o := range ops {
					if o.Kind == slipway.StartDeployment && o.Status == slipway.OperationSucceeded {
						n++
					}
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}

		ask(slipway.CreateService, &spec)
		push("one") // while it is being created: waits for the end
		push("one")
		time.Sleep(time.Minute)
		if n := deployments(); n != 1 {
			t.Errorf("%d deployments after two pushes during one operation, want 1", n)
		}
		push("other")
		time.Sleep(time.Minute)
		if n := deployments(); n != 1 {
			t.Errorf("%d deployments after a push nobody follows, want 1", n)
		}
		ask(slipway.PauseService, nil)
		time.Sleep(time.Minute)
		push("one")
		ask(slipway.ResumeService, nil)
		time.Sleep(time.Minute)
		if n := deployments(); n != 2 {
			t.Errorf("%d deployments after a push while paused and a resume, want 2", n)
		}
		var lines []string
		if err := st.View(ctx, func(tx *store.Tx) error {
			events, err := tx.EventsByTime(store.EventQuery{ServiceID: id, Stream: "events"})
			for _, e := range events {
				lines = append(lines, e.Text)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(lines, "Automatic deployment: the source has changed while the service was paused.") {
			t.Errorf("the events do not say why it was deployed: %q", lines)
		}
	})
}
