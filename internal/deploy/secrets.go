package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/operation"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/store"
)

// hasNoSecrets reports whether what is deployed or resumed refers to no secrets.
func (p *Plans) hasNoSecrets(tx *store.Tx, op *slipway.Operation) (bool, error) {
	run, err := p.runtime(tx, op)
	return len(run.Secrets) == 0, err
}

// secrets reads the values of secrets once for all instances of the release, seals
// them for the release and stores them in the operation's state.
func (p *Plans) secrets(ctx context.Context, op *slipway.Operation) error {
	st, err := load(op)
	if err != nil {
		return operation.Fatal(err)
	}
	var run source.Runtime
	var spec slipway.Spec
	err = p.cfg.Store.ViewUnsynced(ctx, func(tx *store.Tx) (err error) {
		if spec, err = p.spec(tx, op); err != nil {
			return err
		}
		run, err = p.runtime(tx, op)
		return err
	})
	if err != nil {
		return err
	}
	values, err := p.read(ctx, spec, run.Secrets)
	if err != nil {
		return err
	}
	if op.Kind == slipway.ResumeService {
		st.SealedFor = st.Previous
	} else {
		st.Release = cmp.Or(st.Release, slipway.NewID()) // earlier versions drew it in the release step
		st.SealedFor = st.Release
	}
	if st.Secrets, err = secrets.SealEnvironment(p.cfg.Secrets.Vault.Keys, secrets.ReleaseOwner(st.SealedFor), values); err != nil {
		return operation.Fatal(err)
	}
	if err := save(op, st); err != nil {
		return operation.Fatal(err)
	}
	return nil
}

// read returns the values of references by variable, if who set the source of the
// service may read all of them. Their right of now counts, and not that of who started
// the deployment: a repository, or an image that a tag names later, decides what is done
// with the values, and who set the source has chosen it.
func (p *Plans) read(ctx context.Context, spec slipway.Spec, references map[string]string) (map[string]string, error) {
	if p.cfg.Secrets == nil {
		return nil, operation.Fatal(errors.New("this server keeps no secrets"))
	}
	if p.cfg.MayRead != nil {
		err := p.cfg.Store.ViewUnsynced(ctx, func(tx *store.Tx) error {
			for _, name := range slices.Sorted(maps.Keys(references)) {
				if err := p.cfg.MayRead(tx, spec.SourceSetBy, references[name]); err != nil {
					return refused(name, references[name], err)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return p.cfg.Secrets.Read(ctx, references)
}

// pulling returns a context with which images of this server's own registry are read only
// if who set the source may read them, as read does with secrets.
func (p *Plans) pulling(ctx context.Context, spec slipway.Spec) context.Context {
	if p.cfg.MayPull == nil {
		return ctx
	}
	return source.WithPermit(ctx, func(repository string) error {
		return p.cfg.Store.ViewUnsynced(ctx, func(tx *store.Tx) error { return p.cfg.MayPull(tx, spec.SourceSetBy, repository) })
	})
}

// refused names the variable whose value may not be read. An error that is no refusal is
// returned unchanged.
func refused(name, reference string, err error) error {
	if e, ok := errors.AsType[*slipway.Error](err); ok {
		return slipway.Errorf(slipway.InvalidRequest, "The secret for environment variable %s could not be read from %s: %s", name, reference, e.Message)
	}
	return err
}

// takeSecrets removes the secrets from the state and returns them, sealed for the
// release. Earlier versions sealed them for the operation first: an operation that
// one of them began is sealed again.
func (p *Plans) takeSecrets(op *slipway.Operation, st *state, release string) ([]byte, error) {
	sealed, owner := st.Secrets, st.SealedFor
	st.Secrets, st.SealedFor = nil, ""
	if len(sealed) == 0 || owner == release {
		return sealed, nil
	}
	keys := p.cfg.Secrets.Vault.Keys
	values, err := secrets.OpenEnvironment(keys, "operation "+op.ID, sealed)
	if err != nil {
		return nil, operation.Fatal(err)
	}
	return secrets.SealEnvironment(keys, secrets.ReleaseOwner(release), values)
}

// replaceSecrets replaces the secrets of the active release by the values that
// were just read: App Runner resumes with the current ones.
// https://docs.aws.amazon.com/apprunner/latest/dg/manage-pause.html
func (p *Plans) replaceSecrets(tx *store.Tx, op *slipway.Operation) error {
	st, err := load(op)
	if err != nil || len(st.Secrets) == 0 {
		return operation.Fatal(err)
	}
	v, err := tx.Service(op.ServiceID)
	if err != nil {
		return err
	}
	sealed, err := p.takeSecrets(op, &st, v.ActiveRelease)
	if err != nil {
		return err
	}
	if err := tx.SetReleaseSecrets(v.ActiveRelease, sealed); err != nil {
		return fmt.Errorf("write the secrets of release %s: %w", v.ActiveRelease, err)
	}
	return save(op, st)
}
