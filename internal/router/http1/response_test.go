package http1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// findResponse parses the head that b begins with, as an engine does.
func findResponse(r *Response, b []byte) (end int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	if end, _, err = FindResponse(b, 0); err != nil || end == 0 {
		return 0, err
	}
	return end, r.Parse(b[:end])
}

// The end of the head of a response is found however it is split.
func TestResponseInPieces(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody", "HTTP/1.1 200 OK\nA: b\n\nbody",
		"HTTP/1.1 200 OK\r\nA: b\r\n\nbody", "HTTP/1.1 200 OK\nA: b\n\r\nbody", "HTTP/1.1 200 OK\r\n\r\nbody",
	} {
		for step := 1; step <= len(in); step++ {
			end, from := 0, 0
			for n := 0; n < len(in) && end == 0; {
				n = min(n+step, len(in))
				var err error
				if end, from, err = FindResponse([]byte(in[:n]), from); err != nil {
					t.Fatalf("%q in steps of %d: %v", in, step, err)
				}
			}
			if want := len(in) - len("body"); end != want {
				t.Errorf("%q in steps of %d: ends at %d, want %d", in, step, end, want)
			}
		}
	}
}

// Where net/http accepts a response as well, it reads the same facts. What it refuses and
// passes here has one of the leniencies of docs/http.md.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.0 304\nContent-Length : 3, 3\nX: a\n b\n\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nConnection: close, x\r\nX:\r\n\r\n",
		"HTTP/1.0 700\nContent-Length :0\n\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var r Response
		b := bytes.Clone(in) // Parse writes to it
		end, err := findResponse(&r, b)
		if end == 0 || err != nil {
			if err != nil && !errors.Is(err, ErrResponse) && !errors.Is(err, ErrResponseSize) {
				t.Fatalf("failed with %v", err)
			}
			return
		}
		for _, x := range r.Fields {
			if !isToken(x.Name) || bytes.ContainsAny(x.Value, "\r\n\x00") {
				t.Fatalf("field %q: %q passes", x.Name, x.Value)
			}
		}
		if bytes.ContainsAny(r.Reason, "\r\n\x00") || r.Status < 100 || r.Status > 999 {
			t.Fatalf("status %d %q passes", r.Status, r.Reason)
		}
		if r.Chunked && r.Length >= 0 {
			t.Fatal("two lengths pass")
		}
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(in[:end])), &http.Request{Method: "GET"})
		if err != nil {
			if !lenient(in[:end], &r) {
				t.Fatalf("net/http refuses what passes without a leniency: %v", err)
			}
			return
		}
		if r.Status != resp.StatusCode || int(r.Minor) != resp.ProtoMinor || resp.ProtoMajor != 1 {
			t.Fatalf("%d of 1.%d, for net/http %d of %s", r.Status, r.Minor, resp.StatusCode, resp.Proto)
		}
		if respelled(in[:end]) {
			return // net/http takes "Content-Length :" for another field
		}
		if !r.Bodiless([]byte("GET")) {
			if chunked := fmt.Sprint(resp.TransferEncoding) == "[chunked]"; chunked != r.Chunked {
				t.Fatalf("chunked is %v, for net/http %v", r.Chunked, chunked)
			}
			if resp.ContentLength != r.Length {
				t.Fatalf("length is %d, for net/http %d", r.Length, resp.ContentLength)
			}
		}
		sameFields(t, r.Fields, resp.Header, TransferEncoding, Trailer, ContentLength, Connection)
	})
}

// lenient reports whether a head that passed has what only this package accepts.
func lenient(head []byte, r *Response) bool {
	for _, f := range r.Fields {
		if f.Kind == TransferEncoding || f.Kind == Trailer || !isValue(f.Value) {
			return true // "identity", two lengths, control characters
		}
		if f.Kind == ContentLength && bytes.IndexByte(f.Value, ',') >= 0 {
			return true
		}
	}
	return respelled(head) || !isValue(r.Reason)
}

// respelled reports whether a head has white space before a colon or folded values, which
// do not pass as they came.
func respelled(head []byte) bool {
	for line := range strings.Lines(string(head)) {
		if name, _, ok := strings.Cut(line, ":"); ok && strings.TrimRight(name, " \t") != name {
			return true
		}
		if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			return true
		}
	}
	return false
}
