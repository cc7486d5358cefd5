package deploy

import (
	"context"
	"errors"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/operation"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/store"
)

// Try builds code as a deployment does and returns the release that it would insert,
// but for what depends on a service: its networks, its scaling and its secrets, which
// are named in Code.Secrets and not read. It stores nothing but what builds keep. arn is
// that of the service whose settings and caches the build uses; "" for none.
func (p *Plans) Try(ctx context.Context, arn string, q source.BuildRequest, spec slipway.Spec, progress func(line string)) (slipway.Release, error) {
	if p.cfg.Code == nil {
		return slipway.Release{}, operation.Fatal(errors.New("this server builds no code"))
	}
	if err := p.settingsFor(ctx, arn, &q, spec.SourceSetBy); err != nil {
		return slipway.Release{}, err
	}
	var err error
	if q.Commit, err = p.cfg.Code.Commit(ctx, q.Repository); err != nil {
		return slipway.Release{}, failedTo("pull your application source code", err)
	}
	b, err := p.cfg.Code.Build(p.pulling(ctx, spec), q, progress)
	if err != nil {
		return slipway.Release{}, failedTo("build your application source code", err)
	}
	return resolveRelease(request{spec: spec, artifact: b.Artifact, code: &b.Code, region: p.cfg.Region})
}

// settingsFor adds a service's settings of builds to a request, and what they refer to.
// The user is whose right to read it counts.
func (p *Plans) settingsFor(ctx context.Context, arn string, q *source.BuildRequest, user string) error {
	if arn == "" {
		return nil
	}
	d := codeDeployment{}
	err := p.cfg.Store.View(ctx, func(tx *store.Tx) error {
		v, err := tx.Service(q.Service)
		if err != nil {
			return err
		}
		settings, err := settingsOf(tx, v.Service)
		q.Repository.Build, d.spec = settings.Build, v.Spec
		d.repository.Build, d.spec.SourceSetBy = settings.Build, user
		return err
	})
	if err != nil {
		return err
	}
	q.Secrets, err = p.buildSecrets(ctx, d)
	return err
}
