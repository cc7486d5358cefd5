package logs_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/logs"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/runtimetest"
)

const image = "sha256:f00d"

// collecting runs a collector in the background until stop is called.
func collecting(t *testing.T, s *logs.Store, d logs.Outputter) (c *logs.Collector, stop func()) {
	t.Helper()
	c = logs.NewCollector(s, d, quiet)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	return c, func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	}
}

// instance starts an instance of a program on a new machine.
func instance(t *testing.T, p runtimetest.Program) (w *runtimetest.Machine, f *runtimetest.Fake, id string) {
	t.Helper()
	w = runtimetest.NewMachine()
	t.Cleanup(w.Close)
	w.SetImage(image, runtimetest.Image{Program: p})
	f = runtimetest.NewFake(w)
	id = "a"
	if err := errors.Join(f.Prepare(t.Context(), image), f.Ensure(t.Context(), runtime.Spec{ID: id, Service: service, Image: image})); err != nil {
		t.Fatal(err)
	}
	return w, f, id
}

func TestCollect(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, logs.Config{Dir: dir})
		_, f, id := instance(t, runtimetest.Program{Stdout: "one\ntwo\nunfinished", Stderr: "oops\n"})
		c, stop := collecting(t, s, f)
		defer stop()
		c.Follow(service, id)
		c.Follow(service, id)
		time.Sleep(500 * time.Millisecond) // the bubble's clock
		if diff := cmp.Diff([]string{"one", "two", "oops"}, texts(read(t, s, logs.Query{Stream: "instance/a"}))); diff != "" {
			t.Errorf("while it runs: %s", diff)
		}
		time.Sleep(3 * time.Second)
		if diff := cmp.Diff([]string{"one", "two", "oops", "unfinished"}, texts(read(t, s, logs.Query{}))); diff != "" {
			t.Errorf("once the beginning of a line is old: %s", diff)
		}
		if err := c.Finish(t.Context(), id); err != nil {
			t.Error(err)
		}
		if err := c.Finish(t.Context(), id); err != nil {
			t.Errorf("Finish for the second time: %v", err)
		}
	})
}

// An instance that has ended has no open file, however many there were.
func TestCollectClosesFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, logs.Config{Dir: dir})
		_, f, id := instance(t, runtimetest.Program{Stdout: "one\n"})
		c, stop := collecting(t, s, f)
		defer stop()
		c.Follow(service, id)
		time.Sleep(time.Second) // the bubble's clock
		if files := openFiles(t, dir); len(files) != 1 {
			t.Errorf("while it runs %v are open, want one file", files)
		}
		if err := c.Finish(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"one"}, texts(read(t, s, logs.Query{}))); diff != "" {
			t.Error(diff)
		}
		if files := openFiles(t, dir); len(files) > 0 {
			t.Errorf("after the end of the instance %v are open", files)
		}
	})
}

// openFiles lists the files below a directory that this process has open.
func openFiles(t *testing.T, dir string) (list []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range all {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, dir+"/") {
			list = append(list, to)
		}
	}
	return list
}

// TestCollectRests counts the polls of a silent instance.
func TestCollectRests(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, logs.Config{Dir: dir})
		_, f, id := instance(t, runtimetest.Program{})
		c, stop := collecting(t, s, f)
		defer stop()
		c.Follow(service, id)
		time.Sleep(time.Minute)
		before := f.Calls(runtimetest.Output)
		time.Sleep(time.Minute)
		if n := f.Calls(runtimetest.Output) - before; n < 59 || n > 61 {
			t.Errorf("a silent instance was polled %d times in a minute, want 60", n)
		}
		before = f.Calls(runtimetest.Output)
		c.Nudge("")
		synctest.Wait()
		if n := f.Calls(runtimetest.Output) - before; n != 1 {
			t.Errorf("a nudge polled %d times", n)
		}
	})
}

// freezable is a driver whose only instance may be frozen.
type freezable struct {
	*runtimetest.Fake
	mu     sync.Mutex // guards thawed
	thawed chan struct{}
}

func (f *freezable) Freezes(string) (int, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return 0, f.thawed
}

func (f *freezable) freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.thawed = make(chan struct{})
}

func (f *freezable) thaw() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.thawed)
	f.thawed = nil
}

// Of a frozen instance all is read that it has written, and then nothing until it is
// thawed.
func TestCollectOfTheFrozen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, logs.Config{Dir: dir})
		_, fake, id := instance(t, runtimetest.Program{Stdout: "one\ntwo\nunfinished"})
		f := &freezable{Fake: fake}
		c, stop := collecting(t, s, f)
		defer stop()
		f.freeze()
		c.Follow(service, id)
		time.Sleep(10 * time.Second)
		if diff := cmp.Diff([]string{"one", "two", "unfinished"}, texts(read(t, s, logs.Query{}))); diff != "" {
			t.Errorf("of a frozen instance: %s", diff)
		}
		polls := func(want int, when string) {
			t.Helper()
			before := f.Calls(runtimetest.Output)
			time.Sleep(time.Minute)
			if n := f.Calls(runtimetest.Output) - before; n < want-1 || n > want+1 {
				t.Errorf("%s it was polled %d times in a minute, want %d", when, n, want)
			}
		}
		polls(0, "frozen")
		f.thaw()
		polls(60, "thawed")
		f.freeze()
		time.Sleep(5 * time.Second)
		polls(0, "frozen again")
		if err := c.Finish(t.Context(), id); err != nil {
			t.Error(err)
		}
	})
}

// TestCollectOverCrashes kills the collector repeatedly, tears the last segment as a
// crash may, and continues in a new process.
func TestCollectOverCrashes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 2))
			dir := t.TempDir()
			src := &source{}
			var want [2][]string
			for life := range 30 {
				s := newStore(t, logs.Config{Dir: dir, SegmentBytes: 2 << 10})
				c, stop := collecting(t, s, src)
				c.Follow(service, "a")
				for i := range rnd.IntN(40) {
					text := fmt.Sprintf("life %d line %d", life, i)
					kind := rnd.IntN(2)
					src.write(kind == 1, text[:rnd.IntN(len(text))], text)
					want[kind] = append(want[kind], text)
				}
				if rnd.IntN(3) == 0 {
					if err := c.Finish(t.Context(), "a"); err != nil {
						t.Fatal(err)
					}
				}
				stop()
				tearAt(t, dir, rnd)
			}
			s := newStore(t, logs.Config{Dir: dir})
			c, stop := collecting(t, s, src)
			defer stop()
			c.Follow(service, "a")
			if err := c.Finish(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			var got [2][]string
			for _, l := range read(t, s, logs.Query{}) {
				kind := 0
				if l.Kind == logs.Stderr {
					kind = 1
				}
				got[kind] = append(got[kind], l.Text)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// source is an instance that keeps all its output.
type source struct {
	mu     sync.Mutex
	chunks []runtime.Chunk
	pos    int64
}

// write writes a line in two pieces.
func (s *source) write(stderr bool, head, text string) {
	for _, piece := range []string{head, text[len(head):] + "\n"} {
		if piece == "" {
			continue
		}
		s.mu.Lock()
		s.chunks = append(s.chunks, runtime.Chunk{Pos: s.pos, At: time.Now(), Stderr: stderr, Data: []byte(piece)})
		s.pos += int64(len(piece))
		s.mu.Unlock()
	}
}

func (s *source) Output(_ context.Context, _ string, from int64) ([]runtime.Chunk, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []runtime.Chunk
	for _, c := range s.chunks {
		if skip := from - c.Pos; skip > 0 {
			if skip >= int64(len(c.Data)) {
				continue
			}
			c.Pos, c.Data = from, c.Data[skip:]
		}
		out = append(out, c)
		from = c.Pos + int64(len(c.Data))
	}
	return out, from, nil
}

// tearAt truncates the stream's newest segment anywhere.
func tearAt(t *testing.T, dir string, rnd *rand.Rand) {
	t.Helper()
	plain, err := filepath.Glob(filepath.Join(dir, service, "instance", "a", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	if len(plain) == 0 {
		return
	}
	last := slices.Max(plain)
	info, err := os.Stat(last)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(last, rnd.Int64N(info.Size()+1)); err != nil {
		t.Fatal(err)
	}
}

func TestCollectGap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, logs.Config{Dir: dir})
		const flood = 8 << 20 // the fake keeps 1 MiB
		w, f, id := instance(t, runtimetest.Program{Flood: flood, NoListen: true, Exit: &runtimetest.Exit{}})
		synctest.Wait()
		if n := len(w.Running("")); n != 0 {
			t.Fatalf("%d instances run", n)
		}
		c, stop := collecting(t, s, f)
		defer stop()
		c.Follow(service, id)
		if err := c.Finish(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		lines := read(t, s, logs.Query{})
		var lost int
		if _, err := fmt.Sscanf(lines[0].Text, "%d bytes of output are missing here", &lost); err != nil || lines[0].Kind != logs.Notice {
			t.Fatalf("the first line is %+v", lines[0])
		}
		if lost+64*(len(lines)-1) != flood {
			t.Errorf("%d bytes are said to be missing, %d are there, %d were written", lost, 64*(len(lines)-1), flood)
		}
	})
}

// endless writes without newlines as fast as it is read.
type endless struct {
	mu   sync.Mutex
	read int64
}

func (e *endless) Output(_ context.Context, _ string, from int64) ([]runtime.Chunk, int64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	// What a gigabyte a second has overwritten in between.
	from += 16 << 20
	data := []byte(strings.Repeat("\x80", 1<<20))
	e.read += int64(len(data))
	return []runtime.Chunk{{Pos: from, At: time.Now(), Data: data}}, from + int64(len(data)), nil
}

func TestCollectBoundsTheEndless(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, logs.Config{Dir: dir, ServiceBytes: 2 << 20, SegmentBytes: 256 << 10})
		e := &endless{}
		c, stop := collecting(t, s, e)
		defer stop()
		c.Follow(service, "a")
		for range 10 {
			time.Sleep(time.Second)
			synctest.Wait()
			s.Sweep(t.Context(), time.Now())
			if list, err := s.Streams(service); err != nil || len(list) != 1 || list[0].Bytes > 3<<20 {
				t.Fatalf("streams are %+v (%v)", list, err)
			}
		}
		// 4 MiB a second, and a second of it at once.
		if limit := int64(15*4) << 20; e.read > limit {
			t.Errorf("%d bytes were taken in 10 s, the limit is %d", e.read, limit)
		}
	})
}

// TestCollectUnwritable makes writing fail for a while.
func TestCollectUnwritable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, logs.Config{Dir: dir})
		src := &source{}
		c, stop := collecting(t, s, src)
		defer stop()
		c.Follow(service, "a")
		time.Sleep(2 * time.Second)
		blocked := filepath.Join(dir, service)
		if err := os.WriteFile(blocked, nil, 0o600); err != nil { // no directory can be created here
			t.Fatal(err)
		}
		src.write(false, "", "lost")
		time.Sleep(2 * time.Second)
		if n := c.Dropped(); n != 1 {
			t.Fatalf("%d lines were dropped, want 1", n)
		}
		if err := os.Remove(blocked); err != nil {
			t.Fatal(err)
		}
		src.write(false, "", "kept")
		time.Sleep(2 * time.Second)
		want := []string{"1 lines are missing here: they could not be written.", "kept"}
		if diff := cmp.Diff(want, texts(read(t, s, logs.Query{}))); diff != "" {
			t.Error(diff)
		}
		if err := c.Finish(t.Context(), "a"); err != nil {
			t.Error(err)
		}
	})
}

// An empty line counts as much as it costs: a flood of newlines becomes as few bytes of
// logs as a flood of long lines.
func TestCollectEmptyLines(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, logs.Config{Dir: dir})
		src := &source{}
		for range 64 {
			src.write(false, strings.Repeat("\n", 64<<10), strings.Repeat("\n", 64<<10))
		}
		c, stop := collecting(t, s, src)
		defer stop()
		c.Follow(service, "a")
		time.Sleep(time.Second) // the bubble's clock
		n := 0
		for _, err := range s.Read(t.Context(), logs.Query{Service: service}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		// 4 MiB a second, a second of it at once, and the read in which it is used up.
		if most := 12 << 20 / 64; n == 0 || n > most {
			t.Errorf("%d lines of a flood were kept after a second, want %d at most", n, most)
		}
	})
}
