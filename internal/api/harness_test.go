package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

const (
	region  = "us-east-1"
	account = "000000000000"
	prefix  = "arn:aws:apprunner:" + region + ":" + account + ":"

	defaultScaling = prefix + "autoscalingconfiguration/DefaultConfiguration/1/00000000000000000000000000000001"
	noService      = prefix + "service/shop/0f3c6f2f5a7b4c0e9d1e2a3b4c5d6e7f"

	image = `"SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"public.ecr.aws/nginx/nginx:latest","ImageRepositoryType":"ECR_PUBLIC"}}`
)

var t0 = time.Unix(1_800_000_000, 123_000_000).UTC()

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// bench is an API on a real database with one access key, and the log it
// writes.
type bench struct {
	testing.TB
	api   *api.API
	store *store.Store
	key   slipway.AccessKey
	clock *clock
	log   *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newBench(t testing.TB, options ...func(*api.Config)) *bench {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "slipway.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := &bench{
		TB: t, store: s, clock: &clock{now: t0}, log: &lockedBuffer{},
		key: slipway.AccessKey{ID: "AKIAIOSFODNN7EXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG", User: "root", CreatedAt: t0},
	}
	cfg := api.Config{
		Store: s, Region: region, Account: account, Domain: "slipway.localhost", URLPort: 8080, Now: b.clock.Now,
		Log: slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, o := range options {
		o(&cfg)
	}
	if b.api, err = api.New(cfg); err != nil {
		t.Fatal(err)
	}
	if err := b.api.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.update(func(tx *store.Tx) error { return tx.InsertAccessKey(b.key) })
	return b
}

func (b *bench) update(f func(*store.Tx) error) {
	b.Helper()
	if err := b.store.Update(b.Context(), f); err != nil {
		b.Fatal(err)
	}
}

// request is a signed call of an operation, such as "AppRunner.ListServices".
func (b *bench) request(target, body string) *http.Request {
	b.Helper()
	service := "apprunner"
	if strings.HasPrefix(target, "Logs_") {
		service = "logs"
	}
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8070/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", target)
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.ContentLength = -1 // or the signer covers a header that httptest leaves out
	hash := sha256.Sum256([]byte(body))
	keys := aws.Credentials{AccessKeyID: b.key.ID, SecretAccessKey: b.key.Secret}
	if err := signer.NewSigner().SignHTTP(b.Context(), keys, r, hex.EncodeToString(hash[:]), service, region, b.clock.Now()); err != nil {
		b.Fatal(err)
	}
	return r
}

// reply is an answer as it is on the wire.
type reply struct {
	*httptest.ResponseRecorder
	doc map[string]any
}

func (b *bench) send(r *http.Request) reply {
	b.Helper()
	w := reply{ResponseRecorder: httptest.NewRecorder()}
	b.api.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &w.doc); err != nil {
		b.Fatalf("the reply is no JSON object: %v: %s", err, w.Body)
	}
	return w
}

// call makes a signed call and checks of a success that it has the form that
// the model gives the operation's output.
func (b *bench) call(operation, body string) reply {
	b.Helper()
	w := b.send(b.request("AppRunner."+operation, body))
	if w.Code == http.StatusOK {
		if op, ok := wire.OperationNamed(operation); ok {
			conforms(b, operation, op.Output, w.doc)
		}
	}
	return w
}

// ok makes a call that must succeed.
func (b *bench) ok(operation, body string) map[string]any {
	b.Helper()
	w := b.call(operation, body)
	if w.Code != http.StatusOK {
		b.Fatalf("%s %s: %d %s", operation, body, w.Code, w.Body)
	}
	return w.doc
}

// refused makes a call that must fail with the exception and a message that
// contains the text.
func (b *bench) refused(operation, body, exception, message string) {
	b.Helper()
	w := b.call(operation, body)
	if w.doc["__type"] != exception || !strings.Contains(w.doc["Message"].(string), message) {
		b.Errorf("%s %s:\n got %d %s\nwant %s with %q", operation, body, w.Code, w.Body, exception, message)
	}
}

// conforms checks a value against a shape of the model: kinds, members known
// and required. Lengths and patterns are not checked, as the model's own for
// ids are wrong, nor are enumerated values, of which some are in lower case.
func conforms(t testing.TB, path string, s *wire.Shape, v any) {
	t.Helper()
	switch s.Kind {
	case wire.Structure:
		object, ok := v.(map[string]any)
		if !ok {
			t.Errorf("%s is %v, not an object", path, v)
			return
		}
		known := map[string]bool{}
		for _, m := range s.Members {
			known[m.Name] = true
			if value, ok := object[m.Name]; ok {
				conforms(t, path+"."+m.Name, m.Shape, value)
			} else if m.Required {
				t.Errorf("%s lacks %s, which is required", path, m.Name)
			}
		}
		for name := range object {
			if !known[name] {
				t.Errorf("%s has %s, which the model does not know", path, name)
			}
		}
	case wire.List:
		list, ok := v.([]any)
		if !ok {
			t.Errorf("%s is %v, not a list", path, v)
		}
		for _, e := range list {
			conforms(t, path+"[]", s.Elem, e)
		}
	case wire.Map:
		object, ok := v.(map[string]any)
		if !ok {
			t.Errorf("%s is %v, not a map", path, v)
		}
		for _, e := range object {
			conforms(t, path+"{}", s.Elem, e)
		}
	case wire.String:
		if _, ok := v.(string); !ok {
			t.Errorf("%s is %v, not a string", path, v)
		}
	case wire.Integer, wire.Timestamp:
		if _, ok := v.(float64); !ok {
			t.Errorf("%s is %v, not a number", path, v)
		}
	case wire.Boolean:
		if _, ok := v.(bool); !ok {
			t.Errorf("%s is %v, not a boolean", path, v)
		}
	}
}

// at returns the value at a path of member names, or fails.
func at(t testing.TB, doc map[string]any, path ...string) any {
	t.Helper()
	var v any = doc
	for i, name := range path {
		object, ok := v.(map[string]any)
		if !ok {
			t.Fatalf("%s is %v, not an object", strings.Join(path[:i], "."), v)
		}
		if v, ok = object[name]; !ok {
			t.Fatalf("%v lacks %s of %s", object, name, strings.Join(path, "."))
		}
	}
	return v
}

// create creates a service of the name and lets its operation end. It returns
// its ARN.
func (b *bench) create(name string, members ...string) string {
	b.Helper()
	doc := b.ok("CreateService", `{`+strings.Join(append([]string{`"ServiceName":"` + name + `"`, image}, members...), ",")+`}`)
	arn := at(b, doc, "Service", "ServiceArn").(string)
	b.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
	return arn
}

// end plays the engine: the service's live operation ends and the service rests
// in the status.
func (b *bench) end(arn string, as slipway.OperationStatus, rest slipway.Status) {
	b.Helper()
	now := b.clock.Now()
	b.update(func(tx *store.Tx) error {
		v, err := tx.Service(arn[strings.LastIndex(arn, "/")+1:])
		if err != nil {
			return err
		}
		op := *v.Live
		op.Status, op.StartedAt, op.UpdatedAt, op.EndedAt = as, now.Add(-time.Millisecond), now, now
		if op.Input.Spec != nil && as == slipway.OperationSucceeded {
			if err := tx.SetSpec(v.ID, *op.Input.Spec, now); err != nil {
				return err
			}
		}
		if err := tx.SaveOperation(op); err != nil {
			return err
		}
		return tx.SetStatus(v.ID, rest, now)
	})
}

func arnBody(arn string, members ...string) string {
	return `{` + strings.Join(append([]string{`"ServiceArn":"` + arn + `"`}, members...), ",") + `}`
}
