package image_test

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// Small answers are read no further than a manifest may be, whatever a registry sends:
// they are kept in memory.
func TestEndlessAnswers(t *testing.T) {
	t.Parallel()
	const endless = 256 << 20
	for _, at := range []string{"/token", "/v2/", "/manifests/", "/blobs/"} {
		t.Run(strings.Trim(at, "/"), func(t *testing.T) {
			t.Parallel()
			s, up := open(t), newUpstream(t)
			ref := up.push(t, small(t, "a"), "hello:1")
			var sent atomic.Int64
			up.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
				asked := r.URL.Path == at || len(at) > 4 && at != "/token" && strings.Contains(r.URL.Path, at)
				if !asked && (at != "/token" || r.URL.Path != "/v2/") {
					return false
				}
				if at == "/token" && r.URL.Path == "/v2/" {
					w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="x"`)
					w.WriteHeader(http.StatusUnauthorized)
					return true
				}
				if at != "/token" {
					w.WriteHeader(http.StatusForbidden)
				}
				part := []byte(`{"token":"` + strings.Repeat("x", 1<<20))
				for r.Method != http.MethodHead && sent.Load() < endless {
					n, err := w.Write(part)
					sent.Add(int64(n))
					if err != nil {
						return true
					}
				}
				return true
			})
			if _, err := s.Pull(t.Context(), ref, nil); err == nil {
				t.Error("the image was pulled")
			} else if errors.Is(err, t.Context().Err()) {
				t.Error(err)
			}
			// What is read, and what the sockets hold, for each of a few attempts.
			if n := sent.Load(); n > 128<<20 {
				t.Errorf("%d MiB of an answer were taken", n>>20)
			}
		})
	}
}
