package registry_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/openslipway/slipway/internal/registry"
	"github.com/openslipway/slipway/internal/room/roomtest"
)

func (p *testRegistry) begin() string {
	p.t.Helper()
	return p.expect(202, "", "POST", "/v2/shop/blobs/uploads/", "").Header.Get("Location")
}

// left returns the number of unfinished files in the store.
func (p *testRegistry) left() int {
	p.t.Helper()
	entries, err := os.ReadDir(filepath.Join(p.dir, "tmp"))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(entries)
}

func TestNewRefusesAnIncompleteConfig(t *testing.T) {
	t.Parallel()
	if _, err := registry.New(registry.Config{}); err == nil {
		t.Error("New accepted an empty configuration")
	}
}

func TestBlobsAreBounded(t *testing.T) {
	t.Parallel()
	p := openWith(t, t.TempDir(), registry.Config{MaxBlob: 10})
	long := strings.Repeat("x", 11)
	p.expect(413, "SIZE_INVALID", "POST", "/v2/shop/blobs/uploads/?digest="+digestOf(long), long)
	p.expect(201, "", "POST", "/v2/shop/blobs/uploads/?digest="+digestOf(long[:10]), long[:10])
	at := p.begin()
	p.expect(202, "", "PATCH", at, long[:6])
	p.expect(413, "SIZE_INVALID", "PATCH", at, long[:5])
	p.expect(201, "", "PUT", at+"?digest="+digestOf(long[:9]), long[:3]) // what was refused did no harm

	// Without a length the limit shows only during the transfer.
	at = p.begin()
	req, err := http.NewRequestWithContext(t.Context(), "PATCH", p.srv.URL+at, struct{ io.Reader }{strings.NewReader(long)})
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(user, secret)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 413 {
		t.Errorf("streamed: status %d, want 413", res.StatusCode)
	}
	p.expect(404, "BLOB_UPLOAD_UNKNOWN", "GET", at, "")
	if n := p.left(); n != 0 {
		t.Errorf("%d files left", n)
	}
}

func TestChunksAreAsLongAsTheySay(t *testing.T) {
	t.Parallel()
	p := openWith(t, t.TempDir(), registry.Config{})
	at := p.begin()
	for _, r := range []string{"0-3", "0-5", "5-4", "-", "0", "0-99999999999999999999"} {
		res := p.do("PATCH", at, "hello", "Content-Range", r)
		if res.StatusCode != 400 && res.StatusCode != 416 {
			t.Errorf("%s: status %d", r, res.StatusCode)
		}
	}
	p.expect(202, "", "PATCH", at, "hello", "Content-Range", "bytes 0-4/*")
	p.expect(416, "", "PATCH", at, "hello", "Content-Range", "0-4")
	res := p.expect(416, "", "PUT", at+"?digest="+digestOf("hello"), "o", "Content-Range", "4-4")
	if r := res.Header.Get("Range"); r != "0-4" {
		t.Errorf("Range %q, want 0-4", r)
	}
	p.expect(201, "", "PUT", at+"?digest="+digestOf("hello"), "")
}

func TestUploadsAreBounded(t *testing.T) {
	t.Parallel()
	p := openWith(t, t.TempDir(), registry.Config{Uploads: 8, Idle: time.Hour})
	first := p.begin()
	p.begin()
	p.expect(429, "TOOMANYREQUESTS", "POST", "/v2/shop/blobs/uploads/", "")
	p.expect(429, "TOOMANYREQUESTS", "POST", "/v2/shop/blobs/uploads/?digest="+digestOf("x"), "x")
	p.expect(204, "", "DELETE", first, "")
	p.expect(404, "BLOB_UPLOAD_UNKNOWN", "DELETE", first, "")
	p.begin()
	if n := p.left(); n != 2 {
		t.Errorf("%d files for 2 uploads", n)
	}
}

// One user can't take the places of all: beyond a share the uploads of theirs that rest
// give way, and where all places are taken those of who has the most.
func TestUploadsAreShared(t *testing.T) {
	t.Parallel()
	for _, rest := range []time.Duration{time.Nanosecond, time.Hour} {
		p := openWith(t, t.TempDir(), registry.Config{
			Uploads: 8, Idle: time.Hour, Rest: rest, User: func(r *http.Request) string { return r.Header.Get("X-User") },
		})
		begin := func(user string) (*http.Response, string) {
			res := p.do("POST", "/v2/shop/blobs/uploads/", "", "X-User", user)
			body, _ := io.ReadAll(res.Body)
			return res, string(body)
		}
		first, _ := begin("mallory")
		for i := range 20 {
			res, body := begin("mallory")
			switch taken := rest == time.Hour && i >= 1; {
			case taken && (res.StatusCode != 429 || !strings.Contains(body, "You have 2 uploads in progress")):
				t.Errorf("the share is taken: %d %s", res.StatusCode, body)
			case !taken && res.StatusCode != 202:
				t.Errorf("%d %s", res.StatusCode, body)
			}
		}
		if n := p.left(); n != 2 {
			t.Errorf("one user has %d files", n)
		}
		status := map[time.Duration]int{time.Nanosecond: 404, time.Hour: 204}[rest]
		p.expect(status, "", "GET", first.Header.Get("Location"), "", "X-User", "mallory")
		for _, user := range []string{"ann", "bob", "eve"} {
			for range 2 {
				if res, body := begin(user); res.StatusCode != 202 {
					t.Errorf("%s: %d %s", user, res.StatusCode, body)
				}
			}
		}
		// All 8 places are taken now.
		want := map[time.Duration]int{time.Nanosecond: 202, time.Hour: 429}[rest]
		if res, body := begin("zoe"); res.StatusCode != want {
			t.Errorf("with all places taken: %d %s, want %d", res.StatusCode, body, want)
		}
	}
}

func TestIdleUploadsAreGivenUp(t *testing.T) {
	t.Parallel()
	p := openWith(t, t.TempDir(), registry.Config{Uploads: 1, Idle: 1}) // a nanosecond
	first := p.begin()
	p.begin()
	p.expect(404, "BLOB_UPLOAD_UNKNOWN", "GET", first, "")
	if n := p.left(); n != 1 {
		t.Errorf("%d files for 1 upload", n)
	}
}

// dial sends the beginning of a request; the test sends the rest.
func (p *testRegistry) dial(head string) net.Conn {
	p.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.srv.URL, "http://"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	basic := base64.StdEncoding.EncodeToString([]byte(user + ":" + secret))
	if _, err := fmt.Fprintf(conn, "%s\r\nHost: x\r\nAuthorization: Basic %s\r\n", head, basic); err != nil {
		p.t.Fatal(err)
	}
	return conn
}

// A client that stalls loses its connection, but not what it has sent.
func TestStalledUploadGoesOn(t *testing.T) {
	t.Parallel()
	p := openWith(t, t.TempDir(), registry.Config{Stall: 100 * time.Millisecond})
	at := p.begin()
	conn := p.dial("PATCH " + at + " HTTP/1.1")
	if _, err := io.WriteString(conn, "Content-Length: 11\r\n\r\nhello "); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 408 {
		t.Errorf("status %d, want 408", res.StatusCode)
	}
	if r := p.expect(204, "", "GET", at, "").Header.Get("Range"); r != "0-5" {
		t.Errorf("Range %q, want 0-5", r)
	}
	p.expect(202, "", "PATCH", at, "world", "Content-Range", "6-10")
	p.expect(201, "", "PUT", at+"?digest="+digestOf("hello world"), "")
}

// A client that receives nothing of a large blob does not keep its connection
// for ever.
func TestStalledDownloadEnds(t *testing.T) {
	t.Parallel()
	p := openWith(t, t.TempDir(), registry.Config{Stall: 100 * time.Millisecond})
	big := strings.Repeat("x", 64<<20)
	p.expect(201, "", "POST", "/v2/shop/blobs/uploads/?digest="+digestOf(big), big)
	conn := p.dial("GET /v2/shop/blobs/" + digestOf(big) + " HTTP/1.1")
	if _, err := io.WriteString(conn, "\r\n"); err != nil {
		t.Fatal(err)
	}
	// Closing waits for every request: it returns only if this one has ended.
	p.srv.Close()
	n, err := io.Copy(io.Discard, conn)
	if n >= int64(len(big)) {
		t.Errorf("%d bytes were sent to nobody, %v", n, err)
	}
}

func TestFullDiskIsTold(t *testing.T) {
	t.Parallel()
	dir := roomtest.Disk(t, "size=1m")
	p := openWith(t, dir, registry.Config{})
	big := strings.Repeat("x", 2<<20)
	p.expect(507, "DENIED", "POST", "/v2/shop/blobs/uploads/?digest="+digestOf(big), big)
	if n := p.left(); n != 0 {
		t.Errorf("%d files left", n)
	}
	at := p.begin()
	p.expect(507, "DENIED", "PATCH", at, big)
	p.expect(204, "", "DELETE", at, "")
	p.expect(201, "", "POST", "/v2/shop/blobs/uploads/?digest="+digestOf("small"), "small")
}

func TestDeletedBlobsAreNotMissed(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	img := randomImage(t)
	if err := remote.Write(p.ref("shop:v1"), img, auth); err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	d, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	p.expect(405, "", "DELETE", "/v2/shop/blobs/"+d.String(), "")
	p.expect(200, "", "HEAD", "/v2/shop/blobs/"+d.String(), "")
}

// Clients leave out of a push what they find here; a collection in between must
// not remove it.
func TestWhatWasLookedForStays(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	img := randomImage(t)
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(p.ref("shop@"+digest.String()), img, auth); err != nil {
		t.Fatal(err)
	}
	p.age(2 * time.Hour)
	p.expect(200, "", "HEAD", "/v2/shop/manifests/"+digest.String(), "")
	if _, err := p.images.Collect(t.Context(), nil, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := p.images.Get(digest.String()); err != nil {
		t.Error(err)
	}
	p.age(2 * time.Hour)
	if f, err := p.images.Collect(t.Context(), nil, time.Hour); err != nil || f.Manifests != 1 {
		t.Errorf("freed %+v, %v", f, err)
	}
}

// age sets the last use of everything in the store to that long ago.
func (p *testRegistry) age(by time.Duration) {
	p.t.Helper()
	then := time.Now().Add(-by)
	err := filepath.WalkDir(p.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return os.Chtimes(path, then, then)
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// Many clients push images that share layers, while collections run.
func TestManyPushAtOnce(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	img := randomImage(t)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for j := range 5 {
				if err := remote.Write(p.ref(fmt.Sprintf("r%d:t%d-%d", i%3, i, j)), img, auth); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 10 {
			if _, err := p.images.Collect(t.Context(), nil, time.Hour); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	for i := range 3 {
		if tags, err := remote.List(p.ref(fmt.Sprintf("r%d:x", i)).Context(), auth); err != nil || len(tags) != 10 {
			t.Errorf("tags %v, %v", tags, err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pushed) != 30 {
		t.Errorf("%d pushes were told, want 30", len(p.pushed))
	}
}
