package logs_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway/internal/logs"
)

// run runs a until the returned function is called, which waits for its end.
func run(t *testing.T, a *logs.Access) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != context.Canceled {
			t.Errorf("Run: %v", err)
		}
	}
}

func accessTexts(t *testing.T, s *logs.Store) []string {
	t.Helper()
	return texts(read(t, s, logs.Query{Stream: logs.AccessStream}))
}

// Lines are written a moment after they were added, in their order, and the last ones at the
// end.
func TestAccess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, logs.Config{})
		a := logs.NewAccess(s, quiet)
		stop := run(t, a)
		line := []byte(`{"n":1}`)
		a.Add(service, time.Now(), line)
		copy(line, "XXXXXXX") // it is the caller's again
		time.Sleep(time.Second)
		if got := accessTexts(t, s); !slices.Equal(got, []string{`{"n":1}`}) {
			t.Errorf("lines %q", got)
		}
		for n := 2; n < 5; n++ {
			a.Add(service, time.Now(), fmt.Appendf(nil, `{"n":%d}`, n))
		}
		a.Add("other", time.Now(), []byte("{}"))
		stop()
		if got := accessTexts(t, s); !slices.Equal(got, []string{`{"n":1}`, `{"n":2}`, `{"n":3}`, `{"n":4}`}) {
			t.Errorf("lines %q", got)
		}
		if n := a.Dropped(); n != 0 {
			t.Errorf("%d lines were dropped", n)
		}
	})
}

// Nobody waits while nothing is written: what exceeds the memory is dropped and counted, and
// a notice says where.
// TestAccessEnd counts the open files of a service that has ended.
func TestAccessEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newStore(t, logs.Config{Dir: dir})
	a := logs.NewAccess(s, quiet)
	stop := run(t, a)
	a.Add(service, time.Now(), []byte("{}"))
	for deadline := time.Now().Add(time.Minute); len(openFiles(t, dir)) == 0 && time.Now().Before(deadline); {
		<-time.After(time.Millisecond)
	}
	if len(openFiles(t, dir)) == 0 {
		t.Fatal("no file was opened")
	}
	a.Add(service, time.Now(), []byte("{}"))
	a.End(service)
	for deadline := time.Now().Add(time.Minute); len(openFiles(t, dir)) > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("these are open: %v", openFiles(t, dir))
		}
		<-time.After(time.Millisecond)
	}
	stop()
	if n := len(accessTexts(t, s)); n != 2 {
		t.Errorf("%d lines are written, want 2", n)
	}
}

func TestAccessDropsWhatIsTooMuch(t *testing.T) {
	t.Parallel()
	s := newStore(t, logs.Config{})
	a := logs.NewAccess(s, quiet)
	line := []byte(strings.Repeat("x", 1000))
	const added = 5000
	for range added {
		a.Add(service, time.Now(), line)
	}
	a.Add("other", time.Now(), line) // it has room of its own
	dropped := a.Dropped()
	if dropped < 3500 || dropped > 4500 {
		t.Errorf("%d of %d lines were dropped, with memory for 1 MiB", dropped, added)
	}
	run(t, a)()
	got := accessTexts(t, s)
	if len(got) != added-int(dropped)+1 || !strings.Contains(got[len(got)-1], fmt.Sprintf(`"dropped":%d}`, dropped)) {
		t.Errorf("%d lines, the last %q; %d were dropped", len(got), got[len(got)-1], dropped)
	}
	a.Add(service, time.Now(), []byte("next"))
	run(t, a)()
	if got := accessTexts(t, s); got[len(got)-1] != "next" || strings.Contains(got[len(got)-2], fmt.Sprint(added)) {
		t.Errorf("after the notice: %q", got[len(got)-2:])
	}
}

// All services together have a bound as well.
func TestAccessOfManyServicesIsBounded(t *testing.T) {
	t.Parallel()
	a := logs.NewAccess(newStore(t, logs.Config{}), quiet)
	line := []byte(strings.Repeat("x", 10_000))
	const added = 100 * 100
	for n := range added {
		a.Add(fmt.Sprintf("s%d", n%100), time.Now(), line)
	}
	if kept := (added - a.Dropped()) * int64(len(line)); kept > 32<<20 || kept < 30<<20 {
		t.Errorf("%d bytes are kept, of at most 32 MiB", kept)
	}
}

// A service that floods its log gets the rate of an instance's output, and another one its
// lines at once.
func TestAccessFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, logs.Config{ServiceBytes: 1 << 30})
		a := logs.NewAccess(s, quiet)
		defer run(t, a)()
		line := []byte(strings.Repeat("x", 1000))
		const seconds = 10
		for range seconds * 100 {
			for range 150 { // 15 MB a second
				a.Add(service, time.Now(), line)
			}
			time.Sleep(10 * time.Millisecond)
		}
		a.Add("other", time.Now(), []byte("quiet"))
		time.Sleep(300 * time.Millisecond)
		if list, err := s.Streams("other"); err != nil || len(list) != 1 {
			t.Errorf("the other service has streams %v: %v", list, err)
		}
		var bytes int
		for _, l := range accessTexts(t, s) {
			bytes += len(l)
		}
		if most := (seconds + 3) * 4 << 20; bytes > most || bytes < most/3 {
			t.Errorf("%d bytes were written in %d s, of at most %d", bytes, seconds, most)
		}
		if a.Dropped() == 0 {
			t.Error("no line was dropped")
		}
	})
}

// While the disk takes no lines they are dropped and counted, and a notice precedes the
// next.
func TestAccessWithoutDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newStore(t, logs.Config{Dir: dir})
	a := logs.NewAccess(s, quiet)
	at := filepath.Join(dir, service)
	if err := os.WriteFile(at, nil, 0o600); err != nil { // where the directory would be
		t.Fatal(err)
	}
	for range 3 {
		a.Add(service, time.Now(), []byte("lost"))
		run(t, a)()
	}
	if n := a.Dropped(); n != 3 {
		t.Errorf("%d lines were dropped, want 3", n)
	}
	if err := os.Remove(at); err != nil {
		t.Fatal(err)
	}
	a.Add(service, time.Now(), []byte("kept"))
	run(t, a)()
	got := accessTexts(t, s)
	if len(got) != 2 || !strings.HasSuffix(got[0], `"dropped":3}`) || got[1] != "kept" {
		t.Errorf("lines %q", got)
	}
}

// An access log takes at most half of what a service may keep: it does not push out what
// instances wrote.
func TestAccessLogHasAShare(t *testing.T) {
	t.Parallel()
	s := newStore(t, logs.Config{SegmentBytes: 64 << 10, ServiceBytes: 512 << 10})
	noise(t, s, stream("instance/0"), 200<<10)
	for range 4 {
		noise(t, s, stream(logs.AccessStream), 256<<10)
		s.Sweep(t.Context(), time.Now())
	}
	s.Sweep(t.Context(), time.Now().Add(time.Hour))
	if n := len(read(t, s, logs.Query{Stream: "instance/0"})); n < 200 {
		t.Errorf("%d lines of the instance are left, want 205", n)
	}
	if n := len(read(t, s, logs.Query{Stream: logs.AccessStream})); n < 150 || n > 400 {
		t.Errorf("%d lines of a kB of the access log are left, of at most 256 KiB on the disk", n)
	}
}

// The lines that a process can't write any more are written by the next one, in their order
// and with what was dropped between them.
func TestAccessLeave(t *testing.T) {
	t.Parallel()
	s := newStore(t, logs.Config{})
	a := logs.NewAccess(s, quiet)
	a.Add(service, time.Now(), []byte("written"))
	run(t, a)()
	now := time.Now()
	a.Add(service, now, []byte("1"))
	a.Add(service, now, []byte(strings.Repeat("x", logs.MaxLine+1))) // too long: dropped
	a.Add(service, now, []byte("2"))
	a.Add("other", now, []byte(strings.Repeat("x", logs.MaxLine+1)))
	left := a.Leave()
	if again := a.Leave(); len(again) > 0 {
		t.Errorf("left twice: %v", again)
	}
	a.Add(service, now, []byte("3"))

	next := logs.NewAccess(s, quiet)
	for _, list := range []map[string][]logs.AccessLine{left, a.Leave()} {
		for service, lines := range list {
			next.Join(service, lines)
		}
	}
	run(t, next)()
	got := accessTexts(t, s)
	if len(got) != 5 || got[0] != "written" || got[1] != "1" || !strings.Contains(got[2], `"dropped":1}`) || got[3] != "2" || got[4] != "3" {
		t.Errorf("lines %q", got)
	}
	if next.Dropped() != 2 {
		t.Errorf("%d lines count as dropped, want 2", next.Dropped())
	}
}
