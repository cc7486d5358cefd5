package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/router"
)

func TestStateIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		state  router.State
		host   string
		status int
		code   string
	}{
		{"paused", router.Paused, testHost, 503, "service_paused"},
		{"not deployed", router.NotDeployed, testHost, 503, "service_not_deployed"},
		{"deleted", router.Deleted, testHost, 404, "unknown_service"},
		{"unknown", router.Running, "nobody.test", 404, "unknown_service"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t, nil)
			w.apply(func(r *router.Route) { r.State = c.state })
			cl := w.dial()
			cl.send("GET /secret-path?secret-query HTTP/1.1\r\nHost: " + c.host + "\r\nAccept: text/html\r\nX-Secret: secret-value\r\n\r\n")
			resp, body := cl.response("GET")
			if resp.StatusCode != c.status || !strings.Contains(body, "<h1>") || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Errorf("HTML: %d %v %q", resp.StatusCode, resp.Header, body)
			}
			if strings.Contains(body, "secret") || strings.Contains(body, c.host) {
				t.Errorf("the page echoes the request: %q", body)
			}
			if p := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(p, "default-src 'none'") {
				t.Errorf("Content-Security-Policy %q", p)
			}
			cl.send("GET / HTTP/1.1\r\nHost: " + c.host + "\r\n\r\n")
			resp, body = cl.response("GET")
			if resp.StatusCode != c.status || !strings.Contains(body, `"`+c.code+`"`) || resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("JSON: %d %v %q", resp.StatusCode, resp.Header, body)
			}
			if resp.Header.Get("X-Request-Id") == "" || resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Retry-After") != "" {
				t.Errorf("header %v", resp.Header)
			}
			cl.send("HEAD / HTTP/1.1\r\nHost: " + c.host + "\r\n\r\n")
			if resp, rest := cl.response("HEAD"); resp.ContentLength != int64(len(body)) || rest != "" {
				t.Errorf("HEAD: length %d and %q, want %d and nothing", resp.ContentLength, rest, len(body))
			}
			cl.send("POST / HTTP/1.1\r\nHost: " + c.host + "\r\nContent-Length: 5\r\n\r\nhello")
			if resp, _ := cl.response("POST"); resp.StatusCode != c.status {
				t.Errorf("POST: %d", resp.StatusCode)
			}
		})
	}
}

func TestTooManyWaiting(t *testing.T) {
	t.Parallel()
	w := newFixture(t, func(c *router.Config, _ *Config) { c.QueueLeast = 2 })
	var cs []*client
	for range 2 {
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		cs = append(cs, c)
	}
	eventually(t, "two wait", func() bool { return w.waiting() == 2 })
	if resp, body := w.get("/"); resp.StatusCode != 429 || !strings.Contains(body, "too_many_requests") || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %q, want 429", resp.StatusCode, body)
	}
	w.mu.Lock()
	nudges := w.nudges
	w.mu.Unlock()
	if nudges != 2 {
		t.Errorf("nudged %d times, want 2", nudges)
	}
	w.add("a", text("ok"))
	for _, c := range cs {
		if resp, _ := c.response("GET"); resp.StatusCode != 200 {
			t.Errorf("%d for one that waited", resp.StatusCode)
		}
	}
}

// A service whose instances keep ending answers at once, and says when to try again.
func TestNoInstanceReady(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	next := time.Now().Add(time.Hour)
	w.apply(func(r *router.Route) { r.Outlook = router.Outlook{From: next, Until: next.Add(time.Hour), Next: next} })
	resp, body := w.get("/")
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "300" || !strings.Contains(body, "no_instance_ready") {
		t.Errorf("%d %v %q", resp.StatusCode, resp.Header, body)
	}
}
