package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/openslipway/slipway/internal/build"
	"github.com/openslipway/slipway/internal/build/runtimes"
	"github.com/openslipway/slipway/internal/builds"
	"github.com/openslipway/slipway/internal/checks"
	"github.com/openslipway/slipway/internal/deploy"
	"github.com/openslipway/slipway/internal/domain"
	"github.com/openslipway/slipway/internal/hooks"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/logs"
	"github.com/openslipway/slipway/internal/operation"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/scale"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/source/git"
	"github.com/openslipway/slipway/internal/source/repository"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/uploads"
)

// controlRole turns intent into releases: it executes operations, scales
// services, validates custom domains and delivers events.
type controlRole struct {
	*core
	images *image.Store
	logs   *logs.Store
	jobs   runtime.Job
	demand scale.Demand
	heir   bool // another process still has requests

	certified func(host string) bool // nil: no domain waits for a certificate

	git      *git.Git
	uploads  *uploads.Uploads
	checks   *checks.Checks
	builds   *builds.Builds
	runtimes *runtimes.Set
	builder  *build.Builder
	code     *repository.Maker
	scale    *scale.Scaler
	engine   *operation.Engine
	auto     *deploy.Auto
	polling  *deploy.Poll
	tags     *deploy.ImagePoll
	domains  *domain.Reconciler
	hooks    *hooks.Hooks
}

func (c *controlRole) open(ctx context.Context) error {
	for _, step := range []func(context.Context) error{c.takeOver, c.openScale, c.openDomains, c.openBuilds, c.openOperations, c.openHooks} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// takeOver frees the leases of operations that the last process of this node
// held, and forgets its router: that process is dead, since this one holds the
// lock of the data directory. Other nodes keep theirs.
//
// An heir's own router lives from here on, with nothing drained: the elder has requests,
// and what waits for them to end must not find that there is no router.
//
// A directory without a node's id was used only by versions that had none, one
// process at a time. Then everything in the store is of dead processes.
func (c *controlRole) takeOver(ctx context.Context) error {
	id := c.node.id
	if c.node.isNew {
		id = ""
	}
	err := c.store.Update(ctx, func(tx *store.Tx) error {
		err := errors.Join(tx.ReleaseLeases(id), tx.ForgetRouter(id))
		if err == nil && c.heir {
			err = tx.PutRouter(c.node.id, 0, time.Now())
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("take over from the last process: %w", err)
	}
	return c.node.keep()
}

func (c *controlRole) openScale(context.Context) (err error) {
	c.scale, err = scale.New(scale.Config{Store: c.store, Demand: c.demand, Router: c.node.id, Log: c.part("scale"), Loops: c.loops})
	return err
}

// dns returns the name servers that custom domains are looked up at.
func (c *core) dns() (dns domain.DNS, err error) {
	servers, err := nameServers("dns-resolver", c.cfg.DNS)
	dns.File = "/etc/resolv.conf"
	for _, at := range servers {
		dns.Servers = append(dns.Servers, at.String())
	}
	return dns, err
}

func (c *controlRole) openDomains(context.Context) error {
	dns, err := c.dns()
	if err != nil {
		return err
	}
	c.domains, err = domain.New(domain.Config{
		Store: c.store, Resolver: dns, Trusted: c.cfg.TrustedDomains, Log: c.part("domains"), Loops: c.loops, Certified: c.certified,
	})
	return err
}

func (c *controlRole) openOperations(ctx context.Context) error {
	reader := &secrets.Reader{Store: c.store, Vault: c.vault}
	if c.cfg.AWSSecrets {
		conf, err := config.LoadDefaultConfig(ctx, config.WithRegion(c.cfg.Region))
		if err != nil {
			return fmt.Errorf("--aws-secrets: read the AWS configuration: %w", err)
		}
		reader.AWS = secrets.AWS{Config: conf}
	}
	rights, err := newAuthority(c.core)
	if err != nil {
		return err
	}
	plans, err := deploy.New(deploy.Config{
		Store: c.store, Resolver: source.Resolver{Images: c.images}, Code: c.code, Secrets: reader, MayRead: rights.mayRead, MayPull: rights.mayPull, MayConnect: rights.mayConnect, Region: c.cfg.Region,
		Tracing: c.cfg.OTLPEndpoint != "", HealthLimit: c.cfg.HealthLimit, KeepReleases: c.cfg.KeepReleases, Log: c.part("deploy"),
	})
	if err != nil {
		return err
	}
	c.checks, err = checks.New(checks.Config{Store: c.store, Try: plans.Try, Jobs: c.jobs, SecretNeed: c.secretNeed, Log: c.part("checks")})
	if err != nil {
		return err
	}
	c.engine, err = operation.New(operation.Config{
		Store: c.store, Plan: plans.Plan, Owner: c.node.id, Log: c.part("operation"), Loops: c.loops,
	})
	if err != nil {
		return err
	}
	c.polling = plans.NewPoll(deploy.PollConfig{Every: c.cfg.Git.Poll, Log: c.part("deploy"), Loops: c.loops})
	c.tags = plans.NewImagePoll(deploy.ImagePollConfig{Images: c.images, Every: c.cfg.ImagePoll, Log: c.part("deploy"), Loops: c.loops})
	c.auto = deploy.NewAuto(c.store, c.images.Local, c.loops, c.part("deploy"))
	return nil
}

func (c *controlRole) openHooks(context.Context) (err error) {
	attempts := newAttemptMetrics()
	c.hooks, err = hooks.New(hooks.Config{Store: c.store, Keys: c.keys, Log: c.part("hooks"), Loops: c.loops, Reach: c.reach, Observe: attempts.observe})
	if err != nil {
		return err
	}
	return c.metrics.Register(attempts)
}

// pushed starts the deployments of services that follow a tag with a new image.
func (c *controlRole) pushed(ctx context.Context, repository, tag, _ string) error {
	return c.auto.Pushed(ctx, repository, tag)
}

func (c *controlRole) parts() []runner {
	return []runner{c.scale, c.engine, c.checks, c.auto, c.polling, c.tags, c.domains, c.hooks, refresh{c.runtimes, c.loops, c.part("runtimes")}}
}

func (c *controlRole) close() error { return nil }
