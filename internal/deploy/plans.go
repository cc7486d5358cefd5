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

// Resolver resolves a source to an artifact and fetches it. It returns a
// *slipway.Error for what the user can fix.
type Resolver interface {
	// Resolve may take minutes and calls progress with lines for people. It is
	// idempotent: it does not fetch again what is stored locally.
	Resolve(ctx context.Context, source types.SourceConfiguration, progress func(line string)) (source.Artifact, error)
}

// Code makes images of code repositories. Its errors are *slipway.Error for what the
// user can fix; others may pass.
type Code interface {
	// Commit returns the newest commit of the repository's branch.
	Commit(ctx context.Context, r source.Repository) (string, error)

	// Build makes an image of a commit, at once if it was made before. It calls
	// progress with App Runner's lines about it.
	Build(ctx context.Context, q source.BuildRequest, progress func(line string)) (source.Build, error)

	// Directory returns the id of the content that the repository's source directory
	// has at a commit.
	Directory(ctx context.Context, r source.Repository, commit string) (string, error)

	// Built returns an image that was built before.
	Built(ctx context.Context, digest string, code slipway.CodeVersion, r source.Repository) (source.Artifact, error)
}

// Config is what the plans need.
type Config struct {
	Store    *store.Store
	Resolver Resolver
	Code     Code            // nil: services cannot be built from code
	Secrets  *secrets.Reader // nil: services cannot have secrets
	Region   string

	// MayRead returns nil if the user with this id may read the secret or parameter that
	// a reference names, and otherwise an *slipway.Error that says why not. Nil: every
	// user may.
	MayRead func(tx *store.Tx, userID, reference string) error

	// MayPull is MayRead for a repository of this server's own registry, MayConnect for the
	// credential of a connection, which its ARN names.
	MayPull, MayConnect func(tx *store.Tx, userID, name string) error

	Tracing bool // instances have a trace collector at collectorEndpoint
	Log     *slog.Logger

	// Now is the time of day that rows say for people; time.Now when nil. It may step at any
	// time: nothing is decided by it.
	Now func() time.Time

	CommitLimit  time.Duration // to find the newest commit of a branch; 2 minutes when 0
	BuildLimit   time.Duration // to fetch and build a commit, with the time it waits for others; 2 hours when 0
	ResolveLimit time.Duration // to fetch an image; 30 minutes when 0
	SecretsLimit time.Duration // to read secrets; 2 minutes when 0
	HealthLimit  time.Duration // for new instances to become healthy; 5 minutes when 0, as App Runner
	DrainLimit   time.Duration // for requests in flight to end, where a service has no slipway:request-timeout above it; 2 minutes when 0
	StopLimit    time.Duration // for all instances to stop; 5 minutes when 0
	KeepReleases int           // the images of how many earlier releases of a service are kept
	RouterSilent time.Duration // after this time without a report a router counts as gone; 10 s when 0
}

// Plans makes the plan for each kind of operation.
type Plans struct{ cfg Config }

// New checks cfg and returns the plans.
func New(cfg Config) (*Plans, error) {
	if cfg.Store == nil || cfg.Resolver == nil || cfg.Log == nil {
		return nil, errors.New("deploy: store, resolver and log are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.CommitLimit = cmp.Or(cfg.CommitLimit, 2*time.Minute)
	cfg.BuildLimit = cmp.Or(cfg.BuildLimit, 2*time.Hour)
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

// stepHealthy is the name of the step that waits for instances to become healthy.
const stepHealthy = "healthy"

// deployment starts a new release beside the active one, routes the traffic to
// it and retires the previous one.
func (p *Plans) deployment() operation.Plan {
	return operation.Plan{
		Forward: []operation.Step{
			{Name: "commit", Work: p.commit, Skip: p.isImage, Limit: p.cfg.CommitLimit},
			{Name: "build", Work: p.build, Skip: p.isBuilt, Limit: p.cfg.BuildLimit},
			{Name: "resolve", Work: p.resolve, Skip: p.isCode, Limit: p.cfg.ResolveLimit},
			{Name: "secrets", Work: p.secrets, Skip: p.hasNoSecrets, Limit: p.cfg.SecretsLimit},
			{Name: "release", Edit: p.release},
			{Name: stepHealthy, Wait: p.healthy, Limit: p.cfg.HealthLimit},
			{Name: "route", Edit: p.route},
			{Name: "drain", Wait: p.drained},
			{Name: "retire", Edit: p.retire},
		},
		Rollback:     []operation.Step{{Name: "restore", Edit: p.restore}},
		Begin:        p.begin,
		OnRollback:   p.onRollback,
		Waiting:      p.waiting,
		Finish:       p.finish,
		FailedStatus: failedDeploymentStatus,
	}
}

// pause stops every instance once its requests have ended, or has those that take requests
// frozen and kept.
func (p *Plans) pause() operation.Plan {
	return operation.Plan{
		Forward: []operation.Step{
			{Name: "unroute", Edit: p.unroute(slipway.WantedPaused)},
			{Name: "drain", Wait: p.drained},
			{Name: "stop", Edit: p.rest},
			{Name: "stopped", Wait: p.stopped, Limit: p.cfg.StopLimit},
		},
		Rollback:     []operation.Step{{Name: "reroute", Edit: p.start}},
		Begin:        p.begin,
		OnRollback:   p.onRollback,
		Finish:       p.finish,
		FailedStatus: failedStatus,
	}
}

// resume starts the release that was active before the pause, with the current
// values of its secrets, or thaws the instances that the pause has kept.
func (p *Plans) resume() operation.Plan {
	return operation.Plan{
		Forward: []operation.Step{
			{Name: "secrets", Work: p.secrets, Skip: p.hasNoSecrets, Limit: p.cfg.SecretsLimit},
			{Name: "start", Edit: p.start},
			{Name: stepHealthy, Wait: p.healthy, Limit: p.cfg.HealthLimit},
		},
		Rollback: []operation.Step{
			{Name: "unroute", Edit: p.unroute(slipway.WantedPaused)},
			{Name: "stop", Edit: p.stop},
		},
		Begin:        p.begin,
		OnRollback:   p.onRollback,
		Waiting:      p.waiting,
		Finish:       p.finish,
		FailedStatus: failedStatus,
	}
}

// delete stops every instance and then deletes what the service consists of. It
// has no rollback: it retries until its deadline, and can be requested again.
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
		OnRollback:   p.onRollback,
		Finish:       p.finish,
		FailedStatus: failedStatus,
	}
}

func failedStatus(slipway.Operation) slipway.OperationStatus { return slipway.OperationFailed }

// failedDeploymentStatus is FAILED when there was no release to roll back to: for
// a creation, and for a retry of a failed one.
func failedDeploymentStatus(op slipway.Operation) slipway.OperationStatus {
	st, err := load(&op)
	if err != nil || st.Previous == "" {
		return slipway.OperationFailed
	}
	return slipway.OperationRollbackSucceeded
}
