package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/openslipway/slipway/internal/ecr"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/logs"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/store"
)

const (
	keepDeleted = time.Hour           // deleted resources can still be described
	keepImages  = time.Hour           // images that no release refers to
	keepSent    = 7 * 24 * time.Hour  // ended deliveries to webhooks
	keepCaches  = 30 * 24 * time.Hour // caches that no build uses
	firstPass   = 30 * time.Second    // after the start, when the machine is busy
	retainEvery = 10 * time.Minute
	mostRetain  = 2 * time.Hour
)

// retention removes what was deleted long enough ago: services with their logs,
// configurations, and images that nothing uses.
type retention struct {
	store  *store.Store
	images *image.Store
	ecr    *ecr.ECR
	logs   *logs.Store
	builds func(service string) error // removes the caches of its builds

	prune    func(before time.Time) (freed int64, err error) // removes caches that no build has used since
	uploads  func(context.Context) (freed int64, err error)  // removes those that nothing uses
	runtimes func() ([]string, error)                        // digests of the images that builds begin with
	loops    *loop.Set
	log      *slog.Logger
}

// Run forgets what is due every ten minutes until ctx ends.
func (r retention) Run(ctx context.Context) error {
	return loop.Run(ctx, loop.Config{
		Name: "retention", Log: r.log, Set: r.loops, First: firstPass, Every: retainEvery, Most: mostRetain,
	}, r.pass)
}

func (r retention) pass(ctx context.Context) error {
	var gone, used []string
	now := time.Now()
	before := now.Add(-keepDeleted)
	err := r.store.Update(ctx, func(tx *store.Tx) (err error) {
		if gone, err = tx.ForgetServices(before); err != nil {
			return err
		}
		if err = tx.ForgetDeliveries(now.Add(-keepSent)); err != nil {
			return err
		}
		if err = errors.Join(
			tx.ForgetAutoScalings(before), tx.ForgetObservabilities(before),
			tx.PurgeSecrets(now), tx.ForgetVPCConnectors(before), tx.ForgetVPCIngresses(before),
		); err != nil {
			return err
		}
		used, err = tx.ImagesInUse()
		return err
	})
	if err != nil {
		return fmt.Errorf("forget deleted resources: %w", err)
	}
	// One failure must not keep the rest: no later pass is told of the services
	// in gone, and the disk may be full.
	var errs []error
	for _, id := range gone {
		errs = append(errs, r.logs.Remove(id), r.builds(id))
	}
	expired, err := r.ecr.Expire(ctx)
	errs = append(errs, err)
	if expired > 0 {
		r.log.Info("images expired by lifecycle policies", "images", expired)
	}
	if n, err := r.prune(now.Add(-keepCaches)); err != nil || n > 0 {
		errs = append(errs, err)
		r.log.Info("caches of builds removed", "bytes", n)
	}
	if n, err := r.uploads(ctx); err != nil || n > 0 {
		errs = append(errs, err)
		r.log.Info("uploads collected", "bytes", n)
	}
	runtimes, err := r.runtimes()
	if err != nil { // without them everything would be made anew
		return errors.Join(append(errs, err)...)
	}
	freed, err := r.images.Collect(ctx, append(used, runtimes...), keepImages)
	errs = append(errs, err)
	if freed.Bytes > 0 || freed.Images > 0 {
		r.log.Info("images collected", "images", freed.Images, "layers", freed.Layers, "bytes", freed.Bytes)
	}
	return errors.Join(errs...)
}
