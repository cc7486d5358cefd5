package embedded_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
)

// used returns the processor time of an instance.
func (s *fixture) used(id string) time.Duration {
	s.Helper()
	stats, err := s.driver.Stats(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return stats[id].CPU
}

// usesMore waits until an instance has used more processor time.
func (s *fixture) usesMore(id string) {
	s.Helper()
	from := s.used(id)
	eventually(s, "the instance uses its processor", func() error {
		if d := s.used(id) - from; d < 50*time.Millisecond {
			return fmt.Errorf("it has used %v", d)
		}
		return nil
	})
}

// A frozen instance takes no processor time, whatever its threads do. Its connections live
// on, and it goes on where it was.
func TestFreeze(t *testing.T) {
	t.Parallel()
	for _, init := range []bool{false, true} {
		t.Run(fmt.Sprintf("init %t", init), func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			spec := probe("listen 127.0.0.1:8080 hello", "burn", "sleep")
			spec.Process.Init = init
			id, control := s.ensure(spec), s.ensure(probe("burn", "sleep"))
			s.prints(id, "listen 127.0.0.1:8080")
			s.usesMore(id)
			for range 3 {
				if err := s.driver.Freeze(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				if o := s.observe(id); !o.Frozen || !o.Running {
					t.Fatalf("frozen, it is %+v", o)
				}
				before := s.used(id)
				conn, err := s.driver.Dial(t.Context(), id, 8080) // the kernel accepts it
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				s.usesMore(control)
				if after := s.used(id); after != before {
					t.Errorf("frozen, it used %v", after-before)
				}
				if err := s.driver.Thaw(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(conn); string(b) != "hello" {
					t.Errorf("after the thaw the connection has %q, %v", b, err)
				}
				s.usesMore(id)
				if o := s.observe(id); o.Frozen {
					t.Errorf("thawed, it is %+v", o)
				}
			}
		})
	}
}

// A frozen instance is stopped and removed as any other, also by a daemon that finds it
// frozen, and one that has ended can't be frozen.
func TestFrozenInstanceEnds(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	stopped, removed := s.ensure(probe("signals", "sleep")), s.ensure(probe("burn", "sleep"))
	for _, id := range []string{stopped, removed} {
		if err := s.driver.Freeze(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.driver.Stop(t.Context(), stopped, 0); err != nil {
		t.Fatal(err)
	}
	if exit := s.exited(stopped); exit.Signal != "SIGKILL" {
		t.Errorf("stopped without grace, it ended with %+v", exit)
	}
	if err := s.driver.Freeze(t.Context(), stopped); !errors.Is(err, runtime.ErrNotRunning) {
		t.Errorf("freezing an ended instance: %v", err)
	}
	s.remove(removed)
	for _, call := range []error{s.driver.Freeze(t.Context(), slipway.NewID()), s.driver.Thaw(t.Context(), removed)} {
		if !errors.Is(call, runtime.ErrNotFound) {
			t.Errorf("an instance that is not there: %v", call)
		}
	}
}

// The next driver finds a frozen instance frozen, and thaws it.
func TestFrozenInstanceIsAdopted(t *testing.T) {
	t.Parallel()
	needRoot(t)
	cfg := config(t)
	d, end := open(t, cfg)
	s := &fixture{t, d}
	id := s.ensure(probe("burn", "sleep"))
	if err := d.Freeze(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	end()
	d, _ = open(t, cfg)
	s = &fixture{t, d}
	t.Cleanup(s.clear)
	if o := s.observe(id); o == nil || !o.Frozen {
		t.Fatalf("the next driver finds %+v", o)
	}
	if err := d.Thaw(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	s.usesMore(id)
	if o := s.observe(id); o.Frozen {
		t.Errorf("thawed, it is %+v", o)
	}
}
