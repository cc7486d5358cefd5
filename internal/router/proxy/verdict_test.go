package proxy

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/router/http1"
)

// A verdict comes back from net/http as it was, whatever the target.
func TestVerdict(t *testing.T) {
	t.Parallel()
	for _, want := range []verdict{{status: 400}, {status: 431}, {target: "/100%"}, {target: "/%zz:\xff?a=b"}, {target: "/"}} {
		req := parseRequest("GET " + want.encode() + " HTTP/1.1\r\nHost: a\r\n\r\n")
		if got := verdictOf(req); got != want {
			t.Errorf("%+v became %+v", want, got)
		}
	}
	if got := verdictOf(parse("")); got != (verdict{target: "/"}) {
		t.Errorf("without a verdict: %+v", got)
	}
}

// http1 and net/http agree on whether a request asks for another protocol.
func FuzzUpgrade(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		"GET http://a/p HTTP/1.1\r\nHost: a\r\nConnection: x, Upgrade\r\nUpgrade: x\r\n\r\n",
		"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		in = bytes.TrimPrefix(in, []byte("\r\n"))
		var s http1.HeadScanner
		end, status := s.Find(in)
		if end == 0 || status != 0 || s.LeadingBlank {
			return
		}
		h, status := http1.ParseHead(in[:end])
		if status != 0 {
			return
		}
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(in)))
		if err != nil {
			if strings.Contains(err.Error(), "parse ") {
				return
			}
			t.Fatalf("net/http refuses what passed: %v", err)
		}
		if up := upgradeOf(req) != ""; up != h.Upgrade {
			t.Fatalf("upgrade is %v, for net/http %v", h.Upgrade, up)
		}
	})
}
