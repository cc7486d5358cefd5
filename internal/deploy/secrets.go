package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/operation"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/store"
)

// references returns what the variables of a specification refer to, by name.
func references(spec slipway.Spec) map[string]string {
	all := map[string]string{}
	if r := spec.Source.ImageRepository; r != nil && r.ImageConfiguration != nil {
		maps.Copy(all, r.ImageConfiguration.RuntimeEnvironmentSecrets)
	}
	if r := spec.Source.CodeRepository; r != nil && r.CodeConfiguration != nil && r.CodeConfiguration.CodeConfigurationValues != nil {
		maps.Copy(all, r.CodeConfiguration.CodeConfigurationValues.RuntimeEnvironmentSecrets)
	}
	return all
}

// withoutSecrets reports that there are none to read.
func (p *Plans) withoutSecrets(tx *store.Tx, op *slipway.Operation) (bool, error) {
	spec, err := p.spec(tx, op)
	return len(references(spec)) == 0, err
}

// secrets reads the values of secrets, once for all instances of the release
// that follows, and leaves them sealed in the operation's state.
func (p *Plans) secrets(ctx context.Context, op *slipway.Operation) error {
	st, err := load(op)
	if err != nil {
		return operation.Fatal(err)
	}
	var spec slipway.Spec
	if err := p.cfg.Store.View(ctx, func(tx *store.Tx) (err error) { spec, err = p.spec(tx, op); return err }); err != nil {
		return err
	}
	if p.cfg.Secrets == nil {
		return operation.Fatal(errors.New("this server keeps no secrets"))
	}
	values, err := p.cfg.Secrets.Read(ctx, references(spec))
	if err != nil {
		return err
	}
	if st.Secrets, err = secrets.SealEnvironment(p.cfg.Secrets.Vault.Keys, operationOwner(op), values); err != nil {
		return operation.Fatal(err)
	}
	if err := save(op, st); err != nil {
		return operation.Fatal(err)
	}
	return nil
}

func operationOwner(op *slipway.Operation) string { return "operation " + op.ID }

// secretsFor moves the values that were read from the state to the release they
// are for.
func (p *Plans) secretsFor(op *slipway.Operation, st *state, release string) ([]byte, error) {
	if len(st.Secrets) == 0 {
		return nil, nil
	}
	keys := p.cfg.Secrets.Vault.Keys
	values, err := secrets.OpenEnvironment(keys, operationOwner(op), st.Secrets)
	if err != nil {
		return nil, operation.Fatal(err)
	}
	st.Secrets = nil
	return secrets.SealEnvironment(keys, secrets.ReleaseOwner(release), values)
}

// renew gives the release that is to run again the values that were read now: a
// resume is like a deployment to a new service.
// https://docs.aws.amazon.com/apprunner/latest/dg/manage-pause.html
func (p *Plans) renew(tx *store.Tx, op *slipway.Operation) error {
	st, err := load(op)
	if err != nil || len(st.Secrets) == 0 {
		return operation.Fatal(err)
	}
	v, err := tx.Service(op.ServiceID)
	if err != nil {
		return err
	}
	sealed, err := p.secretsFor(op, &st, v.ActiveRelease)
	if err != nil {
		return err
	}
	if err := tx.SetReleaseSecrets(v.ActiveRelease, sealed); err != nil {
		return fmt.Errorf("write the secrets of release %s: %w", v.ActiveRelease, err)
	}
	return save(op, st)
}
