package deploy_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/deploy"
	"github.com/openslipway/slipway/internal/seal/sealtest"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

func newReader(t *testing.T, st *store.Store) *secrets.Reader {
	t.Helper()
	return &secrets.Reader{Store: st, Vault: &secrets.Vault{Keys: sealtest.New(t, st), Region: "us-east-1", Account: "000000000000"}}
}

// putToken gives the parameter /token a value.
func putToken(t *testing.T, r *secrets.Reader, value string) {
	t.Helper()
	err := r.Store.Update(t.Context(), func(tx *store.Tx) error {
		p := slipway.Parameter{Name: "/token", CreatedAt: time.Now()}
		if have, err := tx.Parameter("/token"); err == nil {
			p.Version = have.Version
		}
		p.Version++
		r.Vault.SealParameter(&p, value)
		return tx.InsertParameter(p)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A release has the values of its deployment, whatever becomes of the secret;
// the next deployment and the next resume read anew. Nothing in the database
// tells them.
func TestSecretsAreReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		ctx := t.Context()
		path := filepath.Join(dir, "slipway.db")
		storetest.Create(t, path)
		st, err := store.Open(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		running := runFleet(t, st, time.Now)
		read := newReader(t, st)
		start(t, running, ctx, st, &resolver{tries: map[string]int{}}, read, "a", nil)
		id := create(t, st)

		token := func() string {
			t.Helper()
			var env []string
			err := st.View(ctx, func(tx *store.Tx) error {
				v, err := tx.Service(id)
				if err != nil {
					return err
				}
				r, err := tx.Release(v.ActiveRelease)
				if err == nil {
					env, err = secrets.Environment(read.Vault.Keys, r)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "TOKEN=") })
			if i < 0 {
				return ""
			}
			return env[i]
		}
		const image = "secret:/token"
		for i, c := range []struct {
			testOperation
			value string // put before
			want  string
		}{
			{testOperation{slipway.CreateService, image, slipway.OperationSucceeded, slipway.StatusRunning, image, ""}, "plain-one", "TOKEN=plain-one"},
			{testOperation{slipway.StartDeployment, "", slipway.OperationSucceeded, slipway.StatusRunning, image, ""}, "plain-two", "TOKEN=plain-two"},
			{testOperation{slipway.PauseService, "", slipway.OperationSucceeded, slipway.StatusPaused, "", ""}, "plain-three", "TOKEN=plain-two"},
			{testOperation{slipway.ResumeService, "", slipway.OperationSucceeded, slipway.StatusRunning, image, ""}, "plain-four", "TOKEN=plain-four"},
			{testOperation{slipway.UpdateService, "one", slipway.OperationSucceeded, slipway.StatusRunning, "one", ""}, "plain-five", ""},
		} {
			putToken(t, read, c.value)
			c.run(t, st, id)
			if got := token(); got != c.want {
				t.Errorf("%d. %s: the release has %q, want %q", i, c.kind, got, c.want)
			}
		}
		checkNoPlaintext(t, st, dir, id, "plain-")
	})
}

// checkNoPlaintext looks for a text in the files of the database and in what the
// operations keep.
func checkNoPlaintext(t *testing.T, st *store.Store, dir, service, needle string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		if b, err := os.ReadFile(file); err != nil || bytes.Contains(b, []byte(needle)) {
			t.Errorf("%s holds a secret in clear: %v", file, err)
		}
	}
	err = st.View(t.Context(), func(tx *store.Tx) error {
		ops, err := tx.OperationsOf(service, time.Time{}, "", 0)
		for _, op := range ops {
			var state struct{ Secrets []byte }
			if json.Unmarshal(op.State, &state) == nil && state.Secrets != nil {
				t.Errorf("%s keeps secrets that the release has", op.Kind)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The right of who last set the source decides, at the time of the deployment and
// whoever starts it: an update, an automatic deployment, a resume.
func TestWhoseRightCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, running := newStore(t)
		read := newReader(t, st)
		putToken(t, read, "one")
		var mayNot atomic.Pointer[string] // the user who may read nothing
		asked := map[string]bool{}
		start(t, running, t.Context(), st, &resolver{tries: map[string]int{}}, read, "a", nil, func(c *deploy.Config) {
			c.MayRead = func(_ *store.Tx, user, reference string) error {
				asked[user+" "+reference] = true
				if p := mayNot.Load(); p != nil && *p == user {
					return slipway.Errorf(slipway.InvalidRequest, "User: %s is not authorized.", user)
				}
				return nil
			}
		})
		id := create(t, st)
		const refused = "The secret for environment variable TOKEN could not be read from /token: User: ann is not authorized."
		forbid := func(user string) { mayNot.Store(&user) }

		(testOperation{slipway.CreateService, "secret:/token by ann", slipway.OperationSucceeded, slipway.StatusRunning, "secret:/token", ""}).run(t, st, id)
		forbid("ann")
		(testOperation{slipway.StartDeployment, "", slipway.OperationRollbackSucceeded, slipway.StatusRunning, "secret:/token", refused}).run(t, st, id)
		(testOperation{slipway.UpdateService, "secret:/token by bob", slipway.OperationSucceeded, slipway.StatusRunning, "secret:/token", ""}).run(t, st, id)
		(testOperation{slipway.PauseService, "", slipway.OperationSucceeded, slipway.StatusPaused, "", ""}).run(t, st, id)
		forbid("bob")
		op := (testOperation{kind: slipway.ResumeService}).end(t, st, id)
		if op.Status == slipway.OperationSucceeded || !strings.Contains(op.Cause, "bob is not authorized") {
			t.Errorf("a resume ended %s with cause %q", op.Status, op.Cause)
		}
		for _, want := range []string{"ann /token", "bob /token"} {
			if !asked[want] {
				t.Errorf("nobody asked whether %s", want)
			}
		}
	})
}

// The same right decides about images of this server's own registry: those that services
// run, and those that builds are based on, also for a check.
func TestWhoseRightPulls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, running := newStore(t)
		var plans *deploy.Plans
		start(t, running, t.Context(), st, &resolver{tries: map[string]int{}}, newReader(t, st), "a", nil, func(c *deploy.Config) {
			c.MayPull = func(_ *store.Tx, user, repository string) error {
				if user == "ann" {
					return slipway.Errorf(slipway.InvalidRequest, "%s may not pull %s.", user, repository)
				}
				return nil
			}
			var err error
			if plans, err = deploy.New(*c); err != nil {
				t.Error(err)
			}
		})
		id := create(t, st)
		(testOperation{slipway.CreateService, "one by bob", slipway.OperationSucceeded, slipway.StatusRunning, "one", ""}).run(t, st, id)
		(testOperation{slipway.UpdateService, "two by ann", slipway.OperationRollbackSucceeded, slipway.StatusRunning, "one", "ann may not pull two."}).run(t, st, id)
		(testOperation{slipway.StartDeployment, "", slipway.OperationSucceeded, slipway.StatusRunning, "one", ""}).run(t, st, id)
		(testOperation{slipway.UpdateService, "three", slipway.OperationSucceeded, slipway.StatusRunning, "three", ""}).run(t, st, id)

		for user, want := range map[string]string{"ann": "may not pull the base of a build", "bob": ""} {
			spec := specOf("code:main")
			spec.SourceSetBy = user
			repository, _ := source.RepositoryOf(spec.Source)
			_, err := plans.Try(t.Context(), "", source.BuildRequest{Repository: repository}, spec, func(string) {})
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("a check of %s: %v, want %q", user, err, want)
			}
		}
	})
}
