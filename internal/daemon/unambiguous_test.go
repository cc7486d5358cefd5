package daemon

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What two readers may understand differently reaches no handler; the control of each is
// the same request said once.
func TestUnambiguous(t *testing.T) {
	t.Parallel()
	reached := 0
	handler := unambiguous(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	for _, c := range []struct {
		target string
		header http.Header
		want   string // in the refusal; "" for none
	}{
		{"/v2/a/blobs/uploads/?mount=x&from=y", nil, ""},
		{"/v2/a/blobs/uploads/?mount=x&from=y&from=z", nil, `"from" 2 times`},
		{"/v2/a/blobs/uploads/?digest=x&dige%73t=y", nil, `"digest" 2 times`},
		{"/v2/a/tags/list?n=1&n=1", nil, `"n" 2 times`},
		{"/v2/a/tags/list?n=1&last=a;b", nil, "semicolon"},
		{"/v2/a/tags/list?n=%zz", nil, "escape"},
		{"/v2/a/manifests/sha256%3Aab", nil, ""},
		{"/v2/a%2fb/manifests/1", nil, "%2f"},
		{"/v2/a%2Fb/manifests/1", nil, "%2f"},
		{"/v2/a/%2e%2e/b/manifests/1", nil, "%2e"},
		{"/v2/a/%252e/manifests/1", nil, "%25"},
		{"/v2/a%5cb/manifests/1", nil, "%5c"},
		{"/v2/a%00/manifests/1", nil, "%00"},
		{"/", http.Header{"Accept": {"a", "b"}, "X-Amz-Target": {"a"}, "Authorization": {"a"}}, ""},
		{"/", http.Header{"X-Amz-Target": {"a", "b"}}, "X-Amz-Target comes 2 times"},
		{"/", http.Header{"X-Amz-Target": {"a", "a"}}, "X-Amz-Target comes 2 times"},
		{"/", http.Header{"X-Amz-Date": {"a", "b"}}, "X-Amz-Date"},
		{"/", http.Header{"X-Amz-Security-Token": {"a", "b"}}, "X-Amz-Security-Token"},
		{"/", http.Header{"Authorization": {"a", "b"}}, "Authorization"},
		{"/", http.Header{"Content-Type": {"a", "b"}}, "Content-Type"},
		{"/hooks/1", http.Header{"X-Hub-Signature-256": {"a", "b"}}, "X-Hub-Signature-256"},
		{"/hooks/1", http.Header{"X-Gitlab-Token": {"a", "b"}}, "X-Gitlab-Token"},
		{"/hooks/1", http.Header{"X-Event-Key": {"a", "b"}}, "X-Event-Key"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", c.target, nil)
		for name, values := range c.header {
			r.Header[name] = values
		}
		before := reached
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		text, _ := io.ReadAll(w.Body)
		if refused := reached == before; refused != (c.want != "") || refused && (w.Code != http.StatusBadRequest || !strings.Contains(string(text), c.want)) {
			t.Errorf("%s %v: %d %s, want %q", c.target, c.header, w.Code, text, c.want)
		}
	}
}
