package deploy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/store"
)

// Auto starts automatic deployments. A push to a tag deploys each service that uses
// the tag and has AutoDeploymentsEnabled, once its live operation, if any, has ended
// and, if it is paused, once it has resumed.
type Auto struct {
	store *store.Store
	local func(ref string) (repository, tag string, ok bool)
	loops *loop.Set
	log   *slog.Logger
}

// NewAuto returns an Auto. local returns the repository and tag of this server's
// registry that an image identifier names, and false if it names none. loops gets
// the status of its loop; it may be nil.
func NewAuto(s *store.Store, local func(ref string) (repository, tag string, ok bool), loops *loop.Set, log *slog.Logger) *Auto {
	return &Auto{s, local, loops, log}
}

// Pushed records that the tag has a new image. When it returns nil, the
// deployments that the push causes survive a crash.
func (a *Auto) Pushed(ctx context.Context, repository, tag string) error {
	return a.store.Update(ctx, func(tx *store.Tx) error {
		list, err := tx.Services(time.Time{}, "", 0)
		if err != nil {
			return err
		}
		for _, v := range list {
			if !a.follows(v, repository, tag) {
				continue
			}
			if err := tx.PutPendingDeployment(v.ID, time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *Auto) follows(v slipway.ServiceView, repository, tag string) bool {
	src := v.VisibleSpec().Source
	ref := source.ImageIdentifier(src)
	if v.Wanted == slipway.WantedDeleted || ref == "" || !aws.ToBool(src.AutoDeploymentsEnabled) {
		return false
	}
	r, t, ok := a.local(ref)
	return ok && r == repository && t == tag
}

// Run starts pending deployments whenever an operation ends, until ctx ends.
func (a *Auto) Run(ctx context.Context) error {
	watch := a.store.Watch(store.Operations)
	defer watch.Close()
	return loop.Run(ctx, loop.Config{
		Name: "automatic-deployments", Log: a.log, Set: a.loops, Watch: watch.C, Every: 30 * time.Second,
	}, func(ctx context.Context) error {
		watch.Take() // a row says what is pending
		return a.startPending(ctx)
	})
}

func (a *Auto) startPending(ctx context.Context) error {
	var pending []string
	err := a.store.ViewUnsynced(ctx, func(tx *store.Tx) (err error) { pending, err = tx.PendingDeployments(); return err })
	if err != nil {
		return err
	}
	for _, id := range pending {
		if err := a.store.Update(ctx, func(tx *store.Tx) error { return a.start(tx, id) }); err != nil {
			return fmt.Errorf("service %s: %w", id, err)
		}
	}
	return nil
}

// start starts the pending deployment of a service. It keeps it pending while an
// operation is live or the service is paused, and drops it when there is nothing to
// deploy to.
func (a *Auto) start(tx *store.Tx, id string) error {
	v, err := tx.Service(id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return tx.DeletePendingDeployment(id)
	case err != nil:
		return err
	case v.Live != nil, v.Status == slipway.StatusPaused:
		return nil
	case v.Status == slipway.StatusRunning:
		op := slipway.Operation{ID: slipway.NewID(), ServiceID: id, Kind: slipway.StartDeployment, CreatedAt: time.Now()}
		if err := logReason(tx, op); err != nil {
			return err
		}
		if err := tx.InsertOperation(op); err != nil {
			return err
		}
		a.log.Info("automatic deployment", "service", id, "operation", op.ID)
	}
	return tx.DeletePendingDeployment(id)
}

// logReason writes why an automatic deployment starts to the service's events and to
// the deployment's log.
func logReason(tx *store.Tx, op slipway.Operation) error {
	before, err := tx.OperationsOf(op.ServiceID, time.Time{}, "", 1)
	if err != nil {
		return err
	}
	line := "Automatic deployment: the source has changed."
	if len(before) > 0 && before[0].Kind == slipway.ResumeService {
		line = "Automatic deployment: the source has changed while the service was paused."
	}
	for _, stream := range []string{"events", Stream(op)} {
		e := slipway.Event{ServiceID: op.ServiceID, Operation: op.ID, Stream: stream, At: op.CreatedAt, Text: line}
		if err := tx.InsertEvent(e); err != nil {
			return fmt.Errorf("write an event: %w", err)
		}
	}
	return nil
}
