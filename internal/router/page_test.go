package router

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestPrefersHTML(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		accept []string
		want   bool
	}{
		{nil, false},
		{[]string{"*/*"}, false},
		{[]string{"text/html"}, true},
		{[]string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, true},
		{[]string{"application/json"}, false},
		{[]string{"application/json, text/html;q=0.5"}, false},
		{[]string{"application/json;q=0.5", "Text/HTML"}, true},
		{[]string{"text/html;q=0"}, false},
		{[]string{"text/html;q=rubbish"}, false},
		{[]string{"text/html;q=NaN"}, false},
		{[]string{"text/html;q=7"}, false},
		{[]string{"text/html;level=1;Q=1.0"}, true},
		{[]string{",;,", "=;q"}, false},
	} {
		if got := prefersHTML(c.accept); got != c.want {
			t.Errorf("prefersHTML(%q) = %v, want %v", c.accept, got, c.want)
		}
	}
}

func FuzzPrefersHTML(f *testing.F) {
	f.Add("text/html;q=0.5, application/json")
	f.Fuzz(func(t *testing.T, accept string) {
		if prefersHTML([]string{accept}) && !strings.Contains(strings.ToLower(accept), "html") {
			t.Fatalf("%q asks for no HTML", accept)
		}
	})
}

func TestEveryPageIsWellFormed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for id, p := range pages {
		if p.code == "" || seen[p.code] || http.StatusText(p.status) == "" {
			t.Errorf("page %d: code %q, status %d", id, p.code, p.status)
		}
		seen[p.code] = true
		var v struct {
			Status         int
			Error, Message string
		}
		if err := json.Unmarshal(p.json, &v); err != nil || v.Status != p.status || v.Error != p.code || v.Message == "" {
			t.Errorf("%s: %s: %v", p.code, p.json, err)
		}
		d := xml.NewDecoder(strings.NewReader(strings.ReplaceAll(string(p.html), `<meta charset="utf-8">`, "")))
		d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
		var elements []string
		for {
			tok, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", p.code, err)
			}
			if e, ok := tok.(xml.StartElement); ok {
				elements = append(elements, e.Name.Local)
			}
		}
		for _, want := range []string{"html", "title", "main", "h1"} {
			if n := strings.Count(" "+strings.Join(elements, " ")+" ", " "+want+" "); n != 1 {
				t.Errorf("%s has %d <%s>, want one: %v", p.code, n, want, elements)
			}
		}
	}
}

func TestStateIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		state  state
		host   string
		status int
		code   string
	}{
		{"paused", paused, testHost, 503, "service_paused"},
		{"unborn", notDeployed, testHost, 503, "service_not_deployed"},
		{"deleted", deleted, testHost, 404, "unknown_service"},
		{"unknown", running, "nobody.test", 404, "unknown_service"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t, nil)
			w.apply(func(r *route) { r.state = c.state })
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
	w := newFixture(t, func(c *Config) { c.QueueLeast = 2 })
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
