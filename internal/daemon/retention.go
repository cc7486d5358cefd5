package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/openslipway/slipway/internal/clock"
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
// configurations, and images that nothing uses. It waits until the clock is trusted.
type retention struct {
	clock  *clock.Judge
	store  *store.Store
	images *image.Store
	ecr    *ecr.ECR
	logs   *logs.Store
	builds func(service string) error // removes the caches of its builds

	prune    func(before time.Time) (freed int64, err error) // removes caches that no build has used since
	uploads  func(context.Context) (freed int64, err error)  // removes those that nothing uses
	runtimes func() ([]string, error)                        // digests of the images that builds begin with
	running  func(context.Context) ([]string, error)         // digests of the images of instances
	loops    *loop.Set
	log      *slog.Logger
}

// Run forgets what is due every ten minutes until ctx ends.
func (r retention) Run(ctx context.Context) error {
	return loop.Run(ctx, loop.Config{
		Name: "retention", Log: r.log, Set: r.loops, First: firstPass, Every: retainEvery, Most: mostRetain,
	}, r.pass)
}

// look asks whether the clock is trusted with removing what is old.
func (r retention) look(ctx context.Context) (now time.Time, trusted bool, err error) {
	var last time.Time
	if err := r.store.View(ctx, func(tx *store.Tx) (err error) { last, err = tx.TrustedTime(); return err }); err != nil {
		return now, false, fmt.Errorf("read when the clock was last trusted: %w", err)
	}
	was := r.clock.Trusted()
	now, trusted, reason := r.clock.Look(last)
	switch {
	case !trusted:
		r.log.Info("nothing is removed by age until the clock is trusted", "reason", reason)
	case !was:
		r.log.Info("the clock is trusted: what is old is removed")
	}
	return now, trusted, nil
}

func (r retention) pass(ctx context.Context) error {
	now, trusted, err := r.look(ctx)
	if err != nil || !trusted {
		return err
	}
	return r.remove(ctx, now)
}

// remove removes what is old at a time that is trusted.
func (r retention) remove(ctx context.Context, now time.Time) error {
	var gone, used []string
	before := now.Add(-keepDeleted)
	err := r.store.Update(ctx, func(tx *store.Tx) (err error) {
		if err = tx.SetTrustedTime(now); err != nil {
			return err
		}
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
	running, err := r.running(ctx)
	if err != nil { // some are of no release; see ADR 045
		return errors.Join(append(errs, err)...)
	}
	freed, err := r.images.Collect(ctx, slices.Concat(used, runtimes, running), keepImages)
	errs = append(errs, err)
	if freed.Bytes > 0 || freed.Images > 0 {
		r.log.Info("images collected", "images", freed.Images, "layers", freed.Layers, "bytes", freed.Bytes)
	}
	return errors.Join(errs...)
}
