package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/deploy"
	"github.com/openslipway/slipway/internal/operation"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/store"
)

// codeBench is an engine with plans that build code with a fake.
type codeBench struct {
	*testing.T
	st    *store.Store
	coder *coder
	plans *deploy.Plans
	read  *secrets.Reader
	id    string

	running    *sync.WaitGroup
	polling    *deploy.Poll
	endPolling context.CancelFunc
}

func newCodeBench(t *testing.T, options ...func(*deploy.Config)) *codeBench {
	st, running := newStore(t)
	b := &codeBench{T: t, st: st, coder: newCoder(), id: create(t, st), running: running}
	log := slog.New(slog.DiscardHandler)
	read := newReader(t, st)
	putToken(t, read, "t")
	cfg := deploy.Config{Store: st, Resolver: &resolver{tries: map[string]int{}}, Code: b.coder, Secrets: read, Region: "us-east-1", KeepReleases: 2, Log: log}
	for _, o := range options {
		o(&cfg)
	}
	plans, err := deploy.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.plans, b.read = plans, read
	e, err := operation.New(operation.Config{Store: st, Plan: plans.Plan, Owner: "a", Poll: 10 * time.Second, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	running.Go(func() { e.Run(t.Context()) })
	sealed := read.Vault.Keys.Seal("connection credential "+connectionARN, []byte("tok"))
	err = st.Update(t.Context(), func(tx *store.Tx) error {
		return tx.InsertConnection(slipway.Connection{ARN: connectionARN, Name: "code", Provider: "GITHUB", Status: slipway.ConnectionAvailable, Credential: sealed})
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const connectionARN = "arn:aws:apprunner:us-east-1:000000000000:connection/code/1"

// do executes an operation and returns the release that is active then.
func (b *codeBench) do(kind slipway.OperationKind, spec *slipway.Spec, want slipway.OperationStatus) (slipway.Release, slipway.Operation) {
	b.Helper()
	op := slipway.Operation{ID: slipway.NewID(), ServiceID: b.id, Kind: kind, CreatedAt: time.Now(), Input: slipway.Input{Spec: spec}}
	if err := b.st.Update(b.Context(), func(tx *store.Tx) error { return tx.InsertOperation(op) }); err != nil {
		b.Fatal(err)
	}
	time.Sleep(10 * time.Minute)
	var r slipway.Release
	err := b.st.View(b.Context(), func(tx *store.Tx) (err error) {
		if op, err = tx.Operation(op.ID); err != nil {
			return err
		}
		v, err := tx.Service(b.id)
		if err == nil && v.ActiveRelease != "" {
			r, err = tx.Release(v.ActiveRelease)
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	if op.Status != want {
		b.Fatalf("%s ended %s with %q, want %s", kind, op.Status, op.Cause, want)
	}
	return r, op
}

// tag gives the service a tag.
func (b *codeBench) tag(t slipway.Tag) {
	b.Helper()
	err := b.st.Update(b.Context(), func(tx *store.Tx) error {
		v, err := tx.Service(b.id)
		if err != nil {
			return err
		}
		return tx.SetTags(v.ARN, []slipway.Tag{t})
	})
	if err != nil {
		b.Fatal(err)
	}
}

// lines returns what the operation's log says.
func (b *codeBench) lines(op slipway.Operation) (list []string) {
	b.Helper()
	err := b.st.View(b.Context(), func(tx *store.Tx) error {
		events, err := tx.EventsByTime(store.EventQuery{ServiceID: b.id, Stream: deploy.Stream(op), Limit: 100})
		for _, e := range events {
			list = append(list, e.Text)
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return list
}

// The release of a build runs the start command by a shell, on the port of the
// configuration, and records the commit.
func TestReleaseOfCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCodeBench(t)
		spec := codeSpec("one")
		r, op := b.do(slipway.CreateService, &spec, slipway.OperationSucceeded)
		if !slices.Equal(r.Process.Argv, []string{"/bin/sh", "-c", "exec run one"}) || r.Process.Dir != "/app" || r.Port != 9000 {
			t.Errorf("it runs %q in %s on %d", r.Process.Argv, r.Process.Dir, r.Port)
		}
		if r.Code == nil || r.Code.Commit != "commit of one" || r.Code.Directory != "tree" {
			t.Errorf("its code is %+v", r.Code)
		}
		want := "Deployment Artifact: [Repo Type: Source], [Branch: one], [Repository: https://git.example.com/shop], [SourceDirectory: /]"
		if lines := b.lines(op); !slices.Contains(lines, want) || !slices.Contains(lines, "Starting source code build.") {
			t.Errorf("its log is %q", lines)
		}
		broken := codeSpec("broken")
		_, op = b.do(slipway.UpdateService, &broken, slipway.OperationRollbackSucceeded)
		if lines := b.lines(op); !slices.Contains(lines, "Failed to deploy your application source code.") {
			t.Errorf("the log of a failure is %q", lines)
		}
	})
}

// An update that changes nothing of the build deploys the image that runs; one that
// does, and each deployment, builds.
func TestUpdatesThatBuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCodeBench(t)
		spec := codeSpec("one")
		values := func(command, start string) *types.CodeConfiguration {
			return &types.CodeConfiguration{ConfigurationSource: types.ConfigurationSourceApi, CodeConfigurationValues: &types.CodeConfigurationValues{
				Runtime: types.RuntimePython311, BuildCommand: &command, StartCommand: &start, Port: aws.String("8080"),
			}}
		}
		spec.Source.CodeRepository.CodeConfiguration = values("make", "a")
		b.do(slipway.CreateService, &spec, slipway.OperationSucceeded)
		builds := func(step string, want int, command string, r slipway.Release) {
			t.Helper()
			if b.coder.builds["one"] != want || r.Process.Argv[2] != command {
				t.Errorf("%s: %d builds and the command %q, want %d and %q", step, b.coder.builds["one"], r.Process.Argv[2], want, command)
			}
		}
		spec.Instance.Memory = aws.String("4096")
		spec.Source.CodeRepository.CodeConfiguration = values("make", "b")
		r, _ := b.do(slipway.UpdateService, &spec, slipway.OperationSucceeded)
		builds("another start command", 1, "exec b", r)
		spec.Source.CodeRepository.CodeConfiguration = values("make all", "b")
		r, _ = b.do(slipway.UpdateService, &spec, slipway.OperationSucceeded)
		builds("another build command", 2, "exec b", r)
		r, _ = b.do(slipway.StartDeployment, nil, slipway.OperationSucceeded)
		builds("a deployment", 3, "exec b", r)
	})
}

// Secrets of a configuration in the repository are read at a deployment and again at
// a resume, which does not read the repository.
func TestSecretsOfCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCodeBench(t)
		spec := codeSpec("one")
		spec.Source.CodeRepository.CodeConfiguration.CodeConfigurationValues = &types.CodeConfigurationValues{StartCommand: aws.String("x"), RuntimeEnvironmentSecrets: map[string]string{"TOKEN": "/token"}}
		_, op := b.do(slipway.CreateService, &spec, slipway.OperationFailed)
		if !strings.Contains(op.Cause, "Instance Role have to be provided") {
			t.Errorf("without a role it failed with %q", op.Cause)
		}
		spec.Instance.InstanceRoleArn = aws.String("arn:aws:iam::000000000000:role/run")
		r, _ := b.do(slipway.UpdateService, &spec, slipway.OperationSucceeded)
		if len(r.Secrets) == 0 {
			t.Error("the release has no secrets")
		}
		b.do(slipway.PauseService, nil, slipway.OperationSucceeded)
		again, _ := b.do(slipway.ResumeService, nil, slipway.OperationSucceeded)
		if len(again.Secrets) == 0 || string(again.Secrets) == string(r.Secrets) {
			t.Error("a resume did not read the secrets again")
		}
	})
}

// The settings of builds are read when a build begins, and a change of them makes an
// update build that would otherwise deploy the image that runs.
func TestSettingsOfBuilds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCodeBench(t)
		spec := codeSpec("one")
		b.do(slipway.CreateService, &spec, slipway.OperationSucceeded)
		for i, c := range []struct {
			tag    slipway.Tag
			builds int
		}{
			{slipway.Tag{Key: "team", Value: "a"}, 1},
			{slipway.Tag{Key: "slipway:build-mode", Value: "app-runner"}, 1}, // the default
			{slipway.Tag{Key: "slipway:build-mode", Value: "keep"}, 2},
			{slipway.Tag{Key: "slipway:build-env.CI", Value: "1"}, 3},
			{slipway.Tag{Key: "slipway:build-env.CI", Value: "2"}, 4},
			{slipway.Tag{Key: "slipway:build-env.CI", Value: "2"}, 4},
		} {
			b.tag(c.tag)
			spec.Instance.Memory = aws.String([]string{"1024", "2048"}[i%2])
			b.do(slipway.UpdateService, &spec, slipway.OperationSucceeded)
			if n := b.coder.builds["one"]; n != c.builds {
				t.Errorf("after %v there were %d builds, want %d", c.tag, n, c.builds)
			}
		}
		if last := b.coder.settings[3]; last.Mode != slipway.BuildModeKeep || last.Env["CI"] != "2" {
			t.Errorf("the last build got %+v", last)
		}
	})
}

// A build gets the values of its secrets if the service has an instance role. They are
// nowhere in the rows of the operation and the release.
func TestSecretsOfBuilds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCodeBench(t)
		putToken(t, b.read, "v4lue-of-token")
		b.tag(slipway.Tag{Key: "slipway:build-secret.NPM_TOKEN", Value: "/token"})
		spec := codeSpec("one")
		_, op := b.do(slipway.CreateService, &spec, slipway.OperationFailed)
		if want := "Failed to build your application source code. Reason: The settings slipway:build-secret.NAME need an Instance Role"; !strings.HasPrefix(op.Cause, want) {
			t.Errorf("without a role it failed with %q", op.Cause)
		}
		spec.Instance.InstanceRoleArn = aws.String("arn:aws:iam::000000000000:role/run")
		r, op := b.do(slipway.UpdateService, &spec, slipway.OperationSucceeded)
		if len(b.coder.secrets) != 1 || b.coder.secrets[0]["NPM_TOKEN"] != "v4lue-of-token" {
			t.Fatalf("builds got %v", b.coder.secrets)
		}
		if text := fmt.Sprintf("%+v %+v %s %q", r, *r.Code, op.State, b.lines(op)); strings.Contains(text, "v4lue") {
			t.Errorf("the value is in %s", text)
		}
		b.tag(slipway.Tag{Key: "slipway:build-secret.NPM_TOKEN", Value: "/none"})
		_, op = b.do(slipway.StartDeployment, nil, slipway.OperationRollbackSucceeded)
		if want := "The secret for environment variable NPM_TOKEN could not be read from /none: Parameter Store has no parameter of this name."; !strings.HasSuffix(op.Cause, want) {
			t.Errorf("a missing secret gives %q", op.Cause)
		}
	})
}

// The credential of a connection for one host stays there, whatever a specification
// says.
func TestCredentialStaysAtItsHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCodeBench(t)
		spec := codeSpec("one")
		spec.Source.AuthenticationConfiguration = &types.AuthenticationConfiguration{ConnectionArn: aws.String(connectionARN)}
		at := func(host string) {
			t.Helper()
			err := b.st.Update(t.Context(), func(tx *store.Tx) error {
				c, err := tx.ConnectionByName("code")
				if err != nil {
					return err
				}
				c.Host = host
				return errors.Join(tx.DeleteConnection(c.ARN), tx.InsertConnection(c))
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		at("git.example.org")
		_, op := b.do(slipway.CreateService, &spec, slipway.OperationFailed)
		if !strings.Contains(op.Cause, "connection code is for git.example.org, and not for the host of https://git.example.com/shop") {
			t.Errorf("at another host: %q", op.Cause)
		}
		if len(b.coder.tokens) != 0 {
			t.Error("a build got the token")
		}
		at("git.example.com")
		b.do(slipway.UpdateService, &spec, slipway.OperationSucceeded)
	})
}

// A build gets the token of its connection, and fails with a reason once that is gone.
func TestConnectionOfCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCodeBench(t)
		spec := codeSpec("one")
		spec.Source.AuthenticationConfiguration = &types.AuthenticationConfiguration{ConnectionArn: aws.String(connectionARN)}
		b.do(slipway.CreateService, &spec, slipway.OperationSucceeded)
		if !slices.Equal(b.coder.tokens, []string{"tok"}) {
			t.Errorf("builds got the tokens %q", b.coder.tokens)
		}
		err := b.st.Update(t.Context(), func(tx *store.Tx) error { return tx.DeleteConnection(connectionARN) })
		if err != nil {
			t.Fatal(err)
		}
		_, op := b.do(slipway.StartDeployment, nil, slipway.OperationRollbackSucceeded)
		if want := "Failed to pull your application source code. Reason: connection code is not AVAILABLE. `slipway connection complete code` makes it so."; op.Cause != want {
			t.Errorf("cause %q, want %q", op.Cause, want)
		}
	})
}

// A connection's credential is used for who set the source, if they may use it.
func TestWhoseRightConnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCodeBench(t, func(c *deploy.Config) {
			c.MayConnect = func(_ *store.Tx, user, connection string) error {
				if user == "ann" && connection == connectionARN {
					return slipway.Errorf(slipway.InvalidRequest, "ann may not use it.")
				}
				return nil
			}
		})
		spec := codeSpec("one")
		spec.Source.AuthenticationConfiguration = &types.AuthenticationConfiguration{ConnectionArn: aws.String(connectionARN)}
		spec.SourceSetBy = "ann"
		_, op := b.do(slipway.CreateService, &spec, slipway.OperationFailed)
		if want := "Failed to pull your application source code. Reason: ann may not use it."; op.Cause != want || len(b.coder.tokens) != 0 {
			t.Errorf("cause %q, want %q; builds got %d tokens", op.Cause, want, len(b.coder.tokens))
		}
		spec.SourceSetBy = "bob"
		b.do(slipway.UpdateService, &spec, slipway.OperationSucceeded)
	})
}
