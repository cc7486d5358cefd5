package daemon

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A browser is told what the address is; calls go to the API as before.
func TestFront(t *testing.T) {
	t.Parallel()
	calls := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, tc := range []struct {
		what, target, accept, authorization string
		status                              int
		kind                                string
	}{
		{"a browser", "/", "text/html,application/xhtml+xml", "", 200, "text/html; charset=utf-8"},
		{"curl", "/", "*/*", "", 200, "text/plain; charset=utf-8"},
		{"nothing said", "/", "", "", 200, "text/plain; charset=utf-8"},
		{"a signed call", "/", "text/html", "AWS4-HMAC-SHA256 ...", http.StatusTeapot, ""},
		{"a call by query", "/?Action=GetUser", "", "", http.StatusTeapot, ""},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, tc.target, nil)
		r.Header.Set("Accept", tc.accept)
		r.Header.Set("Authorization", tc.authorization)
		w := httptest.NewRecorder()
		front(calls).ServeHTTP(w, r)
		if w.Code != tc.status || w.Header().Get("Content-Type") != tc.kind {
			t.Errorf("%s: %d, %q", tc.what, w.Code, w.Header().Get("Content-Type"))
		}
		if w.Code == 200 && !strings.Contains(w.Body.String(), "This is Slipway") {
			t.Errorf("%s: %q", tc.what, w.Body)
		}
	}
}
