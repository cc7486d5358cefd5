package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/seal/sealtest"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/store"
)

const (
	region, account = "us-east-1", "000000000000"
	versionID       = "11111111-1111-1111-1111-111111111111"
	foreign         = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:theirs-AbCdEf"
)

// newReader returns a reader of a store with a secret and two parameters.
func newReader(t *testing.T) (r *secrets.Reader, arn string) {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "slipway.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	v := &secrets.Vault{Keys: sealtest.New(t, s), Region: region, Account: account}
	arn = v.SecretARN("db", "AbCdEf")
	now := time.Unix(1_800_000_000, 0)
	err = s.Update(t.Context(), func(tx *store.Tx) error {
		current := slipway.SecretVersion{SecretARN: arn, ID: versionID, Stages: []string{secrets.Current}, CreatedAt: now}
		previous := slipway.SecretVersion{SecretARN: arn, ID: strings.ReplaceAll(versionID, "1", "0"), Stages: []string{secrets.Previous}, Binary: true, CreatedAt: now}
		v.SealSecret(&current, []byte(`{"user":"shop","port":5432,"tls":true,"none":null}`))
		v.SealSecret(&previous, []byte("a\x00b"))
		nested := slipway.Parameter{Name: "/prod/token", Version: 1, CreatedAt: now}
		plain := slipway.Parameter{Name: "/token", Version: 1, CreatedAt: now}
		v.SealParameter(&nested, "t1")
		v.SealParameter(&plain, "t2")
		gone := slipway.Secret{ARN: v.SecretARN("gone", "AbCdEf"), Name: "gone", CreatedAt: now, DeletedAt: now, PurgeAt: now.Add(time.Hour)}
		twin, other := slipway.Parameter{Name: "twin", Version: 1, CreatedAt: now}, slipway.Parameter{Name: "/twin", Version: 1, CreatedAt: now}
		return errors.Join(
			tx.InsertSecret(slipway.Secret{ARN: v.SecretARN("app-config", "AbCdEf"), Name: "app-config", CreatedAt: now}),
			tx.InsertParameter(twin), tx.InsertParameter(other), // as an earlier version took both
			tx.InsertSecret(slipway.Secret{ARN: arn, Name: "db", CreatedAt: now}), tx.PutSecretVersion(current), tx.PutSecretVersion(previous),
			tx.InsertSecret(gone), tx.InsertParameter(nested), tx.InsertParameter(plain),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	return &secrets.Reader{Store: s, Vault: v}, arn
}

func TestRead(t *testing.T) {
	t.Parallel()
	r, arn := newReader(t)
	got, err := r.Read(t.Context(), map[string]string{
		"ALL": arn, "PARTIAL": strings.TrimSuffix(arn, "-AbCdEf") + ":user::", "PORT_": arn + ":port::", "TLS": arn + ":tls:AWSCURRENT:",
		"VERSION": arn + ":user::" + versionID, "TOKEN": "/prod/token", "ARN": "arn:aws:ssm:us-east-1:000000000000:parameter/prod/token",
		"SHORT": "arn:aws:ssm:us-east-1:000000000000:parameter/token", "ONE": "/token:1",
	})
	want := map[string]string{
		"ALL": `{"user":"shop","port":5432,"tls":true,"none":null}`, "PARTIAL": "shop", "PORT_": "5432", "TLS": "true",
		"VERSION": "shop", "TOKEN": "t1", "ARN": "t1", "SHORT": "t2", "ONE": "t2",
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	r, arn := newReader(t)
	for ref, why := range map[string]string{
		arn + ":password::":                                         "has no key password",
		arn + "::AWSPENDING:":                                       "can't find the specified secret value",
		arn + ":user:AWSPREVIOUS:" + versionID:                      "can't find the specified secret value",
		arn + "::AWSPREVIOUS:":                                      "zero byte",
		arn + "x":                                                   "can't find the specified secret",
		r.Vault.SecretARN("gone", "AbCdEf"):                         "marked for deletion",
		"/token:2":                                                  "no such version",
		"/missing":                                                  "no parameter of this name",
		strings.Replace(arn, "AbCdEf", "ABCDEF", 1):                 "can't find the specified secret",
		r.Vault.SecretARN("app-config", ""):                         "the secret named app-config has the ARN " + r.Vault.SecretARN("app-config", "AbCdEf"),
		"arn:aws:ssm:us-east-1:000000000000:parameter/twin":         "two parameters, twin and /twin",
		"arn:aws-cn:ssm:us-east-1:000000000000:parameter/token":     "(arn:aws-cn)",
		strings.Replace(arn, "arn:aws:", "arn:aws-cn:", 1):          "(arn:aws-cn)",
		strings.Replace(arn, ":000000000000:", ":000000000001:", 1): "account 000000000001",
		foreign:        "--aws-secrets",
		"no reference": "must be the ARN",
	} {
		_, err := r.Read(t.Context(), map[string]string{"DB_PASSWORD": ref, "OK": "/token"})
		if slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), why) ||
			!strings.Contains(err.Error(), "DB_PASSWORD") || !strings.Contains(err.Error(), ref) || strings.Contains(err.Error(), "shop") {
			t.Errorf("%s: %v, want %q", ref, err, why)
		}
	}
	// A value moved from another row is the server's failure, not the user's.
	err := r.Store.Update(t.Context(), func(tx *store.Tx) error {
		p, err := tx.Parameter("/prod/token")
		p.Name, p.Version = "/token", 2
		return errors.Join(err, tx.InsertParameter(p))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(t.Context(), map[string]string{"T": "/token"}); err == nil || slipway.CodeOf(err) != "" {
		t.Errorf("a moved value: %v", err)
	}
}

// fakeAWS answers as Secrets Manager and Parameter Store do, and counts
// requests.
type fakeAWS struct {
	calls map[string]int
	down  bool
}

func (f *fakeAWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target := r.Header.Get("X-Amz-Target")
	f.calls[target]++
	answer := func(status int, format string, args ...any) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		fmt.Fprintf(w, format, args...)
	}
	body, _ := io.ReadAll(r.Body)
	text := string(body)
	scope := r.Header.Get("Authorization")
	switch {
	case f.down:
		answer(500, `{"__type":"InternalServiceError","Message":"down"}`)
	case target == "secretsmanager.GetSecretValue" && strings.Contains(text, foreign) && strings.Contains(scope, "/eu-west-1/"):
		answer(200, `{"ARN":%q,"SecretString":"{\"a\":\"1\",\"b\":\"2\"}"}`, foreign)
	case target == "secretsmanager.GetSecretValue":
		answer(400, `{"__type":"ResourceNotFoundException","Message":"Secrets Manager can't find the specified secret."}`)
	case target == "AmazonSSM.GetParameters" && strings.Contains(text, `"arn:aws:ssm:eu-west-1:123456789012:parameter/p"`) && strings.Contains(text, `"WithDecryption":true`):
		answer(200, `{"Parameters":[{"Name":"p","Value":"theirs"}],"InvalidParameters":[]}`)
	case target == "AmazonSSM.GetParameters":
		answer(200, `{"Parameters":[],"InvalidParameters":["x"]}`)
	default:
		answer(400, `{"__type":"AccessDeniedException","Message":"no"}`)
	}
}

func TestReadFromAWS(t *testing.T) {
	t.Parallel()
	r, arn := newReader(t)
	fake := &fakeAWS{calls: map[string]int{}}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	r.AWS = secrets.AWS{Config: aws.Config{
		Region: region, BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("AKIA", "secret", ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}}
	got, err := r.Read(t.Context(), map[string]string{
		"A": foreign + ":a::", "B": foreign + ":b::", "P": "arn:aws:ssm:eu-west-1:123456789012:parameter/p", "OWN": arn + ":user::",
	})
	if diff := cmp.Diff(map[string]string{"A": "1", "B": "2", "P": "theirs", "OWN": "shop"}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if n := fake.calls["secretsmanager.GetSecretValue"]; n != 1 {
		t.Errorf("one secret was read %d times", n)
	}
	// What is not found here is read from AWS: the account may be the same.
	for _, ref := range []string{"/missing", arn + "x", strings.Replace(foreign, "theirs", "other", 1)} {
		_, err := r.Read(t.Context(), map[string]string{"X": ref})
		if slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), "X could not be read from "+ref) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	// What exists here is not looked for there, where the name may be another's.
	before := fake.calls["secretsmanager.GetSecretValue"] + fake.calls["AmazonSSM.GetParameters"]
	for ref, why := range map[string]string{
		r.Vault.SecretARN("gone", "AbCdEf"): "marked for deletion",
		arn + "::AWSPENDING:":               "can't find the specified secret value",
		"/token:2":                          "no such version",
		"arn:aws:ssm:us-east-1:000000000000:parameter/twin": "two parameters",
	} {
		if _, err := r.Read(t.Context(), map[string]string{"X": ref}); slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", ref, err, why)
		}
	}
	if n := fake.calls["secretsmanager.GetSecretValue"] + fake.calls["AmazonSSM.GetParameters"] - before; n != 0 {
		t.Errorf("%d requests left the machine", n)
	}
	fake.down = true
	if _, err := r.Read(t.Context(), map[string]string{"X": foreign}); err == nil || slipway.CodeOf(err) != "" || !strings.Contains(err.Error(), "X") {
		t.Errorf("trouble at AWS: %v, want one that passes", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Read(ctx, map[string]string{"X": foreign}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	r, _ := newReader(t)
	k := r.Vault.Keys
	rel := slipway.Release{ID: "r1", Workload: slipway.Workload{Process: slipway.Process{Env: []string{"A=image", "B=b", "C"}}}}
	sealed, err := secrets.SealEnvironment(k, secrets.ReleaseOwner("r1"), map[string]string{"A": "x=y\nz", "D": ""})
	if err != nil {
		t.Fatal(err)
	}
	rel.Secrets = sealed
	got, err := secrets.Environment(k, rel)
	if diff := cmp.Diff([]string{"B=b", "C", "A=x=y\nz", "D="}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	rel.ID = "r2"
	if _, err := secrets.Environment(k, rel); err == nil {
		t.Error("the secrets of another release were taken")
	}
}

// TestAWSIsBounded reads from servers that answer without end, in each part of an answer.
func TestAWSIsBounded(t *testing.T) {
	t.Parallel()
	text := `{"SecretString":"` + strings.Repeat("x", 64<<10)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		most   int64 // requests
	}{
		"a body": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, text)
			for {
				if _, err := io.WriteString(w, text); err != nil {
					return
				}
			}
		}, 3},
		"drips": {func(w http.ResponseWriter, r *http.Request) {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-tick.C:
				case <-r.Context().Done():
					return
				}
			}
		}, 3},
		"redirects": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://"+r.Host+"/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, 3},
		"headers": {func(w http.ResponseWriter, _ *http.Request) {
			for i := range 100 {
				w.Header().Set(fmt.Sprint("X-", i), text[:1000])
			}
			_, _ = io.WriteString(w, `{"SecretString":"x"}`)
		}, 3},
		"interim responses": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</a>")
			for r.Context().Err() == nil {
				w.WriteHeader(http.StatusEarlyHints)
			}
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				asked.Add(1)
				c.answer(w, r)
			}))
			t.Cleanup(server.Close)
			t.Cleanup(server.CloseClientConnections)
			a := secrets.AWS{Limit: 2 * time.Second, Config: aws.Config{
				Region: region, BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("AKIA", "secret", ""),
			}}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if got, err := a.Secret(ctx, slipway.SecretReference{Secret: "x"}); err == nil || ctx.Err() != nil {
				t.Errorf("the secret is %.20q, %v", got, err)
			}
			if got, err := a.Parameter(ctx, slipway.SecretReference{Parameter: "x"}); err == nil || ctx.Err() != nil {
				t.Errorf("the parameter is %.20q, %v", got, err)
			}
			if n := asked.Load(); n < 2 || n > 2*c.most {
				t.Errorf("it was asked %d times", n)
			}
		})
	}
}
