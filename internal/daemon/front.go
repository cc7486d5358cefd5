package daemon

import (
	"io"
	"net/http"
	"strings"
)

const (
	frontText = "This is Slipway: App Runner's API and an image registry, for the AWS CLI, SDKs, Terraform and the command slipway. It has no pages.\n"
	frontPage = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Slipway</title><p>" +
		"This is Slipway: App Runner's API and an image registry, for the AWS CLI, SDKs, Terraform and the command <code>slipway</code>. It has no pages.</p></html>\n"
)

// front answers people who open the API's address in a browser: what it is, and nothing
// that tells more about it. Calls, which are signed or name an action, go to the API.
func front(calls http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.URL.RawQuery != "" {
			calls.ServeHTTP(w, r)
			return
		}
		kind, text := "text/plain; charset=utf-8", frontText
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			kind, text = "text/html; charset=utf-8", frontPage
		}
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Vary", "Accept")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		_, _ = io.WriteString(w, text) // the caller is gone when it fails
	})
}
