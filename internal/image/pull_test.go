package image_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/image/imagetest"
)

func TestPull(t *testing.T) {
	t.Parallel()
	s, up := open(t), newUpstream(t)
	made := imagetest.Image(t, imagetest.Options{
		Entrypoint: []string{"/app"}, Cmd: []string{"-v"}, Env: []string{"A=b"}, User: "app", Dir: "/srv",
		Ports: []string{"9/udp", "80/tcp"}, StopSignal: "SIGINT", Labels: map[string]string{"k": "v"},
	}, imagetest.Layer(t, imagetest.Text("a", "1")), imagetest.Layer(t, imagetest.Text("b", "2")))
	ref := up.push(t, made, "team/hello:1")

	var last image.Progress
	img, err := s.Pull(t.Context(), ref, func(p image.Progress) { last = p })
	if err != nil {
		t.Fatal(err)
	}
	if img.Digest != imagetest.Digest(t, made) || img.Ref != ref {
		t.Errorf("pulled %s as %q", img.Digest, img.Ref)
	}
	want := image.RunConfig{
		Entrypoint: []string{"/app"}, Cmd: []string{"-v"}, Env: []string{"A=b"}, User: "app", Dir: "/srv",
		Ports: []string{"80/tcp", "9/udp"}, StopSignal: "SIGINT", Labels: map[string]string{"k": "v"},
	}
	if diff := cmp.Diff(want, img.Config); diff != "" {
		t.Error(diff)
	}
	if len(img.Layers) != 2 || last != (image.Progress{Layers: 2, LayersDone: 2, Bytes: img.Size, Total: img.Size}) {
		t.Errorf("%d layers, size %d, progress %+v", len(img.Layers), img.Size, last)
	}
	got, err := s.Get(img.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(img, got); diff != "" {
		t.Errorf("Get: %s", diff)
	}
}

// For an image that is here already, Pull only asks for the digest.
func TestPullAgain(t *testing.T) {
	t.Parallel()
	s, up := open(t), newUpstream(t)
	ref := up.pushIndex(t, imagetest.Index(t, small(t, "a")), "hello:1")
	first := mustPull(t, s, ref)
	up.forget()
	if again := mustPull(t, s, ref); again.Digest != first.Digest {
		t.Errorf("pulled %s, then %s", first.Digest, again.Digest)
	}
	if h, g := up.count("HEAD", "/manifests/"), up.count("GET", "/v2/hello/"); h != 1 || g != 0 {
		t.Errorf("%d HEAD and %d GET requests, want 1 and 0", h, g)
	}
	up.forget()
	mustPull(t, s, strings.TrimSuffix(ref, ":1")+"@"+first.Digest)
	if n := up.count("GET", "/v2/hello/") + up.count("HEAD", "/v2/hello/"); n != 0 {
		t.Errorf("%d requests for a digest that is here", n)
	}
}

func TestPullMovedTag(t *testing.T) {
	t.Parallel()
	s, up := open(t), newUpstream(t)
	ref := up.push(t, small(t, "a"), "hello:latest")
	first := mustPull(t, s, ref)
	up.push(t, small(t, "b"), "hello:latest")
	if second := mustPull(t, s, ref); second.Digest == first.Digest {
		t.Errorf("still %s", second.Digest)
	}
}

// A registry that answers HEAD badly is asked for the manifest.
func TestPullWithoutHead(t *testing.T) {
	t.Parallel()
	s, up := open(t), newUpstream(t)
	ref := up.push(t, small(t, "a"), "hello:1")
	up.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == "HEAD" {
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
		return r.Method == "HEAD"
	})
	mustPull(t, s, ref)
}

func TestPullTogether(t *testing.T) {
	t.Parallel()
	s, up := open(t), newUpstream(t)
	shared := imagetest.Layer(t, imagetest.Text("shared", "x"))
	var refs []string
	for i := range 8 {
		img := imagetest.Image(t, imagetest.Options{}, shared, imagetest.Layer(t, imagetest.Text("own", fmt.Sprint(i%2))))
		refs = append(refs, up.push(t, img, fmt.Sprintf("hello:%d", i)))
	}
	var wg sync.WaitGroup
	for _, ref := range refs {
		wg.Go(func() {
			if _, err := s.Pull(t.Context(), ref, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	up.mu.Lock()
	defer up.mu.Unlock()
	blobs := 0
	for call, n := range up.calls {
		if strings.HasPrefix(call, "GET ") && strings.Contains(call, "/blobs/") {
			blobs++
			if n != 1 {
				t.Errorf("%s: %d times", call, n)
			}
		}
	}
	if blobs != 5 { // a shared layer, two layers of their own, two configurations
		t.Errorf("%d blobs fetched, want 5", blobs)
	}
}

// A pull that waits for another's download continues when the other is cancelled.
func TestPullSurvivesAnotherCancel(t *testing.T) {
	t.Parallel()
	s, up := open(t), newUpstream(t)
	layer := imagetest.Layer(t, imagetest.Text("a", "1"))
	ref := up.push(t, imagetest.Image(t, imagetest.Options{}, layer), "hello:1")
	blob := "/blobs/" + imagetest.Digest(t, layer)

	var calls atomic.Int32
	up.onRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, blob) && calls.Add(1) == 1 {
			<-r.Context().Done() // the first one gets no answer
			return true
		}
		return false
	})
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := s.Pull(ctx, ref, nil); first <- err }()
	eventually(t, "the first download", func() bool { return calls.Load() == 1 })
	go func() { _, err := s.Pull(t.Context(), ref, nil); second <- err }()
	eventually(t, "the second pull", func() bool { return up.count("HEAD", "/manifests/") == 2 })
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled pull: %v", err)
	}
	if err := <-second; err != nil {
		t.Errorf("the other pull: %v", err)
	}
}

func TestPullPlatform(t *testing.T) {
	t.Parallel()
	up := newUpstream(t)
	amd := imagetest.Image(t, imagetest.Options{Platform: "linux/amd64"})
	v3 := imagetest.Image(t, imagetest.Options{Platform: "linux/amd64/v3"})
	v2 := imagetest.Image(t, imagetest.Options{Platform: "linux/amd64/v2"})
	arm := imagetest.Image(t, imagetest.Options{Platform: "linux/arm64"})
	win := imagetest.Image(t, imagetest.Options{Platform: "windows/amd64"})
	all := up.pushIndex(t, imagetest.Index(t, win, v3, amd, arm), "hello:all")
	some := up.pushIndex(t, imagetest.Index(t, win, v3, v2), "hello:some")
	none := up.pushIndex(t, imagetest.Index(t, win, arm), "hello:none")
	single := up.push(t, arm, "hello:arm")
	bare := up.pushIndex(t, mutate.AppendManifests(imagetest.Index(t), mutate.IndexAddendum{Add: amd}), "hello:bare")
	nested := up.pushIndex(t, mutate.AppendManifests(imagetest.Index(t), mutate.IndexAddendum{Add: imagetest.Index(t, arm, amd)}), "hello:nested")

	small := imagetest.Image(t, imagetest.Options{Platform: "linux/386"})
	odd := imagetest.Image(t, imagetest.Options{Platform: "Linux/x86_64"})
	both := up.pushIndex(t, imagetest.Index(t, small, amd), "hello:both")
	only32 := up.pushIndex(t, imagetest.Index(t, arm, small), "hello:32")
	single32 := up.push(t, small, "hello:single32")
	named := up.push(t, odd, "hello:named")

	s := open(t, func(c *image.Config) { c.Platform = "linux/amd64" })
	for ref, want := range map[string]v1.Image{
		all: amd, some: v2, bare: amd, nested: amd, both: amd, only32: small, single32: small, named: odd,
	} {
		if got := mustPull(t, s, ref).Digest; got != imagetest.Digest(t, want) {
			t.Errorf("%s: %s, want %s", ref, got, imagetest.Digest(t, want))
		}
	}
	_, err := s.Pull(t.Context(), none, nil)
	wantUser(t, err, slipway.InvalidRequest, none, "not available for linux/amd64", "windows/amd64, linux/arm64")
	_, err = s.Pull(t.Context(), single, nil)
	wantUser(t, err, slipway.InvalidRequest, single, "it is for linux/arm64")
	if up.count("GET", "/blobs/") > 18 {
		t.Errorf("%d blobs fetched", up.count("GET", "/blobs/"))
	}
}

func TestPullErrors(t *testing.T) {
	t.Parallel()
	status := func(code int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/v2/" {
				return false
			}
			w.WriteHeader(code)
			io.WriteString(w, body)
			return true
		}
	}
	tests := []struct {
		name  string
		hook  func(http.ResponseWriter, *http.Request) bool
		ref   string // after the host
		code  slipway.Code
		texts []string
		again bool // ErrUnavailable
	}{
		{"no repository", nil, "nothing:1", slipway.NotFound, []string{"was not found", "nothing:1"}, false},
		{"no tag", nil, "hello:2", slipway.NotFound, []string{"was not found", "hello:2"}, false},
		{"forbidden", status(403, `{"errors":[{"code":"DENIED","message":"no"}]}`), "hello:1", slipway.InvalidRequest, []string{"does not permit it", "docker login"}, false},
		{"unauthorised", status(401, ""), "hello:1", slipway.InvalidRequest, []string{"does not permit it"}, false},
		{"refused", status(400, `{"errors":[{"code":"NAME_INVALID","message":"what a stranger says"}]}`), "hello:1", slipway.InvalidRequest, []string{"refused", "status 400, NAME_INVALID"}, false},
		{"schema 1", func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/manifests/") {
				return false
			}
			if r.Method == "HEAD" {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return true
			}
			w.Header().Set("Content-Type", string(types.DockerManifestSchema1Signed))
			io.WriteString(w, `{"schemaVersion":1}`)
			return true
		}, "hello:1", slipway.InvalidRequest, []string{"schema 1"}, false},
		{"page of a proxy", func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/manifests/") {
				return false
			}
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, `<html>hello</html>`)
			return true
		}, "hello:1", slipway.InvalidRequest, []string{"cannot be used as an image"}, false},
		{"wrong bytes", func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/blobs/") || r.Method == "HEAD" {
				return false
			}
			w.Write(bytes.Repeat([]byte("x"), 100))
			return true
		}, "hello:1", slipway.InvalidRequest, []string{"broke off"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, up := openIn(t, dir), newUpstream(t)
			up.push(t, small(t, "a"), "hello:1")
			up.onRequest(tt.hook)
			_, err := s.Pull(t.Context(), up.host+"/"+tt.ref, nil)
			wantUser(t, err, tt.code, append(tt.texts, up.host)...)
			if errors.Is(err, image.ErrUnavailable) != tt.again {
				t.Errorf("worth another try: %v", errors.Is(err, image.ErrUnavailable))
			}
			wantEmpty(t, dir)
			if images, err := s.List(); err != nil || len(images) > 0 {
				t.Errorf("left %v, %v", images, err)
			}
		})
	}
}

func TestPullUnreachable(t *testing.T) {
	t.Parallel()
	const host = "127.0.0.1:1" // nothing listens there
	_, err := open(t).Pull(t.Context(), host+"/hello:1", nil)
	wantUser(t, err, slipway.InvalidRequest, host+"/hello:1", "cannot be reached", "refused")
	if !errors.Is(err, image.ErrUnavailable) {
		t.Error("not worth another try")
	}
}

func TestPullBadNames(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, ref := range []string{"", " ", "Hello", "a b", "hello:", "hello@sha256:12", "hello:a:b", "http://x/y", "../x", "/etc/passwd", "a/../../x", "a/_tags", "a..b", "ghcr.io/a/../b", "hello@sha512:" + strings.Repeat("0", 128)} {
		_, err := s.Pull(t.Context(), ref, nil)
		wantUser(t, err, slipway.InvalidRequest)
	}
	for _, ref := range []string{"000000000000.dkr.ecr.us-east-1.amazonaws.com/../../x", "000000000000.dkr.ecr.us-east-1.amazonaws.com/_tags", "000000000000.dkr.ecr.us-east-1.amazonaws.com/a..b"} {
		_, err := s.Pull(t.Context(), ref, nil)
		wantUser(t, err, slipway.InvalidRequest)
	}
}

func TestPullArtifact(t *testing.T) {
	t.Parallel()
	s, up := open(t), newUpstream(t)
	chart := mutate.ConfigMediaType(imagetest.Image(t, imagetest.Options{}), "application/vnd.cncf.helm.config.v1+json")
	_, err := s.Pull(t.Context(), up.push(t, chart, "chart:1"), nil)
	wantUser(t, err, slipway.InvalidRequest, "not a container image", "vnd.cncf.helm.config")
}

// A download that breaks off is started again; if it always does, the pull
// fails.
func TestPullBrokenOff(t *testing.T) {
	t.Parallel()
	for _, broken := range []int32{1, 100} {
		t.Run(fmt.Sprint(broken), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, up := openIn(t, dir), newUpstream(t)
			layer := imagetest.Layer(t, imagetest.Text("a", "1"))
			ref := up.push(t, imagetest.Image(t, imagetest.Options{}, layer), "hello:1")
			var calls atomic.Int32
			up.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, imagetest.Digest(t, layer)) || calls.Add(1) > broken {
					return false
				}
				size, err := layer.Size()
				if err != nil {
					t.Error(err)
				}
				w.Header().Set("Content-Length", fmt.Sprint(size))
				io.WriteString(w, "some")
				return true
			})
			_, err := s.Pull(t.Context(), ref, nil)
			if broken == 1 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantUser(t, err, slipway.InvalidRequest, "cannot be reached: the download broke off")
			if n := calls.Load(); n != 3 {
				t.Errorf("%d tries", n)
			}
			wantEmpty(t, dir)
		})
	}
}

func TestPullCredentials(t *testing.T) {
	t.Parallel()
	up := newUpstream(t)
	ref := up.push(t, small(t, "a"), "hello:1")
	up.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if user, pass, _ := r.BasicAuth(); user == "me" && pass == "secret" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	_, err := open(t).Pull(t.Context(), ref, nil)
	wantUser(t, err, slipway.InvalidRequest, "does not permit it")
	s := open(t, func(c *image.Config) {
		c.Credentials = map[string]image.Credential{up.host: {User: "me", Password: "secret"}}
	})
	mustPull(t, s, ref)
}

func TestPullLimits(t *testing.T) {
	t.Parallel()
	up := newUpstream(t)
	ref := up.push(t, imagetest.Image(t, imagetest.Options{}, imagetest.Layer(t, imagetest.Text("a", "1")), imagetest.Layer(t, imagetest.Text("b", "1"))), "hello:1")
	for name, limits := range map[string]image.Limits{"layers": {Layers: 1}, "larger": {ImageBytes: 50}} {
		s := open(t, func(c *image.Config) { c.Limits = limits })
		_, err := s.Pull(t.Context(), ref, nil)
		wantUser(t, err, slipway.InvalidRequest, name, "allowed")
	}
}
