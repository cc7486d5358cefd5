package proxy

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/router"
)

// instant is a Dialer of instances that answer each request with the same bytes
// at almost no cost, so that the benchmark measures the router.
type instant struct{ answer []byte }

func (d instant) Dial(context.Context, string, int) (net.Conn, error) {
	a, b := net.Pipe()
	go func() {
		r := bufio.NewReader(b)
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				b.Write(d.answer)
			}
		}
	}()
	return a, nil
}

// BenchmarkProxy measures a request through the router on kept connections,
// including the socket of the client.
func BenchmarkProxy(b *testing.B) {
	for _, size := range []int{100, 10_000, 1_000_000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			answer := "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + strconv.Itoa(size) + "\r\n\r\n" + strings.Repeat("x", size)
			log := slog.New(slog.DiscardHandler)
			r, err := router.New(router.Config{Log: log, Suffix: "test"})
			if err != nil {
				b.Fatal(err)
			}
			p, err := New(Config{Router: r, Dialer: instant{[]byte(answer)}, Log: log})
			if err != nil {
				b.Fatal(err)
			}
			r.Apply([]router.Route{{
				Service: "svc", Keys: public(testHost), MaxConcurrency: 200,
				Instances: []router.Endpoint{{ID: "a", Open: true}, {ID: "b", Open: true}},
			}}, 1)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(context.Background())
			served := make(chan error, 1)
			go func() { served <- p.Serve(ctx, l, router.Listener{}) }()
			defer func() { stop(); <-served }()
			b.ReportAllocs()
			b.SetBytes(int64(size))
			b.RunParallel(func(pb *testing.PB) { load(b, pb, l.Addr().String(), size) })
		})
	}
}

func load(b *testing.B, pb *testing.PB, addr string, size int) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Error(err)
		return
	}
	defer c.Close()
	in := bufio.NewReader(c)
	request := []byte("GET /path?query HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
	for pb.Next() {
		if _, err := c.Write(request); err != nil {
			b.Error(err)
			return
		}
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				b.Error(err)
				return
			}
			if len(line) == 2 {
				break
			}
		}
		if _, err := io.CopyN(io.Discard, in, int64(size)); err != nil {
			b.Error(err)
			return
		}
	}
}
