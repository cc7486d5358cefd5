// Package gatewaytest calls services behind a real gateway, on a real database
// and with a clock that tests move: in process by [Bench.Invoke], and over HTTP
// with signatures where the wire is the point. The tests of every AWS service
// here build on it.
package gatewaytest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/awshttp"
	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
	"github.com/openslipway/slipway/internal/wire"
)

// Where and when tests take place.
const (
	Region  = "us-east-1"
	Account = "000000000000"
)

// T0 is the time at which a bench's clock begins.
var T0 = time.Unix(1_800_000_000, 123_000_000).UTC()

// Clock is a clock that tests move.
type Clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Log is what was logged, as JSON lines. It may be written and read at once.
type Log struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Bench is a database with one access key, and, once Open was called, a gateway
// on it with its endpoint.
type Bench struct {
	testing.TB
	Gateway *gateway.Gateway
	Handler *awshttp.Handler
	Dir     string          // of the database
	Disk    *storetest.Disk // where the database's syncs go
	Store   *store.Store
	Key     slipway.AccessKey // of the caller
	Token   string            // session token of the key, "" for none
	Clock   *Clock
	Logged  *Log

	first   string               // name of the first service
	targets map[string]operation // by X-Amz-Target
}

// operation is what a target names.
type operation struct{ service, name string }

func (o operation) String() string { return o.service + ":" + o.name }

// Caller returns who calls: the owner of the bench's key.
func (b *Bench) Caller() gateway.Caller {
	b.Helper()
	c, _, ok, err := b.Gateway.Caller(b.Context(), b.Key.ID)
	if err != nil || !ok {
		b.Fatalf("access key %s: %v, %v", b.Key.ID, ok, err)
	}
	c.SourceIP = "192.0.2.1" // as httptest's requests
	return c
}

// Invoke makes a call in process, such as "apprunner:ListServices", with a struct
// or JSON as the input. A string is JSON too.
func (b *Bench) Invoke(operation string, input any) (any, error) {
	b.Helper()
	if text, ok := input.(string); ok {
		input = []byte(text)
	}
	return b.Gateway.Invoke(b.Context(), b.Caller(), operation, input)
}

// New returns a bench on an empty database.
func New(t testing.TB) *Bench {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "slipway.db")
	storetest.Create(t, path)
	disk := storetest.NewDisk()
	s, err := store.OpenOn(t.Context(), path, disk.Sync)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := &Bench{
		TB: t, Dir: dir, Disk: disk, Store: s, Clock: &Clock{now: T0}, Logged: &Log{},
		Key: slipway.AccessKey{ID: "AKIAIOSFODNN7EXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG", User: "root", CreatedAt: T0},
	}
	b.Update(func(tx *store.Tx) error { return tx.InsertAccessKey(b.Key) })
	return b
}

// Open makes the gateway for the services. options change its configuration.
func (b *Bench) Open(services []gateway.Service, options ...func(*gateway.Config)) {
	b.Helper()
	cfg := gateway.Config{
		Store: b.Store, Region: Region, Account: Account, Services: services, Now: b.Clock.Now,
		Log: slog.New(slog.NewJSONHandler(b.Logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, o := range options {
		o(&cfg)
	}
	var err error
	if b.Gateway, err = gateway.New(cfg); err != nil {
		b.Fatal(err)
	}
	b.Handler, err = awshttp.New(awshttp.Config{Gateway: b.Gateway, Region: cfg.Region, Now: cfg.Now})
	if err != nil {
		b.Fatal(err)
	}
	b.first, b.targets = services[0].Name, map[string]operation{}
	for _, s := range services {
		for _, o := range s.Operations {
			for _, target := range awshttp.Targets(s, o) {
				b.targets[target] = operation{s.Name, o.Name}
			}
		}
	}
}

// Hides checks that neither the log nor a file of the database holds the text.
func (b *Bench) Hides(text string) {
	b.Helper()
	if strings.Contains(b.Logged.String(), text) {
		b.Errorf("the log holds %q", text)
	}
	files, err := filepath.Glob(filepath.Join(b.Dir, "*"))
	if err != nil || len(files) == 0 {
		b.Fatalf("no files in %s: %v", b.Dir, err)
	}
	for _, file := range files {
		if content, err := os.ReadFile(file); err != nil || bytes.Contains(content, []byte(text)) {
			b.Errorf("%s holds %q: %v", file, text, err)
		}
	}
}

// In returns the bench as a part of a test or fuzz target within its own.
func (b *Bench) In(t testing.TB) *Bench {
	inner := *b
	inner.TB = t
	return &inner
}

// Update runs a write transaction that must succeed.
func (b *Bench) Update(f func(*store.Tx) error) {
	b.Helper()
	if err := b.Store.Update(b.Context(), f); err != nil {
		b.Fatal(err)
	}
}

// Request is a signed call of an operation, such as "AppRunner.ListServices".
func (b *Bench) Request(target, body string) *http.Request {
	b.Helper()
	service := b.first
	if o, ok := b.targets[target]; ok {
		service = o.service
	}
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8070/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", target)
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	b.sign(r, service, body)
	return r
}

// Form is a signed call in the query protocol. fields come in pairs.
func (b *Bench) Form(service, version, action string, fields ...string) *http.Request {
	b.Helper()
	form := url.Values{"Action": {action}, "Version": {version}}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	body := form.Encode()
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8070/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	b.sign(r, service, body)
	return r
}

func (b *Bench) sign(r *http.Request, service, body string) {
	b.Helper()
	r.ContentLength = -1 // or the signer covers a header that httptest leaves out
	hash := sha256.Sum256([]byte(body))
	keys := aws.Credentials{AccessKeyID: b.Key.ID, SecretAccessKey: b.Key.Secret, SessionToken: b.Token}
	if err := signer.NewSigner().SignHTTP(b.Context(), keys, r, hex.EncodeToString(hash[:]), service, Region, b.Clock.Now()); err != nil {
		b.Fatal(err)
	}
}

// As returns the bench as another caller uses it.
func (b *Bench) As(key slipway.AccessKey, token string) *Bench {
	other := *b
	other.Key, other.Token = key, token
	return &other
}

// Limited returns the bench as a user ann uses it, to whom a policy of these statements
// applies. It may be called once.
func (b *Bench) Limited(services []gateway.Service, statements string) *Bench {
	b.Helper()
	d, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + statements + `]}`))
	if err != nil {
		b.Fatal(err)
	}
	key := slipway.AccessKey{ID: "AKIALIMITED", Secret: "s", User: "ann", CreatedAt: T0}
	b.Update(func(tx *store.Tx) error {
		return errors.Join(tx.InsertUser(slipway.User{Name: "ann", ID: "AIDAANN", Path: "/"}), tx.InsertAccessKey(key))
	})
	ann := b.As(key, "")
	ann.Open(services, func(c *gateway.Config) {
		c.Policies = func(*store.Tx, string) ([]policy.Policy, error) { return []policy.Policy{{Document: d}}, nil }
	})
	return ann
}

// Reply is an answer as it is on the wire, and read as a JSON object.
type Reply struct {
	*httptest.ResponseRecorder
	Doc map[string]any
}

// Send makes a call. Its answer must be a JSON object.
func (b *Bench) Send(r *http.Request) Reply {
	b.Helper()
	w := Reply{ResponseRecorder: httptest.NewRecorder()}
	b.Handler.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &w.Doc); err != nil {
		b.Fatalf("the reply is no JSON object: %v: %s", err, w.Body)
	}
	return w
}

// Call makes a signed call.
func (b *Bench) Call(target, body string) Reply {
	b.Helper()
	return b.Send(b.Request(target, body))
}

// invoke is Invoke of a target. It returns the output as a JSON object. A target
// that no service answers goes over HTTP, as only clients there can name it.
func (b *Bench) invoke(target, body string) (map[string]any, error) {
	b.Helper()
	o, ok := b.targets[target]
	if !ok {
		w := b.Call(target, body)
		name, _ := w.Doc["__type"].(string)
		message, _ := w.Doc["Message"].(string)
		return nil, wire.NewException(name, message)
	}
	output, err := b.Invoke(o.String(), body)
	if err != nil {
		return nil, err
	}
	return b.Doc(output), nil
}

// Doc returns an output as its JSON object.
func (b *Bench) Doc(output any) (doc map[string]any) {
	b.Helper()
	text, err := wire.Marshal(output)
	if err == nil {
		err = json.Unmarshal(text, &doc)
	}
	if err != nil {
		b.Fatalf("%T: %v", output, err)
	}
	return doc
}

// OK makes a call in process that must succeed.
func (b *Bench) OK(target, body string) map[string]any {
	b.Helper()
	doc, err := b.invoke(target, body)
	if err != nil {
		b.Fatalf("%s %s: %v", target, body, err)
	}
	return doc
}

// Refused makes a call in process that must fail with the exception and a
// message that contains the text.
func (b *Bench) Refused(target, body, exception, message string) {
	b.Helper()
	doc, err := b.invoke(target, body)
	e, _ := errors.AsType[*wire.Exception](err)
	if e == nil || e.Name != exception || !strings.Contains(e.Message, message) {
		b.Errorf("%s %s:\n got %v %v\nwant %s with %q", target, body, doc, err, exception, message)
	}
}
