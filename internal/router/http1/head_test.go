package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// head is what the framing of a request depends on.
type head struct {
	Length  int64
	Chunked bool
	Upgrade bool
}

// checkHead finds and parses the head that b begins with, as an engine does.
func checkHead(b []byte) (h head, end, status int) {
	var s HeadScanner
	if end, status = s.Find(b); status != 0 || end == 0 {
		return h, 0, status
	}
	from := 0
	if s.LeadingBlank {
		from = len(crlf)
	}
	var r Request
	if status = r.Parse(b[from:end]); status != 0 {
		return h, end, status
	}
	return head{r.Length, r.Chunked, len(r.Protocol) > 0}, end, 0
}

func TestHead(t *testing.T) {
	t.Parallel()
	const get = "GET / HTTP/1.1\r\nHost: shop.example\r\n"
	const post = "POST / HTTP/1.1\r\nHost: shop.example\r\n"
	for _, c := range []struct {
		name, in string
		status   int
		want     head
	}{
		{"plain", get + "\r\n", 0, head{}},
		{"one empty line first", "\r\n" + get + "\r\n", 0, head{}},
		{"no host in 1.0", "GET / HTTP/1.0\r\n\r\n", 0, head{}},
		{"value with tab and high bytes", get + "X-A: a\tb\xe4\r\n\r\n", 0, head{}},
		{"empty value", get + "X-A:\r\n\r\n", 0, head{}},
		{"length", post + "Content-Length: 42\r\n\r\n", 0, head{Length: 42}},
		{"length zero", post + "Content-Length: 0\r\n\r\n", 0, head{}},
		{"chunked", post + "Transfer-Encoding: Chunked\r\n\r\n", 0, head{Chunked: true}},
		{"absolute", "GET http://shop.example/p HTTP/1.1\r\nHost: SHOP.example:80\r\n\r\n", 0, head{}},
		{"absolute without path", "GET https://shop.example?q HTTP/1.1\r\nHost: shop.example\r\n\r\n", 0, head{}},
		{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: shop.example\r\n\r\n", 0, head{}},
		{"websocket", get + "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", 0, head{Upgrade: true}},
		{"h2c is served as it is", get + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n", 0, head{}},
		{"upgrade not in connection", get + "Upgrade: websocket\r\n\r\n", 0, head{}},
		{"upgrade with a body", post + "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\n", 0, head{Length: 1}},
		{"upgrade in 1.0", "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 0, head{}},
		{"two protocols", get + "Connection: upgrade\r\nUpgrade: websocket, x\r\n\r\n", 0, head{}},
		{"continue", post + "Content-Length: 1\r\nExpect: 100-Continue\r\n\r\n", 0, head{Length: 1}},
		{"200 fields", get + strings.Repeat("A: b\r\n", 199) + "\r\n", 0, head{}},

		{"bare LF", "GET / HTTP/1.1\nHost: shop.example\n\n", 400, head{}},
		{"one bare LF", get + "X-A: b\n\r\n", 400, head{}},
		{"bare LF as last line", get + "\n", 400, head{}},
		{"bare CR in value", get + "X-A: b\rc\r\n\r\n", 400, head{}},
		{"two CR", get + "X-A: b\r\r\n\r\n", 400, head{}},
		{"NUL in value", get + "X-A: b\x00c\r\n\r\n", 400, head{}},
		{"DEL in value", get + "X-A: b\x7fc\r\n\r\n", 400, head{}},
		{"folded line", get + "X-A: b\r\n c\r\n\r\n", 400, head{}},
		{"space before colon", get + "X-A : b\r\n\r\n", 400, head{}},
		{"empty name", get + ": b\r\n\r\n", 400, head{}},
		{"no colon", get + "X-A\r\n\r\n", 400, head{}},
		{"name no token", get + "X(A): b\r\n\r\n", 400, head{}},
		{"name with high byte", get + "X-\xe4: b\r\n\r\n", 400, head{}},
		{"method no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, head{}},
		{"two empty lines first", "\r\n\r\n" + get + "\r\n", 400, head{}},
		{"space in target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, head{}},
		{"tab in target", "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", 400, head{}},
		{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, head{}},
		{"no version", "GET /\r\nHost: a\r\n\r\n", 400, head{}},
		{"no slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, head{}},
		{"opaque target", "GET a:b HTTP/1.1\r\nHost: a\r\n\r\n", 400, head{}},
		{"asterisk for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, head{}},
		{"connect", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 405, head{}},
		{"version 2", "PRI * HTTP/2.0\r\n\r\n", 505, head{}},
		{"version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, head{}},
		{"version rubbish", "GET / http/1.1\r\nHost: a\r\n\r\n", 400, head{}},
		{"no host", "GET / HTTP/1.1\r\n\r\n", 400, head{}},
		{"two hosts", get + "Host: shop.example\r\n\r\n", 400, head{}},
		{"two hosts in 1.0", "GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n", 400, head{}},
		{"bad host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, head{}},
		{"absolute names another host", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400, head{}},
		{"absolute with user", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, head{}},
		{"absolute of another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, head{}},
		{"absolute without host", "GET http:///p HTTP/1.1\r\nHost: a\r\n\r\n", 400, head{}},
		{"absolute with fragment", "GET http://a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, head{}},
		{"length and chunked", post + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, head{}},
		{"chunked and length", post + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400, head{}},
		{"two lengths", post + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400, head{}},
		{"length list", post + "Content-Length: 1, 1\r\n\r\n", 400, head{}},
		{"length signed", post + "Content-Length: +1\r\n\r\n", 400, head{}},
		{"length negative", post + "Content-Length: -1\r\n\r\n", 400, head{}},
		{"length hex", post + "Content-Length: 0x1\r\n\r\n", 400, head{}},
		{"length empty", post + "Content-Length:\r\n\r\n", 400, head{}},
		{"length too long", post + "Content-Length: 1000000000000000000\r\n\r\n", 400, head{}},
		{"coding unknown", post + "Transfer-Encoding: gzip\r\n\r\n", 501, head{}},
		{"coding list", post + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, head{}},
		{"coding disguised", post + "Transfer-Encoding: \x0bchunked\r\n\r\n", 400, head{}},
		{"coding twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400, head{}},
		{"coding in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, head{}},
		{"expect unknown", get + "Expect: tea\r\n\r\n", 417, head{}},
		{"line too long", "GET /" + strings.Repeat("a", MaxRequestLine) + " HTTP/1.1\r\n\r\n", 414, head{}},
		{"line too long without end", "GET /" + strings.Repeat("a", MaxRequestLine), 414, head{}},
		{"head too long", get + "X-A: " + strings.Repeat("a", MaxHead) + "\r\n\r\n", 431, head{}},
		{"head too long without end", get + "X-A: " + strings.Repeat("a", MaxHead), 431, head{}},
		{"201 fields", get + strings.Repeat("A: b\r\n", 200) + "\r\n", 431, head{}},
	} {
		h, end, status := checkHead([]byte(c.in))
		if status != c.status || h != c.want {
			t.Errorf("%s: %+v, status %d; want %+v, %d", c.name, h, status, c.want, c.status)
		}
		if status == 0 && end != len(c.in) {
			t.Errorf("%s: ends at %d of %d", c.name, end, len(c.in))
		}
	}
}

// The end of a head is found however the head is split.
func TestHeadInPieces(t *testing.T) {
	t.Parallel()
	in := []byte("\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
	want := len(in) - 5
	for step := 1; step <= len(in); step++ {
		var s HeadScanner
		end := 0
		for n := 0; n < len(in) && end == 0; {
			n = min(n+step, len(in))
			var status int
			if end, status = s.Find(in[:n]); status != 0 {
				t.Fatalf("in steps of %d: refused with %d", step, status)
			}
		}
		if end != want {
			t.Errorf("in steps of %d: ends at %d, want %d", step, end, want)
		}
	}
}

// net/http accepts every head that passes and reads the same facts from it: both agree where
// a message ends, whom it is for and what it says.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /p?q HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET http://a/p HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		"GET http://[::1]/ HTTP/1.0\r\nHost: [::1]\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: a:80\r\nExpect: 100-continue\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX: b \tc \r\nx:\r\nConnection: close, x\r\nTrailer: y\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var s HeadScanner
		end, status := s.Find(in)
		if end == 0 || status != 0 {
			return
		}
		head := bytes.TrimPrefix(in[:end], crlf)
		var r Request
		if r.Parse(head) != 0 {
			return
		}
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err != nil {
			// net/http parses the target as a URL and may refuse it.
			if strings.Contains(err.Error(), "parse ") {
				return
			}
			t.Fatalf("net/http refuses what passed: %v", err)
		}
		if string(r.Method) != req.Method || string(r.Target) != req.RequestURI || int(r.Minor) != req.ProtoMinor || req.ProtoMajor != 1 {
			t.Fatalf("%s %s 1.%d, for net/http %s %s %s", r.Method, r.Target, r.Minor, req.Method, req.RequestURI, req.Proto)
		}
		if string(r.Host) != req.Host {
			t.Fatalf("host %q, for net/http %q", r.Host, req.Host)
		}
		if chunked := fmt.Sprint(req.TransferEncoding) == "[chunked]"; chunked != r.Chunked {
			t.Fatalf("chunked is %v, for net/http %v", r.Chunked, chunked)
		}
		if !r.Chunked && req.ContentLength != r.Length {
			t.Fatalf("length is %d, for net/http %d", r.Length, req.ContentLength)
		}
		// It takes away what it has read into other members.
		sameFields(t, r.Fields, req.Header, Host, TransferEncoding, Trailer)
	})
}

// sameFields checks that the fields of a head are those that net/http has read.
func sameFields(t *testing.T, fields []Field, theirs http.Header, but ...Kind) {
	t.Helper()
	ours := http.Header{}
	for _, f := range fields {
		if !slices.Contains(but, f.Kind) {
			k := http.CanonicalHeaderKey(string(f.Name))
			ours[k] = append(ours[k], string(f.Value))
		}
	}
	theirs = theirs.Clone()
	for k := range theirs {
		if slices.Contains(but, KindOf([]byte(k))) {
			delete(theirs, k)
		}
	}
	if fmt.Sprintf("%q", ours) != fmt.Sprintf("%q", theirs) { // maps are printed in order
		t.Fatalf("fields %q, for net/http %q", ours, theirs)
	}
}
