package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// FuzzClientBytes sends any bytes to a proxy in front of a server of net/http. The server sees
// no more requests than the client got responses, each with the fields of the router once
// and for its host; so no request was smuggled inside another.
func FuzzClientBytes(f *testing.F) {
	for _, s := range []string{
		getLines + "\r\n",
		postLines + "Content-Length: 3\r\n\r\nabc" + getLines + "\r\n",
		postLines + "Transfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n0\r\nX: y\r\n\r\n" + getLines + "\r\n",
		postLines + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
		"GET http://shop.test/a HTTP/1.0\r\nHost: shop.test\r\nConnection: keep-alive, X\r\nX: y\r\n\r\n",
		postLines + "Expect: 100-continue\r\nContent-Length: 1\r\n\r\na",
	} {
		f.Add([]byte(s))
	}
	// Requests are counted by the client's address, one for each input: a request that its
	// client broke off may reach the instance's handler late.
	var n uint32
	var bad atomic.Int64
	var requests sync.Map // address -> *atomic.Int64
	w := newFixture(f, nil)
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if c, ok := requests.Load(r.Header.Get("X-Forwarded-For")); ok {
			c.(*atomic.Int64).Add(1)
		}
		if len(r.Header["X-Forwarded-For"]) != 1 || len(r.Header["X-Request-Id"]) != 1 || r.Header.Get("X-Forwarded-Host") != r.Host {
			bad.Add(1)
		}
		io.Copy(io.Discard, r.Body)
		io.WriteString(rw, "ok")
	}))
	f.Fuzz(func(t *testing.T, in []byte) {
		if upgrades(in) {
			return // a tunnel's bytes are the client's own affair
		}
		n = n%1_000_000 + 1
		from := net.IPv4(127, 1+byte(n>>16), byte(n>>8), byte(n))
		var count atomic.Int64
		requests.Store(from.String(), &count)
		defer requests.Delete(from.String())
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}).Dial("tcp", w.addr)
		if err != nil {
			t.Skip(err) // out of ports for a moment
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute)) // protects against hanging; not a limit
		go func() {
			c.Write(in)
			closeWrite(c)
		}()
		all, err := io.ReadAll(c)
		if err != nil {
			t.Fatalf("after %q: %v", all, err)
		}
		answers := int64(countResponses(t, all, in))
		eventually(t, "no request in flight", func() bool { return w.inFlight() == 0 })
		// A request whose body the client broke off reaches the instance and gets no answer.
		if seen := count.Load(); seen > answers+1 {
			t.Fatalf("the instance saw %d requests, the client got %d answers:\n%q", seen, answers, all)
		}
		if bad.Load() > 0 {
			t.Fatal("the instance saw a request without the fields of the router")
		}
	})
}

// upgrades reports whether bytes may ask for a protocol.
func upgrades(in []byte) bool { return bytes.Contains(bytes.ToLower(in), []byte("upgrade")) }

// countResponses reads responses up to the end and returns how many. The methods of the
// requests decide which have no body.
func countResponses(t *testing.T, all, in []byte) (n int) {
	if bytes.Contains(in, []byte("HEAD ")) {
		return bytes.Count(all, []byte("HTTP/1.1 "))
	}
	r := bufio.NewReader(bytes.NewReader(all))
	for {
		if _, err := r.Peek(1); err != nil {
			return n
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("%q is no response: %v", all, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatalf("body in %q: %v", all, err)
		}
		if resp.StatusCode >= 200 {
			n++
		}
	}
}

// FuzzInstanceBytes answers a request with any bytes. The client never gets a second final
// response, or bytes that are no response; the next request gets its own.
func FuzzInstanceBytes(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n0\nX: y\n\n",
		"HTTP/1.0 200\r\nX : a\r\n b\r\n\r\nabc",
		"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nabcde",
	} {
		f.Add([]byte(s), true)
	}
	var answer atomic.Pointer[[]byte]
	w := newFixture(f, nil)
	w.addRaw("a", func(c net.Conn, r *bufio.Reader) {
		readMessage(r)
		c.Write(*answer.Load())
	})
	f.Fuzz(func(t *testing.T, in []byte, modern bool) {
		answer.Store(&in)
		minor := 0
		if modern {
			minor = 1
		}
		c, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Skip(err) // out of ports for a moment
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute)) // protects against hanging; not a limit
		io.WriteString(c, "GET / HTTP/1."+strconv.Itoa(minor)+"\r\nHost: shop.test\r\n\r\n"+
			"GET / HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n")
		all, err := io.ReadAll(c)
		if err != nil {
			return // cut, as it must be for a response without another end
		}
		r := bufio.NewReader(bytes.NewReader(all))
		var finals []int
		for len(finals) < 3 {
			if _, err := r.Peek(1); err != nil {
				break
			}
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				if strings.Contains(err.Error(), "malformed") && foreign(all) {
					return
				}
				t.Fatalf("%q is no response: %v", all, err)
			}
			if resp.StatusCode >= 200 {
				finals = append(finals, resp.StatusCode)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				break // broken off: the connection ends there
			}
		}
		if len(finals) > 2 || len(finals) == 2 && finals[1] != 404 {
			t.Fatalf("the client got the responses %d:\n%q", finals, all)
		}
	})
}

// foreign reports whether a head has what net/http refuses and the engine passes on:
// control characters in values.
func foreign(all []byte) bool {
	for line := range bytes.Lines(all) {
		for _, b := range bytes.TrimRight(line, "\r\n") {
			if b < ' ' && b != '\t' || b == 0x7f {
				return true
			}
		}
	}
	return false
}
