package image_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/image/imagetest"
	"github.com/openslipway/slipway/internal/outbound"
)

// anonymous keeps tests from reading the Docker configuration of the user who
// runs them.
type anonymous struct{}

func (anonymous) Resolve(authn.Resource) (authn.Authenticator, error) { return authn.Anonymous, nil }

// loopback reaches the registries of tests.
func loopback(t testing.TB) *outbound.Policy {
	t.Helper()
	p, err := outbound.New("127.0.0.0/8", "::1")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// open opens a store in a directory of its own. edit changes the configuration.
func open(t testing.TB, edit ...func(*image.Config)) *image.Store {
	t.Helper()
	return openIn(t, t.TempDir(), edit...)
}

func openIn(t testing.TB, dir string, edit ...func(*image.Config)) *image.Store {
	t.Helper()
	cfg := image.Config{Dir: dir, Log: slog.New(slog.DiscardHandler), Keychain: anonymous{}, Reach: loopback(t)}
	for _, e := range edit {
		e(&cfg)
	}
	s, err := image.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: whiteouts are device nodes and owners differ")
	}
}

// upstream is another registry, on loopback. It counts requests and can be told
// to misbehave.
type upstream struct {
	host string

	mu    sync.Mutex
	calls map[string]int // "METHOD /path"
	hook  func(w http.ResponseWriter, r *http.Request) bool
}

func newUpstream(t testing.TB) *upstream {
	t.Helper()
	u := &upstream{calls: map[string]int{}}
	reg := registry.New(registry.Logger(slog.NewLogLogger(slog.DiscardHandler, 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		u.calls[r.Method+" "+r.URL.Path]++
		hook := u.hook
		u.mu.Unlock()
		if hook == nil || !hook(w, r) {
			reg.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	u.host = strings.TrimPrefix(srv.URL, "http://")
	return u
}

// onRequest makes hook see each request first; hook returns whether it
// answered.
func (u *upstream) onRequest(hook func(w http.ResponseWriter, r *http.Request) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.hook = hook
}

// forget resets the count of requests.
func (u *upstream) forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	clear(u.calls)
}

// count returns the requests so far with that method whose path contains part.
func (u *upstream) count(method, part string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for k, c := range u.calls {
		if strings.HasPrefix(k, method+" ") && strings.Contains(k, part) {
			n += c
		}
	}
	return n
}

func (u *upstream) push(t testing.TB, img v1.Image, ref string) string {
	t.Helper()
	imagetest.Push(t, img, u.host+"/"+ref)
	u.forget()
	return u.host + "/" + ref
}

func (u *upstream) pushIndex(t testing.TB, idx v1.ImageIndex, ref string) string {
	t.Helper()
	r, err := name.ParseReference(u.host + "/" + ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(r, idx); err != nil {
		t.Fatal(err)
	}
	u.forget()
	return u.host + "/" + ref
}

// small returns an image of one file with that text.
func small(t testing.TB, text string) v1.Image {
	t.Helper()
	return imagetest.Image(t, imagetest.Options{Entrypoint: []string{"/" + text}}, imagetest.Layer(t, imagetest.Text(text, text)))
}

// mustPull pulls and fails the test on an error.
func mustPull(t testing.TB, s *image.Store, ref string) image.Image {
	t.Helper()
	img, err := s.Pull(t.Context(), ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// wantUser fails unless err is a *slipway.Error with that code and all the
// texts.
func wantUser(t testing.TB, err error, code slipway.Code, texts ...string) {
	t.Helper()
	if slipway.CodeOf(err) != code {
		t.Errorf("error %v, want a %s", err, code)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
}

// wantEmpty fails unless the store's tmp directory is empty.
func wantEmpty(t testing.TB, dir string) {
	t.Helper()
	left, err := os.ReadDir(filepath.Join(dir, "tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("unfinished work left: %v, %v", left, err)
	}
}

func TestOpenTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openIn(t, dir)
	if _, err := image.Open(image.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openIn(t, dir)
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]image.Config{
		"platform": {Platform: "a/b/c/d"},
		"insecure": {Insecure: []string{"http://registry"}},
	} {
		cfg.Dir, cfg.Log = t.TempDir(), slog.New(slog.DiscardHandler)
		if _, err := image.Open(cfg); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestOpenSweeps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openIn(t, dir)
	if _, err := s.NewUpload(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "tmp/layer-1/fs/deep"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.Close()
	openIn(t, dir)
	wantEmpty(t, dir)
}

// The next process has what this one stored.
func TestReopen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openIn(t, dir)
	put, err := s.Put(t.Context(), "hello:1", small(t, "a"))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	got := mustPull(t, openIn(t, dir), "hello:1")
	if got.Digest != put.Digest {
		t.Errorf("pulled %s, want %s", got.Digest, put.Digest)
	}
}

// eventually polls until ok returns true, or fails the test.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, ctx.Err())
		case <-tick.C:
		}
	}
}
