package registry_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/registry"
)

const user, secret = "AKIATEST", "s3cret/+="

// testRegistry is a registry on a directory, served over real sockets.
type testRegistry struct {
	t      *testing.T
	dir    string
	images *image.Store
	srv    *httptest.Server

	mu     sync.Mutex
	pushed []string
}

func open(t *testing.T, dir string) *testRegistry {
	t.Helper()
	return openWith(t, dir, registry.Config{})
}

// openWith is open with the given limits.
func openWith(t *testing.T, dir string, cfg registry.Config) *testRegistry {
	t.Helper()
	p := &testRegistry{t: t, dir: dir}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	var err error
	if p.images, err = image.Open(image.Config{Dir: dir, Log: log}); err != nil {
		t.Fatal(err)
	}
	cfg.Images, cfg.Log = p.images, log
	cfg.Authenticate = func(_ context.Context, u, pw string) (bool, error) { return u == user && pw == secret, nil }
	cfg.Pushed = func(_ context.Context, repo, tag, digest string) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.pushed = append(p.pushed, repo+":"+tag+"@"+digest)
		return nil
	}
	h, err := registry.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.srv = httptest.NewServer(h)
	t.Cleanup(p.close)
	return p
}

func (p *testRegistry) close() {
	p.srv.Close()
	p.images.Close()
}

func (p *testRegistry) ref(s string) name.Reference {
	p.t.Helper()
	r, err := name.ParseReference(strings.TrimPrefix(p.srv.URL, "http://") + "/" + s)
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

var auth = remote.WithAuth(&authn.Basic{Username: user, Password: secret})

// do sends a request with credentials.
func (p *testRegistry) do(method, path, body string, header ...string) *http.Response {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.srv.URL+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.SetBasicAuth(user, secret)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil {
		p.t.Fatal(err)
	}
	res.Body = io.NopCloser(bytes.NewReader(b))
	return res
}

func (p *testRegistry) expect(status int, code, method, path, body string, header ...string) *http.Response {
	p.t.Helper()
	res := p.do(method, path, body, header...)
	b, _ := io.ReadAll(res.Body)
	if res.StatusCode != status || code != "" && !bytes.Contains(b, []byte(`"`+code+`"`)) {
		p.t.Errorf("%s %s = %d %s, want %d with %q", method, path, res.StatusCode, b, status, code)
	}
	res.Body = io.NopCloser(bytes.NewReader(b))
	return res
}

func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func randomImage(t *testing.T) v1.Image {
	t.Helper()
	img, err := random.Image(4096, 3)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestPushedImageIsPulledAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := open(t, dir)
	img := randomImage(t)
	want, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(p.ref("team/shop:v1"), img, auth); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"team/shop:v1@" + want.String()}, p.pushed); d != "" {
		t.Errorf("pushed: %s", d)
	}
	p.close()
	p = open(t, dir)
	got, err := remote.Image(p.ref("team/shop:v1"), auth)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := got.Digest(); err != nil || d != want {
		t.Errorf("pulled %v, %v; want %v", d, err, want)
	}
	layers, err := got.Layers()
	if err != nil || len(layers) != 3 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	for _, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil { // verifies the digest
			t.Error(err)
		}
		r.Close()
	}
}

func TestIndexIsPushedAndListed(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	idx := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: randomImage(t)}, mutate.IndexAddendum{Add: randomImage(t)})
	for _, tag := range []string{"a", "b", "c"} {
		if err := remote.WriteIndex(p.ref("multi:"+tag), idx, auth); err != nil {
			t.Fatal(err)
		}
	}
	tags, err := remote.List(p.ref("multi:a").Context(), auth, remote.WithPageSize(2))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a", "b", "c"}, tags); d != "" {
		t.Error(d)
	}
	if err := remote.Delete(p.ref("multi:b"), auth); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Index(p.ref("multi:b"), auth); err == nil {
		t.Error("a deleted tag is still there")
	}
	if _, err := remote.Index(p.ref("multi:a"), auth); err != nil {
		t.Errorf("deleting one tag took the manifest from the others: %v", err)
	}
	res := p.expect(200, "", "GET", "/v2/_catalog", "")
	var catalog struct{ Repositories []string }
	if err := json.NewDecoder(res.Body).Decode(&catalog); err != nil || len(catalog.Repositories) != 1 {
		t.Errorf("catalog %v, %v", catalog, err)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	for _, a := range []authn.Authenticator{authn.Anonymous, &authn.Basic{Username: user, Password: "wrong"}} {
		if err := remote.Write(p.ref("shop:v1"), randomImage(t), remote.WithAuth(a)); err == nil {
			t.Error("pushed without valid credentials")
		}
	}
	res, err := http.Get(p.srv.URL + "/v2/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") != `Basic realm="slipway"` {
		t.Errorf("GET /v2/ = %d %q", res.StatusCode, res.Header.Get("WWW-Authenticate"))
	}
}

func TestUploadInChunks(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	res := p.expect(202, "", "POST", "/v2/shop/blobs/uploads/", "")
	at := res.Header.Get("Location")
	p.expect(202, "", "PATCH", at, "hello ", "Content-Range", "0-5")
	if r := p.expect(204, "", "GET", at, ""); r.Header.Get("Range") != "0-5" {
		t.Errorf("Range = %q, want 0-5", r.Header.Get("Range"))
	}
	p.expect(416, "", "PATCH", at, "world", "Content-Range", "9-13")
	p.expect(400, "BLOB_UPLOAD_INVALID", "PATCH", at, "world", "Content-Range", "later")
	p.expect(202, "", "PATCH", at, "wor", "Content-Range", "6-8")
	p.expect(404, "BLOB_UPLOAD_UNKNOWN", "PATCH", strings.Replace(at, "/shop/", "/other/", 1), "x")
	res = p.expect(201, "", "PUT", at+"?digest="+digestOf("hello world"), "ld")
	p.expect(404, "BLOB_UPLOAD_UNKNOWN", "GET", at, "")
	blob := res.Header.Get("Location")
	res = p.expect(200, "", "GET", blob, "")
	if b, _ := io.ReadAll(res.Body); string(b) != "hello world" {
		t.Errorf("blob = %q", b)
	}
	res = p.expect(206, "", "GET", blob, "", "Range", "bytes=6-")
	if b, _ := io.ReadAll(res.Body); string(b) != "world" {
		t.Errorf("range = %q", b)
	}
	if r := p.expect(200, "", "HEAD", blob, ""); r.ContentLength != 11 {
		t.Errorf("HEAD says %d bytes, want 11", r.ContentLength)
	}
	p.expect(201, "", "POST", "/v2/other/blobs/uploads/?from=shop&mount="+digestOf("hello world"), "")
	p.expect(202, "", "POST", "/v2/other/blobs/uploads/?from=shop&mount="+digestOf("nowhere"), "")
	p.expect(202, "", "DELETE", blob, "")
	p.expect(404, "BLOB_UNKNOWN", "GET", blob, "")
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	const manifest = "application/vnd.oci.image.manifest.v1+json"
	missing := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":2},"layers":[]}`,
		manifest, digestOf("{}"))
	p.expect(400, "DIGEST_INVALID", "POST", "/v2/shop/blobs/uploads/?digest="+digestOf("other"), "content")
	p.expect(400, "DIGEST_INVALID", "POST", "/v2/shop/blobs/uploads/?digest=md5:abc", "content")
	p.expect(404, "MANIFEST_BLOB_UNKNOWN", "PUT", "/v2/shop/manifests/v1", missing, "Content-Type", manifest)
	p.expect(201, "", "POST", "/v2/shop/blobs/uploads/?digest="+digestOf("{}"), "{}")
	p.expect(400, "DIGEST_INVALID", "PUT", "/v2/shop/manifests/"+digestOf("x"), missing, "Content-Type", manifest)
	p.expect(400, "MANIFEST_INVALID", "PUT", "/v2/shop/manifests/v1", "{", "Content-Type", manifest)
	p.expect(413, "SIZE_INVALID", "PUT", "/v2/shop/manifests/v1", strings.Repeat(" ", image.MaxManifest+1), "Content-Type", manifest)
	p.expect(404, "MANIFEST_UNKNOWN", "GET", "/v2/shop/manifests/v1", "")
	p.expect(404, "NAME_UNKNOWN", "GET", "/v2/shop/tags/list", "")
	p.expect(400, "NAME_INVALID", "GET", "/v2/Shop/tags/list", "")
	p.expect(400, "PAGINATION_NUMBER_INVALID", "GET", "/v2/_catalog?n=many", "")
	p.expect(405, "UNSUPPORTED", "POST", "/v2/shop/tags/list", "")
	p.expect(404, "", "GET", "/v2/shop/blobs/..%2f..%2fsecret", "")
	p.expect(400, "", "GET", "/v2/..%2f..%2fetc/manifests/passwd", "")
	p.expect(404, "", "GET", "/v2/nothing", "")
}

func TestReferrers(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	img := randomImage(t)
	if err := remote.Write(p.ref("shop:v1"), img, auth); err != nil {
		t.Fatal(err)
	}
	subject, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	size, err := img.Size()
	if err != nil {
		t.Fatal(err)
	}
	media, err := img.MediaType()
	if err != nil {
		t.Fatal(err)
	}
	signature, ok := mutate.Subject(randomImage(t), v1.Descriptor{MediaType: media, Digest: subject, Size: size}).(v1.Image)
	if !ok {
		t.Fatal("no image")
	}
	if err := remote.Write(p.ref("shop:sig"), signature, auth); err != nil {
		t.Fatal(err)
	}
	idx, err := remote.Referrers(p.ref("shop:v1").Context().Digest(subject.String()), auth)
	if err != nil {
		t.Fatal(err)
	}
	m, err := idx.IndexManifest()
	if err != nil || len(m.Manifests) != 1 {
		t.Errorf("%d referrers, %v; want 1", len(m.Manifests), err)
	}
}

func TestSkopeoCopiesInAndOut(t *testing.T) {
	t.Parallel()
	skopeo, err := exec.LookPath("skopeo")
	if err != nil {
		t.Skip("skopeo is not installed")
	}
	p := open(t, t.TempDir())
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	l, err := layout.Write(in, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.AppendImage(randomImage(t)); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(p.srv.URL, "http://")
	run := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), skopeo, args...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("skopeo %v: %v\n%s", args, err, out)
		}
	}
	creds := user + ":" + secret
	run("--insecure-policy", "copy", "--dest-tls-verify=false", "--dest-creds", creds, "oci:"+in, "docker://"+host+"/shop:v1")
	run("--insecure-policy", "copy", "--src-tls-verify=false", "--src-creds", creds, "docker://"+host+"/shop:v1", "oci:"+filepath.Join(dir, "out"))
	run("inspect", "--tls-verify=false", "--creds", creds, "docker://"+host+"/shop:v1")
	if _, err := os.Stat(filepath.Join(dir, "out", "index.json")); err != nil {
		t.Error(err)
	}
}
