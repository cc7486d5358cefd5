package checks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/store"
)

// Try builds code and returns the release that a deployment would insert. See
// deploy.Plans.Try.
type Try func(ctx context.Context, arn string, q source.BuildRequest, spec slipway.Spec, progress func(line string)) (slipway.Release, error)

// Config is what Checks needs. Patience and Now may be zero.
type Config struct {
	Store *store.Store
	Try   Try
	Jobs  runtime.Job
	Log   *slog.Logger

	// SecretNeed returns the permission, with Named, to read what a reference names.
	SecretNeed func(tx *store.Tx, reference string) (gateway.Permission, error)

	Patience time.Duration    // for the start command to listen; a minute when 0
	Now      func() time.Time // time.Now when nil
}

// Checks is the checks of a server.
type Checks struct {
	cfg  Config
	base context.Context //nolint:containedctx // of all checks: it ends with Run
	stop context.CancelFunc

	running sync.WaitGroup

	mu    sync.Mutex // guards what follows, and what of a check is not its id or owner
	known map[string]*check
}

const (
	maxLive  = 4                // checks of one user at once
	maxLines = 5000             // that are kept of a check: the first ones
	keep     = 10 * time.Minute // after the end
	asked    = time.Minute      // a check that nobody asks for ends
)

// check is one check.
type check struct {
	id, owner string
	cancel    context.CancelCauseFunc

	seen    time.Time // when it was asked for
	ended   time.Time // zero while it runs
	lines   []string
	dropped int
	outcome Outcome
}

// Outcome is how a check ended.
type Outcome struct {
	Passed  bool
	Message string // one sentence or two
	Next    string // what to do; "" after a success
}

// New checks cfg. It starts nothing.
func New(cfg Config) (*Checks, error) {
	if cfg.Store == nil || cfg.Try == nil || cfg.Jobs == nil || cfg.Log == nil || cfg.SecretNeed == nil {
		return nil, errors.New("checks: a store, functions that build and that say who reads, jobs and a log are required")
	}
	if cfg.Patience == 0 {
		cfg.Patience = time.Minute
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Checks{cfg: cfg, known: map[string]*check{}}
	c.base, c.stop = context.WithCancel(context.Background())
	return c, nil
}

// lookEvery is how often Run looks for checks that nobody asks for.
const lookEvery = 5 * time.Second

// Run ends checks that nobody asks for, until ctx ends; then it ends all of them.
func (c *Checks) Run(ctx context.Context) error {
	defer c.running.Wait()
	defer c.stop()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			c.forget()
		}
	}
}

// errUnasked ends a check.
var errUnasked = errors.New("nobody asks for the check any more")

// forget ends checks that nobody asks for, and forgets those that ended long ago.
func (c *Checks) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	for id, k := range c.known {
		switch {
		case k.ended.IsZero() && now.Sub(k.seen) > asked:
			k.cancel(errUnasked)
		case !k.ended.IsZero() && now.Sub(k.ended) > keep:
			delete(c.known, id)
		}
	}
}

// Line takes a line of a build's output; false if the build is not a check's.
func (c *Checks) Line(operation, line string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.known[operation]
	if k != nil {
		k.add(line)
	}
	return k != nil
}

// add keeps a line. The caller holds the lock.
func (k *check) add(line string) {
	if len(k.lines) >= maxLines {
		k.dropped++
		return
	}
	k.lines = append(k.lines, line)
}

// request is a check to make.
type request struct {
	owner   string
	arn     string // of the service whose caches and settings are used; "" for none
	service string // its id
	source  source.Repository
	spec    slipway.Spec
	env     map[string]string // more variables of the application
}

// cachesOf returns the id under which builds keep the caches of a user's checks: it is
// no service's.
func cachesOf(owner string) string {
	sum := sha256.Sum256([]byte("checks of " + owner))
	return hex.EncodeToString(sum[:16])
}

// begin starts a check and returns its id.
func (c *Checks) begin(r request) (string, error) {
	if r.service == "" {
		r.service = cachesOf(r.owner)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.base.Err() != nil {
		return "", errors.New("the server ends")
	}
	live := 0
	for _, k := range c.known {
		if k.owner == r.owner && k.ended.IsZero() {
			live++
		}
	}
	if live >= maxLive {
		return "", slipway.Errorf(slipway.QuotaExceeded, "%d checks of yours are running; wait until one has ended.", live)
	}
	ctx, cancel := context.WithCancelCause(c.base)
	k := &check{id: slipway.NewID(), owner: r.owner, cancel: cancel, seen: c.cfg.Now()}
	c.known[k.id] = k
	c.running.Go(func() {
		defer cancel(nil)
		c.finish(k, c.make(ctx, k, r))
	})
	return k.id, nil
}

func (c *Checks) finish(k *check, o Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.dropped > 0 {
		k.lines = append(k.lines, fmt.Sprintf("[AppRunner] %d more lines are not shown.", k.dropped))
	}
	k.ended, k.outcome = c.cfg.Now(), o
}

// make builds and boots.
func (c *Checks) make(ctx context.Context, k *check, r request) Outcome {
	q := source.BuildRequest{Service: r.service, Operation: k.id, Repository: r.source}
	release, err := c.cfg.Try(ctx, r.arn, q, r.spec, func(line string) { c.Line(k.id, "[AppRunner] "+line) })
	if err == nil {
		var o Outcome
		if o, err = c.boot(ctx, k, r, release); err == nil {
			return o
		}
	}
	switch {
	case slipway.CodeOf(err) != "":
		return Outcome{Message: err.Error(), Next: "Correct it and run `slipway check` again."}
	case ctx.Err() != nil:
		return Outcome{Message: "The check was ended.", Next: "Run `slipway check` again."}
	}
	c.cfg.Log.Error("a check failed", "check", k.id, "err", err)
	return Outcome{Message: "The check failed for a reason of the server's, whose log tells more under the check " + k.id + ".", Next: "Run `slipway check` again."}
}
