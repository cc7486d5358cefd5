package embedded_test

import (
	"errors"
	"io"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded"
)

// TestRefused dials an instance that listens at another port many times: the same sockets
// serve all tries, and then connect. None is left when the instance has ended: it would keep
// the network namespace.
func TestRefused(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	id := s.ensure(probe("peers 127.0.0.1:80", "peers [::1]:81", "print listening", "sleep"))
	s.prints(id, "listening")
	refused := func() []int {
		t.Helper()
		if _, err := s.driver.Dial(t.Context(), id, 79); !errors.Is(err, unix.ECONNREFUSED) {
			t.Fatalf("Dial of a port without a listener returned %v", err)
		}
		return embedded.Sockets(s.driver, id)
	}
	first := refused()
	for range 50 {
		if now := refused(); !slices.Equal(now, first) {
			t.Fatalf("the sockets were %v and are %v", first, now)
		}
	}
	for port, from := range map[int]string{80: "from 169.254.172.1,", 81: "from fd9b:7a1d:53c8::1,"} {
		c, err := s.driver.Dial(t.Context(), id, port)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(c)
		c.Close()
		if !slices.Equal(b[:min(len(b), len(from))], []byte(from)) || err != nil {
			t.Errorf("port %d says %q, %v", port, b, err)
		}
		refused() // what is left serves on
	}
	held := embedded.HoldSockets(s.driver, id)
	if err := s.driver.Stop(t.Context(), id, 0); err != nil {
		t.Fatal(err)
	}
	eventually(s, "its sockets are closed", func() error {
		if n := held(); n > 0 {
			return errors.New("some are open")
		}
		return nil
	})
}
