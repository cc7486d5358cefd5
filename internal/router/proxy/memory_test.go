package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Heads that do not fit into a pooled buffer take no more memory together than is allowed:
// whoever comes then is told so, and those who come later are served.
func TestLargeHeadsAreBounded(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.proxy.memory.most = 96 << 10 // a head that grows has its memory twice for a moment
	w.add("a", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	head := "GET / HTTP/1.1\r\nHost: shop.test\r\nX-Large: " + strings.Repeat("a", 20<<10)
	used := func(holds func(n int64) bool) func() bool {
		return func() bool { return holds(w.proxy.memory.used.Load()) }
	}
	first, second := w.dial(), w.dial()
	first.send(head)
	eventually(t, "the first head has its memory", used(func(n int64) bool { return n == 32<<10 }))
	second.send(head)
	eventually(t, "the second, too", used(func(n int64) bool { return n == 64<<10 }))
	third := w.dial()
	third.send(head)
	if resp, body := third.response("GET"); resp.StatusCode != 503 || !strings.Contains(body, "server_busy") || resp.Header.Get("Retry-After") == "" {
		t.Errorf("the third head gets %d %q, want 503 with Retry-After", resp.StatusCode, body)
	}
	if resp, _ := w.get("/"); resp.StatusCode != 200 {
		t.Errorf("a small request gets %d", resp.StatusCode)
	}
	first.send("\r\n\r\n")
	if resp, _ := first.response("GET"); resp.StatusCode != 200 {
		t.Errorf("the first request gets %d", resp.StatusCode)
	}
	second.Close()
	eventually(t, "all memory is given back", used(func(n int64) bool { return n == 0 }))
	for n := range 20 { // kept connections give it back as well
		c := w.dial()
		c.send(head + fmt.Sprintf("\r\nX-N: %d\r\n\r\n", n))
		if resp, _ := c.response("GET"); resp.StatusCode != 200 {
			t.Fatalf("request %d gets %d", n, resp.StatusCode)
		}
	}
	eventually(t, "all memory is given back again", used(func(n int64) bool { return n == 0 }))
}
