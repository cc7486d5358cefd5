package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRoutes(t *testing.T) {
	t.Parallel()
	h := routes("Good <morning>")
	for _, r := range []struct {
		path, accept string
		status       int
		body         string
	}{
		{"/", "*/*", http.StatusOK, "Good <morning> from instance "},
		{"/", "text/html,*/*", http.StatusOK, "<h1>Good &lt;morning&gt;</h1>"},
		{"/healthz", "", http.StatusOK, "ok\n"},
		{"/nothing", "", http.StatusNotFound, "404 page not found\n"},
	} {
		req := httptest.NewRequest(http.MethodGet, r.path, nil)
		req.Header.Set("Accept", r.accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != r.status || !strings.Contains(w.Body.String(), r.body) {
			t.Errorf("GET %s (Accept: %s) = %d %q, want %d and %q", r.path, r.accept, w.Code, w.Body, r.status, r.body)
		}
	}
}
