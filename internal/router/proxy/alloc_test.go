package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/router"
)

// raceDetector is set in a binary with the race detector, where pools drop at random.
var raceDetector bool

// A request whose body, if any, comes with its head allocates nothing in the steady state.
// The test is not parallel: it counts the allocations of the process.
func TestRequestAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("pools keep nothing reliably with the race detector")
	}
	t.Run("without an access log", func(t *testing.T) { testAllocations(t, slipway.RoutingSettings{}) })
	t.Run("with one", func(t *testing.T) { testAllocations(t, slipway.RoutingSettings{AccessLog: true}) })
}

func testAllocations(t *testing.T, s slipway.RoutingSettings) {
	w := with(t, s, func(_ *router.Config, c *Config) { c.Access = nowhere{} })
	w.bare = true
	w.addRaw("a", func(c net.Conn, r *bufio.Reader) {
		answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: x\r\nContent-Length: 2\r\n\r\nok")
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				c.Write(answer)
			}
		}
	})
	c := w.dial()
	request := []byte("GET /path?query HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\nAccept: */*\r\nCookie: a=b\r\n\r\n")
	buf := make([]byte, 4096)
	get := func() {
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		for n := 0; !bytes.HasSuffix(buf[:n], []byte("ok")); {
			k, err := c.TCPConn.Read(buf[n:])
			if err != nil && err != io.EOF {
				t.Fatal(err)
			}
			n += k
		}
	}
	const rounds = 5000
	least := float64(rounds)
	for range 5 { // what runs beside it allocates at times
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range rounds {
			get()
		}
		runtime.ReadMemStats(&after)
		least = min(least, float64(after.Mallocs-before.Mallocs)/rounds)
	}
	if least >= 0.1 {
		t.Errorf("%.2f allocations per request", least)
	}
}
