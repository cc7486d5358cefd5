package deploy

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/operation"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/store"
)

// Resolver pins a source to an artifact and brings it here. Its errors that
// the user can mend are *slipway.Error.
type Resolver interface {
	// Resolve may take long; progress is called with lines for people. It is
	// safe to repeat: what is here already is not fetched again.
	Resolve(ctx context.Context, source types.SourceConfiguration, progress func(line string)) (source.Artifact, error)
}

// Config is what the plans need.
type Config struct {
	Store    *store.Store
	Resolver Resolver
	Secrets  *secrets.Reader // nil: services can't have secrets
	Region   string
	Tracing  bool // instances have a collector of traces at collectorEndpoint
	Log      *slog.Logger

	ResolveLimit time.Duration // 30 minutes when 0: to fetch an image
	SecretsLimit time.Duration // 2 minutes when 0: to read secrets
	HealthLimit  time.Duration // 5 minutes when 0, as App Runner: to become healthy
	DrainLimit   time.Duration // 2 minutes when 0: the longest a request may take
	StopLimit    time.Duration // 5 minutes when 0: until every instance is gone
	RouterSilent time.Duration // 10 s when 0: a router not heard of for so long is gone
}

// Plans makes the plan for each kind of operation.
type Plans struct{ cfg Config }

// New checks cfg and returns the plans.
func New(cfg Config) (*Plans, error) {
	if cfg.Store == nil || cfg.Resolver == nil || cfg.Log == nil {
		return nil, errors.New("deploy: store, resolver and log are required")
	}
	cfg.ResolveLimit = cmp.Or(cfg.ResolveLimit, 30*time.Minute)
	cfg.SecretsLimit = cmp.Or(cfg.SecretsLimit, 2*time.Minute)
	cfg.HealthLimit = cmp.Or(cfg.HealthLimit, 5*time.Minute)
	cfg.DrainLimit = cmp.Or(cfg.DrainLimit, 2*time.Minute)
	cfg.StopLimit = cmp.Or(cfg.StopLimit, 5*time.Minute)
	cfg.RouterSilent = cmp.Or(cfg.RouterSilent, 10*time.Second)
	return &Plans{cfg}, nil
}

// Plan returns the plan for an operation of this kind.
func (p *Plans) Plan(kind slipway.OperationKind) (operation.Plan, bool) {
	switch kind {
	case slipway.CreateService, slipway.UpdateService, slipway.StartDeployment:
		return p.deployment(), true
	case slipway.PauseService:
		return p.pause(), true
	case slipway.ResumeService:
		return p.resume(), true
	case slipway.DeleteService:
		return p.delete(), true
	}
	return operation.Plan{}, false
}

// deployment brings a specification to life in a new release beside the one
// that serves, moves the traffic over and retires the old one.
func (p *Plans) deployment() operation.Plan {
	return operation.Plan{
		Forward: []operation.Step{
			{Name: "resolve", Work: p.resolve, Limit: p.cfg.ResolveLimit},
			{Name: "secrets", Work: p.secrets, Skip: p.withoutSecrets, Limit: p.cfg.SecretsLimit},
			{Name: "release", Edit: p.release},
			{Name: "healthy", Wait: p.healthy, Limit: p.cfg.HealthLimit},
			{Name: "route", Edit: p.route},
			{Name: "drain", Wait: p.drained},
			{Name: "retire", Edit: p.retire},
		},
		Rollback:     []operation.Step{{Name: "restore", Edit: p.restore}},
		Begin:        p.begin,
		OnRollback:   p.turn,
		Finish:       p.finish,
		FailedStatus: failedDeployment,
	}
}

// pause stops every instance once its requests are answered.
func (p *Plans) pause() operation.Plan {
	return operation.Plan{
		Forward: []operation.Step{
			{Name: "unroute", Edit: p.unroute(slipway.WantedPaused)},
			{Name: "drain", Wait: p.drained},
			{Name: "stop", Edit: p.stop},
			{Name: "stopped", Wait: p.stopped, Limit: p.cfg.StopLimit},
		},
		Rollback:     []operation.Step{{Name: "reroute", Edit: p.start}},
		Begin:        p.begin,
		OnRollback:   p.turn,
		Finish:       p.finish,
		FailedStatus: failed,
	}
}

// resume starts the release that served before the pause, with its secrets as
// they are now.
func (p *Plans) resume() operation.Plan {
	return operation.Plan{
		Forward: []operation.Step{
			{Name: "secrets", Work: p.secrets, Skip: p.withoutSecrets, Limit: p.cfg.SecretsLimit},
			{Name: "start", Edit: p.start},
			{Name: "healthy", Wait: p.healthy, Limit: p.cfg.HealthLimit},
		},
		Rollback: []operation.Step{
			{Name: "unroute", Edit: p.unroute(slipway.WantedPaused)},
			{Name: "stop", Edit: p.stop},
		},
		Begin:        p.begin,
		OnRollback:   p.turn,
		Finish:       p.finish,
		FailedStatus: failed,
	}
}

// delete is a pause that ends in forgetting. It has no way back: it is tried
// until its deadline, and can be asked for again.
func (p *Plans) delete() operation.Plan {
	return operation.Plan{
		Forward: []operation.Step{
			{Name: "unroute", Edit: p.unroute(slipway.WantedDeleted)},
			{Name: "drain", Wait: p.drained},
			{Name: "stop", Edit: p.stop},
			{Name: "stopped", Wait: p.stopped, Limit: p.cfg.StopLimit},
			{Name: "forget", Edit: p.forget},
		},
		Begin:        p.begin,
		OnRollback:   p.turn,
		Finish:       p.finish,
		FailedStatus: failed,
	}
}

func failed(slipway.Operation) slipway.OperationStatus { return slipway.OperationFailed }

// failedDeployment is FAILED when there was no version to go back to: for a
// first creation, and for the rebuild of one that failed.
func failedDeployment(op slipway.Operation) slipway.OperationStatus {
	st, err := load(&op)
	if err != nil || st.Previous == "" {
		return slipway.OperationFailed
	}
	return slipway.OperationRollbackSucceeded
}
