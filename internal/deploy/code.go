package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/operation"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/store"
)

// isImage reports whether the operation deploys an image that is pulled.
func (p *Plans) isImage(tx *store.Tx, op *slipway.Operation) (bool, error) {
	spec, err := p.spec(tx, op)
	return spec.Source.CodeRepository == nil, err
}

// isCode reports whether the operation deploys code.
func (p *Plans) isCode(tx *store.Tx, op *slipway.Operation) (bool, error) {
	image, err := p.isImage(tx, op)
	return !image, err
}

// isBuilt reports whether there is nothing to build: the source is an image, or the
// operation deploys the image that runs with another configuration.
func (p *Plans) isBuilt(tx *store.Tx, op *slipway.Operation) (bool, error) {
	st, err := load(op)
	if err != nil || st.Artifact != nil {
		return true, err
	}
	return p.isImage(tx, op)
}

// deployment is what the steps that work on code read first.
type codeDeployment struct {
	spec       slipway.Spec
	repository source.Repository
	rebuild    bool // what the image is built from has changed
	previous   slipway.Release
}

// codeOf reads what an operation deploys, with the credentials for it.
func (p *Plans) codeOf(ctx context.Context, op *slipway.Operation, st state) (d codeDeployment, err error) {
	if p.cfg.Code == nil {
		return d, operation.Fatal(errors.New("this server builds no code"))
	}
	err = p.cfg.Store.ViewUnsynced(ctx, func(tx *store.Tx) error {
		v, err := tx.Service(op.ServiceID)
		if err != nil {
			return err
		}
		if d.spec, err = p.spec(tx, op); err != nil {
			return err
		}
		if st.Previous != "" {
			if d.previous, err = tx.Release(st.Previous); err != nil {
				return fmt.Errorf("read the active release: %w", err)
			}
		}
		if d.repository, err = p.repository(tx, v.Service, d.spec); err != nil {
			return err
		}
		d.rebuild = op.Kind != slipway.UpdateService || d.previous.Code == nil ||
			buildChanged(v.Spec.Source, d.spec.Source) || d.previous.Code.Settings != d.repository.Build.Fingerprint()
		return nil
	})
	return d, err
}

// repository returns the code repository of a service's source with its credentials
// and the service's settings for builds.
// Who set the source must be allowed to use the connection.
func (p *Plans) repository(tx *store.Tx, v slipway.Service, spec slipway.Spec) (source.Repository, error) {
	r, _ := source.RepositoryOf(spec.Source)
	settings, err := settingsOf(tx, v)
	if err != nil {
		return r, err
	}
	r.Build = settings.Build
	auth := spec.Source.AuthenticationConfiguration
	if auth == nil || auth.ConnectionArn == nil {
		return r, nil
	}
	arn, err := slipway.ParseARN(*auth.ConnectionArn)
	if err != nil {
		return r, err
	}
	c, err := tx.ConnectionByName(arn.Name())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return r, err
	}
	if err != nil || c.ARN != *auth.ConnectionArn || c.Status != slipway.ConnectionAvailable {
		return r, slipway.Errorf(slipway.InvalidRequest,
			"Failed to pull your application source code. Reason: connection %s is not AVAILABLE. `slipway connection complete %s` makes it so.", arn.Name(), arn.Name())
	}
	if p.cfg.MayConnect != nil {
		err := p.cfg.MayConnect(tx, spec.SourceSetBy, c.ARN)
		if e, ok := errors.AsType[*slipway.Error](err); ok {
			return r, slipway.Errorf(e.Code, "Failed to pull your application source code. Reason: %s", e.Message)
		} else if err != nil {
			return r, err
		}
	}
	if p.cfg.Secrets == nil {
		return r, operation.Fatal(errors.New("this server keeps no credentials"))
	}
	secret, err := p.cfg.Secrets.Vault.Keys.Open("connection credential "+c.ARN, c.Credential)
	if err != nil {
		return r, operation.Fatal(fmt.Errorf("open the credential of connection %s: %w", c.Name, err))
	}
	if _, host := slipway.RepositoryHost(r.URL); c.Host != "" && host != c.Host {
		return r, slipway.Errorf(slipway.InvalidRequest,
			"Failed to pull your application source code. Reason: the credential of connection %s is for %s, and not for the host of %.200s.", c.Name, c.Host, r.URL)
	}
	if r.Provider = c.Provider; c.PublicKey != "" {
		r.PrivateKey = secret
	} else {
		r.Token = string(secret)
	}
	return r, nil
}

// buildChanged reports whether an update changes what the image is built from. Other
// updates deploy the version that runs with its new configuration, as App Runner
// does. https://docs.aws.amazon.com/apprunner/latest/dg/manage-configure.html
func buildChanged(is, next types.SourceConfiguration) bool {
	return !reflect.DeepEqual(buildSettings(is), buildSettings(next))
}

// buildSettings returns the part of a source that a build depends on.
func buildSettings(s types.SourceConfiguration) []string {
	r, _ := source.RepositoryOf(s)
	list := []string{r.URL, r.Branch, r.Directory, string(r.Configuration.ConfigurationSource)}
	v := r.Configuration.CodeConfigurationValues
	switch {
	case v == nil:
	case r.Configuration.ConfigurationSource == types.ConfigurationSourceApi:
		list = append(list, string(v.Runtime), aws.ToString(v.BuildCommand))
	case slipway.IsUploadURL(r.URL): // what wins over the files is known once they were read
		list = append(list, aws.ToString(v.Port), aws.ToString(v.StartCommand))
		for _, m := range []map[string]string{v.RuntimeEnvironmentVariables, v.RuntimeEnvironmentSecrets} {
			for _, name := range slices.Sorted(maps.Keys(m)) {
				list = append(list, name, m[name])
			}
			list = append(list, "")
		}
	}
	return list
}

// commit finds the commit to deploy, once in an operation. An update that changes
// nothing of the build deploys the image that runs.
func (p *Plans) commit(ctx context.Context, op *slipway.Operation) error {
	st, err := load(op)
	if err != nil {
		return operation.Fatal(err)
	}
	d, err := p.codeOf(ctx, op, st)
	if err != nil {
		return err
	}
	if !d.rebuild {
		code := *d.previous.Code
		a, err := p.cfg.Code.Built(ctx, d.previous.Image, code, d.repository)
		if err != nil {
			return err
		}
		if d.repository.Configuration.ConfigurationSource == types.ConfigurationSourceApi {
			run := source.RuntimeOf(d.spec)
			code.Port, code.Command, code.Environment, code.Secrets = run.Port, run.Command, run.Environment, run.Secrets
		}
		st.Artifact, st.Code = &a, &code
	} else {
		commit, err := p.cfg.Code.Commit(ctx, d.repository)
		if err != nil {
			return failedTo("pull your application source code", err)
		}
		st.Code = &slipway.CodeVersion{Commit: commit}
	}
	if err := save(op, st); err != nil {
		return operation.Fatal(err)
	}
	return nil
}

// build makes the image of the commit. It is repeated after a crash; an image that
// was made before is found at once.
func (p *Plans) build(ctx context.Context, op *slipway.Operation) error {
	st, err := load(op)
	if err != nil || st.Code == nil {
		return operation.Fatal(errors.Join(err, errors.New("the commit to build is missing from the operation's state")))
	}
	d, err := p.codeOf(ctx, op, st)
	if err != nil {
		return err
	}
	secrets, err := p.buildSecrets(ctx, d)
	if err != nil {
		return failedTo("build your application source code", err)
	}
	b, err := p.cfg.Code.Build(p.pulling(ctx, d.spec), source.BuildRequest{
		Service: op.ServiceID, Operation: op.ID, Repository: d.repository, Commit: st.Code.Commit, Secrets: secrets,
	}, func(line string) {
		if err := p.logProgress(ctx, op, bothStreams, line); err != nil && ctx.Err() == nil {
			p.cfg.Log.Warn("cannot write progress line", "operation", op.ID, "err", err)
		}
	})
	if err != nil {
		return failedTo("build your application source code", err)
	}
	if len(b.Code.Secrets) > 0 && aws.ToString(d.spec.Instance.InstanceRoleArn) == "" {
		return slipway.Errorf(slipway.InvalidRequest, "Instance Role have to be provided if passing in RuntimeEnvironmentSecrets.")
	}
	b.Code.Settings = d.repository.Build.Fingerprint()
	st.Artifact, st.Code = &b.Artifact, &b.Code
	if err := save(op, st); err != nil {
		return operation.Fatal(err)
	}
	return nil
}

// buildSecrets reads the values of the secrets that a build gets. They are stored
// nowhere.
func (p *Plans) buildSecrets(ctx context.Context, d codeDeployment) (map[string]string, error) {
	settings := d.repository.Build
	if len(settings.Secrets) == 0 {
		return nil, nil
	}
	if err := settings.CheckRole(d.spec); err != nil {
		return nil, err
	}
	return p.read(ctx, d.spec, settings.Secrets)
}

// failedTo words a failure as App Runner does. An error that a retry may fix keeps
// being one.
func failedTo(what string, err error) error {
	e, ok := errors.AsType[*slipway.Error](err)
	switch {
	case saysSo(err):
		return err
	case ok:
		return slipway.Errorf(e.Code, "Failed to %s. Reason: %s", what, e.Message)
	}
	//lint:ignore ST1005 a sentence of App Runner's
	return fmt.Errorf("Failed to %s. Reason: %w", what, err)
}

// saysSo reports whether an error has App Runner's words already.
func saysSo(err error) bool {
	return strings.HasPrefix(err.Error(), "Failed to pull your application") || strings.HasPrefix(err.Error(), "Failed to build your application")
}

// runtime returns the settings of the process that the operation deploys or resumes.
func (p *Plans) runtime(tx *store.Tx, op *slipway.Operation) (source.Runtime, error) {
	st, err := load(op)
	if err != nil {
		return source.Runtime{}, operation.Fatal(err)
	}
	spec, err := p.spec(tx, op)
	if err != nil {
		return source.Runtime{}, err
	}
	code := st.Code
	if code == nil && st.Previous != "" && op.Kind == slipway.ResumeService {
		r, err := tx.Release(st.Previous)
		if err != nil {
			return source.Runtime{}, fmt.Errorf("read the active release: %w", err)
		}
		code = r.Code
	}
	return runtimeOf(spec, code), nil
}

// runtimeOf returns the settings of the process of a specification; those of code come
// from its configuration, wherever that is.
func runtimeOf(spec slipway.Spec, code *slipway.CodeVersion) source.Runtime {
	if code == nil {
		return source.RuntimeOf(spec)
	}
	return source.Runtime{
		Port: cmp.Or(code.Port, source.RuntimeOf(spec).Port), Command: code.Command,
		Environment: code.Environment, Secrets: code.Secrets,
	}
}
