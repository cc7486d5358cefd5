package logs_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/logs"
)

// noise appends n bytes of text that hardly compresses to a stream.
func noise(t *testing.T, s *logs.Store, st logs.Stream, n int) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	for ; n > 0; n -= 1000 {
		text := make([]byte, 1000)
		for i := range text {
			text[i] = byte(' ' + rnd.IntN(95))
		}
		appendLines(t, s, st, logs.Line{At: time.Now(), Kind: logs.Stdout, Text: string(text)})
	}
}

func size(t *testing.T, s *logs.Store, service string) (n int64, streams int) {
	t.Helper()
	list, err := s.Streams(service)
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range list {
		n += st.Bytes
	}
	return n, len(list)
}

func TestLimitOfService(t *testing.T) {
	t.Parallel()
	s := newStore(t, logs.Config{SegmentBytes: 64 << 10, ServiceBytes: 512 << 10})
	for i := range 8 {
		noise(t, s, stream(fmt.Sprintf("instance/%d", i)), 256<<10)
		s.Sweep(t.Context(), time.Now())
	}
	noise(t, s, logs.Stream{Service: "other", Name: "instance/0"}, 256<<10)
	now := time.Now()
	s.Sweep(t.Context(), now)
	// The newest segment of each stream may still be written to.
	if n, _ := size(t, s, service); n > 512<<10+8*64<<10 {
		t.Errorf("%d bytes are kept while all streams are fresh", n)
	}
	s.Sweep(t.Context(), now.Add(time.Hour))
	if n, _ := size(t, s, service); n > 512<<10 || n < 256<<10 {
		t.Errorf("%d bytes are kept of at most %d", n, 512<<10)
	}
	if left := read(t, s, logs.Query{Stream: "instance/0"}); len(left) > 100 {
		t.Errorf("the oldest stream still has %d lines", len(left))
	}
	if left := read(t, s, logs.Query{Stream: "instance/7"}); len(left) < 100 {
		t.Errorf("the newest stream has only %d lines", len(left))
	}
	if n, _ := size(t, s, "other"); n < 100<<10 {
		t.Errorf("another service keeps only %d bytes", n)
	}
}

func TestLimitInTotal(t *testing.T) {
	t.Parallel()
	s := newStore(t, logs.Config{SegmentBytes: 32 << 10, TotalBytes: 512 << 10})
	noise(t, s, logs.Stream{Service: "loud", Name: "instance/0"}, 2<<20)
	noise(t, s, logs.Stream{Service: "quiet", Name: "instance/0"}, 64<<10)
	quietBefore := 0
	for range s.Read(t.Context(), logs.Query{Service: "quiet"}) {
		quietBefore++
	}
	s.Sweep(t.Context(), time.Now().Add(time.Hour))
	loud, _ := size(t, s, "loud")
	rest, _ := size(t, s, "quiet")
	if loud+rest > 512<<10 || loud < 256<<10 {
		t.Errorf("the services keep %d and %d bytes of at most %d", loud, rest, 512<<10)
	}
	quietAfter := 0
	for range s.Read(t.Context(), logs.Query{Service: "quiet"}) {
		quietAfter++
	}
	if quietAfter != quietBefore {
		t.Errorf("the quiet service had %d lines and has %d", quietBefore, quietAfter)
	}
}

func TestLimitOfAge(t *testing.T) {
	t.Parallel()
	s := newStore(t, logs.Config{MaxAge: 24 * time.Hour})
	fill(t, s, 10, "instance/a")
	s.Sweep(t.Context(), time.Now())
	if n := len(read(t, s, logs.Query{})); n != 10 {
		t.Fatalf("%d of 10 lines are left of a stream just written", n)
	}
	s.Sweep(t.Context(), time.Now().Add(25*time.Hour))
	if n, streams := size(t, s, service); n != 0 || streams != 0 {
		t.Errorf("%d bytes in %d streams are left after a day", n, streams)
	}
	fill(t, s, 10, "instance/a") // the appender's directory was removed
	if n := len(read(t, s, logs.Query{})); n != 10 {
		t.Errorf("%d of 10 lines are there", n)
	}
}

// A sweep looks at the services that were written to, and at others when something of theirs
// is old enough: what a crash left behind in a service shows whether it was looked at.
func TestSweepLooksAtWhatChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newStore(t, logs.Config{Dir: dir, MaxAge: 24 * time.Hour})
	appendLines(t, s, stream("instance/a"), logs.Line{At: time.Now(), Kind: logs.Stdout, Text: "one"})
	now := time.Now()
	s.Sweep(t.Context(), now)
	left := filepath.Join(dir, service, "instance", "left.tmp")
	check := func(when string, at time.Time, looked bool) {
		t.Helper()
		if err := os.WriteFile(left, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s.Sweep(t.Context(), at)
		if _, err := os.Stat(left); os.IsNotExist(err) != looked {
			t.Errorf("%s: looked at is %t, want %t", when, !looked, looked)
		}
	}
	check("nothing was written", now.Add(time.Minute), false)
	appendLines(t, s, stream("instance/b"), logs.Line{At: time.Now(), Kind: logs.Stdout, Text: "one"})
	check("it was written to", now.Add(2*time.Minute), true)
	check("nothing was written again", now.Add(3*time.Minute), false)
	check("its segments are closed", now.Add(time.Hour), true)
	check("all of them are compressed", now.Add(2*time.Hour), false)
	s = newStore(t, logs.Config{Dir: dir, MaxAge: 24 * time.Hour})
	check("the first sweep of a process", now.Add(3*time.Hour), true)
	check("the second one", now.Add(4*time.Hour), false)
	s.Sweep(t.Context(), now.Add(25*time.Hour))
	if n, streams := size(t, s, service); n != 0 || streams != 0 {
		t.Errorf("%d bytes in %d streams are left after a day", n, streams)
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newStore(t, logs.Config{Dir: dir})
	fill(t, s, 10, "instance/a", "instance/b")
	other := logs.Stream{Service: "other", Name: "a"}
	appendLines(t, s, other, logs.Line{At: past, Kind: logs.Stdout, Text: "stays"})
	for range 2 {
		if err := s.Remove(service); err != nil {
			t.Fatal(err)
		}
		if n := len(read(t, s, logs.Query{})); n != 0 {
			t.Errorf("%d lines are left", n)
		}
	}
	if n, _ := size(t, s, "other"); n == 0 {
		t.Error("the other service's lines are gone")
	}
	fill(t, s, 4, "instance/a")
	if n := len(read(t, s, logs.Query{})); n != 4 {
		t.Errorf("%d of 4 lines of a new life are there", n)
	}
}

// TestSealIsRepeatable seals what a crash leaves at each point of sealing.
func TestSealIsRepeatable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newStore(t, logs.Config{Dir: dir})
	fill(t, s, 100, "instance/a")
	plain, err := filepath.Glob(filepath.Join(dir, service, "instance/a/*.log"))
	if err != nil || len(plain) != 1 {
		t.Fatal(plain, err)
	}
	content, err := os.ReadFile(plain[0])
	if err != nil {
		t.Fatal(err)
	}
	check := func(state string) {
		t.Helper()
		if n := len(read(t, s, logs.Query{})); n != 100 {
			t.Errorf("%s: %d of 100 lines are read", state, n)
		}
		if n := len(read(t, s, logs.Query{Tail: 7})); n != 7 {
			t.Errorf("%s: a tail has %d of 7 lines", state, n)
		}
	}
	if err := os.WriteFile(plain[0]+".zst.tmp", content[:50], 0o600); err != nil {
		t.Fatal(err)
	}
	check("half written")
	s.Sweep(t.Context(), time.Now().Add(time.Hour))
	check("sealed")
	if left, _ := filepath.Glob(filepath.Join(dir, service, "instance/a/*")); len(left) != 1 || left[0] != plain[0]+".zst" {
		t.Errorf("after sealing there are %v", left)
	}
	if err := os.WriteFile(plain[0], content, 0o600); err != nil {
		t.Fatal(err)
	}
	check("sealed, plain not yet removed")
	s = newStore(t, logs.Config{Dir: dir}) // of the process after the crash
	s.Sweep(t.Context(), time.Now().Add(time.Hour))
	check("sealed again")
	if err := os.WriteFile(plain[0]+".zst", content[:50], 0o600); err != nil {
		t.Fatal(err)
	}
	if n := len(read(t, s, logs.Query{})); n != 0 {
		t.Errorf("%d lines are read from a damaged segment", n)
	}
	fill(t, s, 5, "instance/a")
	if n := len(read(t, s, logs.Query{})); n != 5 {
		t.Errorf("%d of 5 lines are read after a damaged segment", n)
	}
}

// TestDiskFull needs a small file system of its own.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("cannot mount a tmpfs here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	ballast := filepath.Join(dir, "ballast.log")
	if err := os.WriteFile(ballast, make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, logs.Config{Dir: dir})
	st := stream("instance/a")
	batch := make([]logs.Line, 100)
	written, refused := 0, false
	for i := 0; !refused && i < 100; i++ {
		for j := range batch {
			batch[j] = logs.Line{At: past, Kind: logs.Stdout, Text: fmt.Sprintf("line %d of batch %d %s", j, i, strings.Repeat("z", 77))}
		}
		n, err := s.Append(t.Context(), st, batch)
		written += n
		if refused = err != nil; refused && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	if !refused {
		t.Fatal("the disk did not fill")
	}
	if n := len(read(t, s, logs.Query{})); n != written {
		t.Errorf("%d lines are read, Append said %d are kept", n, written)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	appendLines(t, s, st, logs.Line{At: past, Kind: logs.Stdout, Text: "same appender"})
	s = newStore(t, logs.Config{Dir: dir})
	appendLines(t, s, st, logs.Line{At: past, Kind: logs.Stdout, Text: "next appender"})
	if n := len(read(t, s, logs.Query{})); n != written+2 {
		t.Errorf("%d lines are read, want %d", n, written+2)
	}
}
