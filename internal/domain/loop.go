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
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/store"
)

const (
	advanceBatch  = 256 // domains in one transaction
	validateBatch = 64  // domains looked up before the results are written
	lookups       = 8   // domains looked up concurrently
	retryEvery    = 5 * time.Second
	resyncEvery   = time.Minute // between passes without a reason, in case the clock was set
)

// Resolver queries DNS.
type Resolver interface {
	// CNAME returns the target of the CNAME record of name, both with a final
	// dot, or an empty string if there is none. An error means that it is not
	// known.
	CNAME(ctx context.Context, name string) (target string, err error)
}

// Config configures a Reconciler.
type Config struct {
	Store    *store.Store
	Resolver Resolver
	Log      *slog.Logger
	Loops    *loop.Set // shows how the loops are doing; nil is allowed

	// Trusted are domains, in lower case, that need no proof, nor do the
	// domains below them: everybody who may associate a domain with a service
	// may use them.
	Trusted []string

	// Certified reports whether a host name, or a wildcard, has a certificate. A domain is
	// not served before all its names have one. nil: no certificate is needed, or there is
	// one for every name.
	Certified func(host string) bool
}

// Reconciler takes custom domains through their life cycle.
type Reconciler struct {
	cfg         Config
	unreachable bool // DNS answered no query of the last pass; used only by the validation loop
}

// New returns a reconciler that does nothing before Run.
func New(cfg Config) (*Reconciler, error) {
	if cfg.Store == nil || cfg.Resolver == nil || cfg.Log == nil {
		return nil, errors.New("domain: store, resolver and log are required")
	}
	return &Reconciler{cfg: cfg}, nil
}

// Run works until ctx ends and returns nil.
func (r *Reconciler) Run(ctx context.Context) error {
	var both errgroup.Group
	both.Go(func() error { return r.repeat(ctx, "domain-advance", r.advanceDue) })
	both.Go(func() error { return r.repeat(ctx, "domain-validate", r.validateDue) })
	return both.Wait()
}

// repeat runs pass whenever a domain has changed, and at the time that the last
// pass returned.
func (r *Reconciler) repeat(ctx context.Context, name string, pass func(context.Context) (next time.Time, err error)) error {
	watch := r.cfg.Store.Watch(store.Domains)
	defer watch.Close()
	return loop.RunDue(ctx, loop.Config{
		Name: name, Log: r.cfg.Log, Set: r.cfg.Loops, Watch: watch.C, Every: resyncEvery, Backoff: retryEvery,
	}, func(ctx context.Context) (time.Time, error) {
		watch.Take() // the rows say what is due
		return pass(ctx)
	})
}

// advanceDue advances the domains that are due and returns when the next ones
// are.
func (r *Reconciler) advanceDue(ctx context.Context) (next time.Time, err error) {
	var list []slipway.CustomDomain
	read := func(tx *store.Tx) (err error) {
		list, next, err = tx.DueCustomDomains(time.Now(), advanceBatch)
		return err
	}
	if err := r.cfg.Store.ViewUnsynced(ctx, read); err != nil || len(list) == 0 {
		return next, err
	}
	var steps []step
	err = r.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		steps = nil
		if err := read(tx); err != nil {
			return err
		}
		for _, d := range list {
			after, gone := advance(d, r.certified(d), time.Now())
			save := tx.SaveCustomDomain
			if gone {
				save = tx.DeleteCustomDomain
			}
			s := step{before: d, after: after, gone: gone}
			if err := errors.Join(save(after), publish(tx, s)); err != nil {
				return fmt.Errorf("%s: %w", d.Name, err)
			}
			steps = append(steps, s)
		}
		return nil
	})
	r.report(steps, err)
	return time.Now(), err // the commit has changed the next time
}

// certified reports whether a domain may be served, as far as certificates go.
func (r *Reconciler) certified(d slipway.CustomDomain) bool {
	return r.cfg.Certified == nil || !slices.ContainsFunc(d.Hosts(), func(h string) bool { return !r.cfg.Certified(h) })
}

// validateDue looks up the records of the domains that are due and returns when
// the next ones are.
func (r *Reconciler) validateDue(ctx context.Context) (next time.Time, err error) {
	var list []slipway.CustomDomain
	err = r.cfg.Store.ViewUnsynced(ctx, func(tx *store.Tx) (err error) {
		list, next, err = tx.DueUnprovedCustomDomains(time.Now(), validateBatch)
		return err
	})
	if err != nil || len(list) == 0 {
		return next, err
	}
	found := r.lookUp(ctx, list)
	if ctx.Err() != nil {
		return next, nil
	}
	var steps []step
	err = r.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) error {
		steps = nil
		lost := map[string]bool{}
		for i, d := range list {
			if lost[d.ID] {
				continue
			}
			done, err := settle(tx, d, found[i], time.Now())
			if err != nil {
				return fmt.Errorf("%s: %w", d.Name, err)
			}
			for _, s := range done {
				lost[s.before.ID] = s.after.State == slipway.DomainFailed
			}
			steps = append(steps, done...)
		}
		return nil
	})
	r.report(steps, err)
	return time.Now(), err
}

// settle writes the next state of a domain whose records were looked up. If they prove its
// claim, the domain holds its hosts, and the claims of others to any of them have lost. It
// returns all that changed.
func settle(tx *store.Tx, d slipway.CustomDomain, found []bool, now time.Time) ([]step, error) {
	s := step{before: d, after: validate(d, found, now), why: lateProof}
	err := tx.SaveCustomDomain(s.after)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil // its deletion was requested in the meantime
	}
	if err == nil && s.after.State == slipway.DomainBinding {
		if err = tx.HoldHosts(d); errors.Is(err, store.ErrHostTaken) {
			s.after, s.why = fail(d, now), lostClaim
			err = tx.SaveCustomDomain(s.after)
		}
	}
	if err := errors.Join(err, publish(tx, s)); err != nil || s.after.State != slipway.DomainBinding {
		return []step{s}, err
	}
	rivals, err := tx.Rivals(d)
	if err != nil {
		return nil, err
	}
	steps := []step{s}
	for _, r := range rivals {
		s := step{before: r, after: fail(r, now), why: lostClaim}
		if err := errors.Join(tx.SaveCustomDomain(s.after), publish(tx, s)); err != nil {
			return nil, fmt.Errorf("%s of service %s: %w", r.Name, r.ServiceID, err)
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// lookUp returns for each domain which of its records exist.
func (r *Reconciler) lookUp(ctx context.Context, list []slipway.CustomDomain) [][]bool {
	found := make([][]bool, len(list))
	errs := make([]error, len(list))
	var g errgroup.Group
	g.SetLimit(lookups)
	for i, d := range list {
		g.Go(func() error {
			found[i], errs[i] = r.lookUpOne(ctx, d)
			return nil
		})
	}
	_ = g.Wait() // none fails
	r.logReachability(ctx, errs)
	return found
}

// lookUpOne returns which records of a domain exist. Records that existed once
// are not looked up again.
func (r *Reconciler) lookUpOne(ctx context.Context, d slipway.CustomDomain) (found []bool, err error) {
	found = make([]bool, len(d.Records))
	trusted := r.trusts(d.Name)
	for i, record := range d.Records {
		if trusted || record.Status == slipway.RecordValid {
			found[i] = true
			continue
		}
		target, err := r.cfg.Resolver.CNAME(ctx, record.Name)
		if err != nil {
			return found, err // the other records would fail as well
		}
		found[i] = strings.EqualFold(target, record.Value)
		if !found[i] {
			r.cfg.Log.Debug("record not found", "domain", d.Name, "record", record.Name, "want", record.Value, "have", target)
		}
	}
	return found, nil
}

// logReachability logs once that DNS is unreachable, and once that it is
// reachable again.
func (r *Reconciler) logReachability(ctx context.Context, errs []error) {
	unreachable := !slices.Contains(errs, nil)
	switch {
	case ctx.Err() != nil || unreachable == r.unreachable:
		return
	case unreachable:
		r.cfg.Log.Warn("custom domains can't be validated: DNS does not answer", "err", errs[0])
	default:
		r.cfg.Log.Info("DNS answers again")
	}
	r.unreachable = unreachable
}

func (r *Reconciler) trusts(name string) bool {
	host := strings.ToLower(name)
	for _, t := range r.cfg.Trusted {
		if host == t || strings.HasSuffix(host, "."+t) {
			return true
		}
	}
	return false
}

// step is what changed about a domain.
type step struct {
	before, after slipway.CustomDomain
	gone          bool
	why           string // of a domain that failed
}

// report logs the steps if they were written.
func (r *Reconciler) report(steps []step, err error) {
	if err != nil {
		return
	}
	for _, s := range steps {
		log := r.cfg.Log.With("domain", s.before.Name, "service", s.before.ServiceID)
		switch {
		case s.gone:
			log.Info("custom domain deleted")
		case s.before.State == s.after.State:
		case s.after.State == slipway.DomainFailed:
			log.Info("custom domain was not validated", "requested", s.before.CreatedAt, "why", s.why)
		default:
			log.Info("custom domain changed state", "state", s.after.State)
		}
	}
}
