package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
)

// okResponse says that the connection stays open, so that the next request uses it at once.
const okResponse = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"

// A request that an instance may have read is not sent again, whatever its method:
// one that ends an instance would end the next.
func TestReadRequestIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, head := range []string{
		"GET / HTTP/1.1\r\n", "HEAD / HTTP/1.1\r\n", "DELETE / HTTP/1.1\r\n", "PUT / HTTP/1.1\r\nContent-Length: 0\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 0\r\n", "POST / HTTP/1.1\r\nContent-Length: 0\r\nIdempotency-Key: 1\r\n",
	} {
		for name, end := range map[string]func(net.Conn){
			"closed": func(c net.Conn) { c.Close() },
			"reset":  func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() },
			"begun":  func(c net.Conn) { io.WriteString(c, "HTTP/1.1 2"); c.Close() },
		} {
			if name != "closed" && head[:3] != "GET" {
				continue
			}
			for _, warm := range []bool{false, true} {
				t.Run(head[:4]+name, func(t *testing.T) {
					t.Parallel()
					w := newFixture(t, nil)
					var crashes atomic.Int32
					for _, id := range []string{"a", "b"} {
						w.addRaw(id, func(c net.Conn, r *bufio.Reader) {
							if warm {
								if _, err := http.ReadRequest(r); err != nil {
									return
								}
								io.WriteString(c, okResponse)
							}
							if _, err := http.ReadRequest(r); err == nil {
								crashes.Add(1)
								end(c)
							}
						})
					}
					if warm { // a connection to each, both pooled
						first, second := w.dial(), w.dial()
						first.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
						second.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
						first.response("GET")
						second.response("GET")
						eventually(t, "idle", func() bool { return w.inFlight() == 0 })
					}
					c := w.dial()
					c.send(head + "Host: shop.test\r\n\r\n")
					if resp, _ := c.response("HEAD"); resp.StatusCode != 502 {
						t.Errorf("status %d, want 502", resp.StatusCode)
					}
					if n := crashes.Load(); n != 1 {
						t.Errorf("%d instances got the request", n)
					}
				})
			}
		}
	}
}

// A pooled connection that the instance closed before the request arrived causes no
// failure: nothing can have been executed. The router here learns of the end only
// after it has written the request.
func TestStaleConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	} {
		t.Run(request[:4], func(t *testing.T) {
			t.Parallel()
			w := newFixture(t, nil)
			w.lateEnds = true
			var requests atomic.Int32
			closed := make(chan struct{}, 100)
			w.addRaw("a", func(c net.Conn, r *bufio.Reader) {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				io.Copy(io.Discard, req.Body)
				requests.Add(1)
				io.WriteString(c, okResponse)
				c.Close()
				closed <- struct{}{}
			})
			for n := range int32(5) {
				c := w.dial()
				c.send(request)
				if resp, body := c.response("GET"); resp.StatusCode != 200 || body != "ok" {
					t.Fatalf("request %d: %d %q", n, resp.StatusCode, body)
				}
				<-closed
			}
			if n := requests.Load(); n != 5 {
				t.Errorf("the instance got %d requests, want 5", n)
			}
		})
	}
}
