package registry_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/registry"
)

// FuzzRequest sends requests of any shape. None may cause an internal error or
// leave anything outside the store.
func FuzzRequest(f *testing.F) {
	for _, path := range []string{
		"/v2/", "/v2", "/v2/_catalog?n=1&last=a", "/v2/a/tags/list", "/v2/a/b/manifests/v1", "/v2/a/blobs/" + digestOf("x"),
		"/v2/a/blobs/uploads/", "/v2/a/blobs/uploads/?digest=" + digestOf("x"), "/v2/a/blobs/uploads/1?digest=2", "/v2/a/referrers/" + digestOf("x"),
		"/v2/../../manifests/x", "/v2/a/manifests/../../../x", "/v2//manifests/x", "/v2/_tags/manifests/x",
	} {
		for i := range methodsToTry {
			f.Add(byte(i), path, "0-0", "x")
		}
	}
	base := f.TempDir()
	dir := filepath.Join(base, "store")
	images, err := image.Open(image.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { images.Close() })
	h, err := registry.New(registry.Config{
		Images: images, Log: slog.New(slog.DiscardHandler), Idle: 1, Uploads: 10,
		Authenticate: func(context.Context, string, string) (bool, error) { return true, nil },
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method byte, target, contentRange, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") {
			return
		}
		r := httptest.NewRequest(methodsToTry[int(method)%len(methodsToTry)], "/", strings.NewReader(body))
		r.URL = u
		r.SetBasicAuth(user, secret)
		r.Header.Set("Content-Range", contentRange)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %s: %d %s", r.Method, target, w.Code, w.Body)
		}
		if left, err := os.ReadDir(base); err != nil || len(left) != 1 {
			t.Errorf("beside the store: %v, %v", left, err)
		}
	})
}

var methodsToTry = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, "BREW"}
