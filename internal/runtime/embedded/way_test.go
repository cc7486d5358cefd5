package embedded_test

import (
	"bufio"
	"testing"
	"time"
)

// The way that a driver leaves leads to its instances while none runs and while another one
// has them, to frozen ones, too.
func TestWay(t *testing.T) {
	t.Parallel()
	needRoot(t)
	cfg := config(t)
	d, end := open(t, cfg)
	s := &fixture{t, d}
	id := s.ensure(probe("listen 127.0.0.1:8080 hello", "burn", "sleep"))
	s.prints(id, "listen 127.0.0.1:8080")
	if err := d.Freeze(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	d.KeepWay()
	end()
	way, err := d.Way(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer way.Close()
	if err := way.Thaw(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	answers := func() {
		t.Helper()
		conn, err := way.Dial(t.Context(), id, 8080)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil && line == "" {
			t.Errorf("%q, %v", line, err)
		}
	}
	answers()
	next, _ := open(t, cfg)
	t.Cleanup((&fixture{t, next}).clear)
	answers()
	if _, err := way.Dial(t.Context(), "unknown", 8080); err == nil {
		t.Error("an unknown instance is reached")
	}
}

// A driver leaves no way unless it was asked to.
func TestNoWay(t *testing.T) {
	t.Parallel()
	needRoot(t)
	d, end := open(t, config(t))
	end()
	if _, err := d.Way(t.Context()); err == nil {
		t.Error("there is a way")
	}
}
