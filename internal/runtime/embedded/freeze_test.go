package embedded_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
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

// A throttled instance gets little processor time, another daemon and the end of it lift
// the bound, and it never gets more than its service has.
func TestThrottle(t *testing.T) {
	t.Parallel()
	needRoot(t)
	cfg := config(t)
	d, end := open(t, cfg)
	if !d.Limits().CPU {
		t.Skip("this machine bounds no processor time")
	}
	s := &fixture{t, d}
	spec := probe("burn", "sleep")
	spec.Resources.CPU = 256
	id := s.ensure(spec)
	quota := func() string {
		t.Helper()
		return s.group(id, "cpu.cfs_quota_us", "cpu.max")
	}
	for _, c := range []struct {
		cpu  int
		want string
	}{{51, "4980"}, {1024, "25000"}, {1, "1000"}, {0, "25000"}, {51, "4980"}} {
		if err := d.Throttle(t.Context(), id, c.cpu); err != nil {
			t.Fatal(err)
		}
		if got := quota(); got != c.want {
			t.Errorf("throttled to %d its quota is %q us of 100000, want %s", c.cpu, got, c.want)
		}
	}
	end()
	d, _ = open(t, cfg)
	s = &fixture{t, d}
	t.Cleanup(s.clear)
	if got := quota(); got != "25000" {
		t.Errorf("the next daemon leaves it a quota of %q", got)
	}
	s.usesMore(id)
	if err := d.Stop(t.Context(), id, 0); err != nil {
		t.Fatal(err)
	}
	if err := d.Throttle(t.Context(), id, 51); !errors.Is(err, runtime.ErrNotRunning) {
		t.Errorf("throttling an ended instance: %v", err)
	}
	if err := d.Throttle(t.Context(), slipway.NewID(), 51); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("throttling one that is not there: %v", err)
	}
}

// group returns the first word of a file of an instance's control group: of version 1, or of
// version 2.
func (s *fixture) group(id, one, two string) string {
	s.Helper()
	pid := s.observe(id).PID
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		s.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		for _, path := range []string{"/sys/fs/cgroup/" + f[1] + f[2] + "/" + one, "/sys/fs/cgroup" + f[2] + "/" + two} {
			if text, err := os.ReadFile(path); err == nil {
				return strings.Fields(string(text))[0]
			}
		}
	}
	s.Fatalf("no %s and no %s of an instance in\n%s", one, two, b)
	return ""
}

// Freezes tells of each, and has who waits know when one ends, by a thaw or by the
// instance's end.
func TestFreezes(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	id := s.ensure(probe("sleep"))
	if n, thawed := s.driver.Freezes(id); n != 0 || thawed != nil {
		t.Errorf("at first: %d, %v", n, thawed)
	}
	ended := func(thawed <-chan struct{}) bool {
		select {
		case <-thawed:
			return true
		default:
			return false
		}
	}
	for n := 1; n <= 3; n++ {
		for range 2 { // again is no other
			if err := s.driver.Freeze(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		times, thawed := s.driver.Freezes(id)
		if times != n || thawed == nil || ended(thawed) || !s.driver.Frozen(id) {
			t.Fatalf("frozen: %d times, %v", times, thawed)
		}
		if n == 3 {
			if err := s.driver.Stop(t.Context(), id, 0); err != nil {
				t.Fatal(err)
			}
		} else if err := s.driver.Thaw(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if !ended(thawed) || s.driver.Frozen(id) {
			t.Error("those who wait are not told")
		}
	}
}
