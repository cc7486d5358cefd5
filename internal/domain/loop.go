package domain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

const (
	settleBatch = 256 // domains in one transaction
	proofBatch  = 64  // domains looked up before the first of them is written
	lookups     = 8   // domains looked up at once
	retryEvery  = 5 * time.Second
	resyncEvery = time.Minute // a look without a reason, against clocks that jump
)

// Resolver asks DNS.
type Resolver interface {
	// CNAME returns the name that an alias stands for, both with a final dot;
	// "" when there is no alias of this name. An error means that it is not
	// known.
	CNAME(ctx context.Context, name string) (target string, err error)
}

// Config is what the keeper of custom domains needs.
type Config struct {
	Store    *store.Store
	Resolver Resolver
	Log      *slog.Logger

	// Trusted are domains, in lower case, at and below which no proof is asked
	// for: everybody who may associate a domain with a service may have them.
	Trusted []string
}

// Keeper leads custom domains through their lives.
type Keeper struct {
	cfg  Config
	deaf bool // DNS answered nothing the last time; the proving loop's own
}

// New checks cfg and returns a keeper that does nothing until Run.
func New(cfg Config) (*Keeper, error) {
	if cfg.Store == nil || cfg.Resolver == nil || cfg.Log == nil {
		return nil, errors.New("domain: store, resolver and log are required")
	}
	return &Keeper{cfg: cfg}, nil
}

// Run works until ctx ends; then it returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	var both errgroup.Group
	both.Go(func() error { return k.loop(ctx, "settle custom domains", k.settleDue) })
	both.Go(func() error { return k.loop(ctx, "prove custom domains", k.proveDue) })
	return both.Wait()
}

// loop makes passes: whenever a domain changed, and when the pass before said.
func (k *Keeper) loop(ctx context.Context, doing string, pass func(context.Context) (next time.Time, err error)) error {
	watch := k.cfg.Store.Watch(store.Domains)
	defer watch.Close()
	for {
		next, err := pass(ctx)
		wait := resyncEvery
		if !next.IsZero() {
			wait = min(wait, time.Until(next))
		}
		if err != nil && ctx.Err() == nil {
			k.cfg.Log.Error(doing, "err", err)
			wait = retryEvery
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-watch.C:
			watch.Take() // rows tell what is due
			timer.Stop()
		}
	}
}

// settleDue settles what is due and returns when more is.
func (k *Keeper) settleDue(ctx context.Context) (next time.Time, err error) {
	var list []slipway.CustomDomain
	read := func(tx *store.Tx) (err error) {
		list, next, err = tx.UnsettledCustomDomains(time.Now(), settleBatch)
		return err
	}
	if err := k.cfg.Store.View(ctx, read); err != nil || len(list) == 0 {
		return next, err
	}
	var steps []step
	err = k.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		steps = nil
		if err := read(tx); err != nil {
			return err
		}
		for _, d := range list {
			after, gone := settle(d, time.Now())
			save := tx.SaveCustomDomain
			if gone {
				save = tx.DeleteCustomDomain
			}
			if err := errors.Join(save(after), publish(tx, d, after)); err != nil {
				return fmt.Errorf("%s: %w", d.Name, err)
			}
			steps = append(steps, step{d, after, gone})
		}
		return nil
	})
	k.report(steps, err)
	return time.Now(), err // the commit has changed what is next
}

// proveDue looks up the records of the domains that are due and returns when
// more are.
func (k *Keeper) proveDue(ctx context.Context) (next time.Time, err error) {
	var list []slipway.CustomDomain
	err = k.cfg.Store.View(ctx, func(tx *store.Tx) (err error) {
		list, next, err = tx.UnprovedCustomDomains(time.Now(), proofBatch)
		return err
	})
	if err != nil || len(list) == 0 {
		return next, err
	}
	found := k.lookUp(ctx, list)
	if ctx.Err() != nil {
		return next, nil
	}
	var steps []step
	err = k.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) error {
		steps = nil
		for i, d := range list {
			after := judge(d, found[i], time.Now())
			err := tx.SaveCustomDomain(after)
			if errors.Is(err, store.ErrNotFound) {
				continue // it was asked to go meanwhile
			}
			if err := errors.Join(err, publish(tx, d, after)); err != nil {
				return fmt.Errorf("%s: %w", d.Name, err)
			}
			steps = append(steps, step{d, after, false})
		}
		return nil
	})
	k.report(steps, err)
	return time.Now(), err
}

// lookUp tells for each domain which of its records are there.
func (k *Keeper) lookUp(ctx context.Context, list []slipway.CustomDomain) [][]bool {
	found := make([][]bool, len(list))
	errs := make([]error, len(list))
	var g errgroup.Group
	g.SetLimit(lookups)
	for i, d := range list {
		g.Go(func() error {
			found[i], errs[i] = k.look(ctx, d)
			return nil
		})
	}
	_ = g.Wait() // none fails
	k.hear(ctx, errs)
	return found
}

// look tells which of a domain's records are there. Those that were there once
// are not asked for again.
func (k *Keeper) look(ctx context.Context, d slipway.CustomDomain) (found []bool, err error) {
	found = make([]bool, len(d.Records))
	trusted := k.trusts(d.Name)
	for i, r := range d.Records {
		if trusted || r.Status == slipway.RecordValid {
			found[i] = true
			continue
		}
		target, err := k.cfg.Resolver.CNAME(ctx, r.Name)
		if err != nil {
			return found, err // the others would fare no better
		}
		found[i] = strings.EqualFold(target, r.Value)
		if !found[i] {
			k.cfg.Log.Debug("record not there", "domain", d.Name, "record", r.Name, "want", r.Value, "have", target)
		}
	}
	return found, nil
}

// hear says once that DNS answers nothing, and once that it answers again.
func (k *Keeper) hear(ctx context.Context, errs []error) {
	deaf := !slices.Contains(errs, nil)
	switch {
	case ctx.Err() != nil || deaf == k.deaf:
		return
	case deaf:
		k.cfg.Log.Warn("custom domains can't be proved: DNS does not answer", "err", errs[0])
	default:
		k.cfg.Log.Info("DNS answers again")
	}
	k.deaf = deaf
}

func (k *Keeper) trusts(name string) bool {
	host := strings.ToLower(name)
	for _, t := range k.cfg.Trusted {
		if host == t || strings.HasSuffix(host, "."+t) {
			return true
		}
	}
	return false
}

// step is what became of a domain.
type step struct {
	before, after slipway.CustomDomain
	gone          bool
}

// report logs what an operator may want to know of steps, if they were written.
func (k *Keeper) report(steps []step, err error) {
	if err != nil {
		return
	}
	for _, s := range steps {
		log := k.cfg.Log.With("domain", s.before.Name, "service", s.before.ServiceID)
		switch {
		case s.gone:
			log.Info("custom domain is gone")
		case s.before.State == s.after.State:
		case s.after.State == slipway.DomainFailed:
			log.Warn("custom domain was not proved in time", "asked", s.before.CreatedAt)
		default:
			log.Info("custom domain goes on", "state", s.after.State)
		}
	}
}
