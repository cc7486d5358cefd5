package logs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/logs"
)

const service = "5e7f1ce0000000000000000000000001"

var quiet = slog.New(slog.DiscardHandler)

// past is a time well before any test runs.
var past = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

func newStore(t *testing.T, cfg logs.Config) *logs.Store {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Log == nil {
		cfg.Log = quiet
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = 100 * 365 * 24 * time.Hour // tests write old lines
	}
	s, err := logs.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func stream(name string) logs.Stream { return logs.Stream{Service: service, Name: name} }

func appendLines(t *testing.T, s *logs.Store, st logs.Stream, lines ...logs.Line) {
	t.Helper()
	if n, err := s.Append(t.Context(), st, lines); err != nil || n != len(lines) {
		t.Fatalf("Append wrote %d of %d lines: %v", n, len(lines), err)
	}
}

func read(t *testing.T, s *logs.Store, q logs.Query) []logs.Line {
	t.Helper()
	q.Service = service
	var list []logs.Line
	for l, err := range s.Read(t.Context(), q) {
		if err != nil {
			t.Fatalf("Read %+v: %v", q, err)
		}
		list = append(list, l)
	}
	return list
}

func texts(lines []logs.Line) []string {
	list := []string{}
	for _, l := range lines {
		list = append(list, l.Text)
	}
	return list
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	s := newStore(t, logs.Config{})
	st := stream("instance/a")
	want := []logs.Line{
		{At: past, Kind: logs.Stdout, Text: "", Next: 1},
		{At: past.Add(1), Kind: logs.Stderr, Text: "\x00\xff\x1b[31m\r", Next: 12, Pending: 3},
		{At: past.Add(time.Hour), Kind: logs.Stdout, Partial: true, Text: strings.Repeat("ü", logs.MaxLine/2), Next: 1 << 60},
		{At: past.Add(time.Hour), Kind: logs.Notice, Text: "2020-01-01T00:00:00.000000000Z o 1 looks like a line", Next: 1<<60 + 1},
	}
	appendLines(t, s, st, want...)
	for i := range want {
		want[i].Stream = st.Name
	}
	if diff := cmp.Diff(want, read(t, s, logs.Query{Stream: st.Name})); diff != "" {
		t.Error(diff)
	}
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	s := newStore(t, logs.Config{})
	ok := logs.Line{At: past, Kind: logs.Stdout, Text: "x"}
	for _, name := range []string{"", "..", "a/../b", "/a", "a/", "a\x00b", ".hidden", "a b", "x.log", "a/b/c/d/e", strings.Repeat("x", 129)} {
		if _, err := s.Append(t.Context(), stream(name), []logs.Line{ok}); err == nil {
			t.Errorf("stream name %q was accepted", name)
		}
	}
	for _, text := range []string{"two\nlines", strings.Repeat("x", logs.MaxLine+1)} {
		if _, err := s.Append(t.Context(), stream("a"), []logs.Line{{At: past, Kind: logs.Stdout, Text: text}}); err == nil {
			t.Errorf("text %.20q was accepted", text)
		}
	}
	if _, err := s.Streams("../" + service); err == nil {
		t.Error("Streams accepted a path")
	}
	if err := s.Remove(".."); err == nil {
		t.Error("Remove accepted a path")
	}
}

// fill appends n numbered lines, one a second, alternating between streams.
func fill(t *testing.T, s *logs.Store, n int, streams ...string) {
	t.Helper()
	for i := range n {
		appendLines(t, s, stream(streams[i%len(streams)]), logs.Line{
			At: past.Add(time.Duration(i) * time.Second), Kind: logs.Stdout, Text: fmt.Sprintf("line %04d", i),
		})
	}
}

func numbers(from, to, step int) []string {
	list := []string{}
	for i := from; i < to; i += step {
		list = append(list, fmt.Sprintf("line %04d", i))
	}
	return list
}

func TestQuery(t *testing.T) {
	t.Parallel()
	at := func(i int) time.Time { return past.Add(time.Duration(i) * time.Second) }
	stores := map[string]*logs.Store{}
	for _, form := range []string{"plain", "sealed"} {
		stores[form] = newStore(t, logs.Config{SegmentBytes: 8 << 10})
		fill(t, stores[form], 1000, "instance/a", "instance/b")
	}
	stores["sealed"].Sweep(t.Context(), time.Now().Add(time.Hour))
	for _, c := range []struct {
		name  string
		query logs.Query
		want  []string
	}{
		{"all", logs.Query{}, numbers(0, 1000, 1)},
		{"stream", logs.Query{Stream: "instance/b"}, numbers(1, 1000, 2)},
		{"prefix", logs.Query{Prefix: "instance/"}, numbers(0, 1000, 1)},
		{"other prefix", logs.Query{Prefix: "deployment/"}, numbers(0, 0, 1)},
		{"unknown stream", logs.Query{Stream: "instance/c"}, numbers(0, 0, 1)},
		{"since", logs.Query{Since: at(900)}, numbers(900, 1000, 1)},
		{"since between", logs.Query{Since: at(900).Add(1)}, numbers(901, 1000, 1)},
		{"until", logs.Query{Until: at(100)}, numbers(0, 100, 1)},
		{"since and until", logs.Query{Since: at(500), Until: at(510)}, numbers(500, 510, 1)},
		{"nothing since", logs.Query{Since: at(1000)}, numbers(0, 0, 1)},
		{"limit", logs.Query{Limit: 7}, numbers(0, 7, 1)},
		{"tail", logs.Query{Tail: 5}, numbers(995, 1000, 1)},
		{"tail of more", logs.Query{Tail: 5000}, numbers(0, 1000, 1)},
		{"tail of stream", logs.Query{Stream: "instance/b", Tail: 5}, numbers(991, 1000, 2)},
		{"tail until", logs.Query{Tail: 5, Until: at(500)}, numbers(495, 500, 1)},
		{"tail since", logs.Query{Tail: 5, Since: at(997)}, numbers(997, 1000, 1)},
		{"contains", logs.Query{Contains: "00"}, append(numbers(0, 100, 1), numbers(100, 1000, 100)...)},
		{"tail contains", logs.Query{Tail: 3, Contains: "00"}, numbers(700, 1000, 100)},
		{"contains what no text holds", logs.Query{Contains: "2020"}, numbers(0, 0, 1)},
	} {
		for form, s := range stores {
			t.Run(c.name+", "+form, func(t *testing.T) {
				t.Parallel()
				if diff := cmp.Diff(c.want, texts(read(t, s, c.query))); diff != "" {
					t.Errorf("%+v: %s", c.query, diff)
				}
			})
		}
	}
}

// TestAgainstModel appends, seals, reopens and tears at random, and compares the
// lines that are read with a list.
func TestAgainstModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 0))
			cfg := logs.Config{Dir: t.TempDir(), SegmentBytes: 300 << 10}
			s := newStore(t, cfg)
			m := model{lines: map[string][]logs.Line{}, at: past}
			for range 60 {
				switch rnd.IntN(8) {
				case 0:
					s.Sweep(t.Context(), time.Now().Add(time.Duration(rnd.IntN(2))*time.Hour))
				case 1:
					s = newStore(t, cfg)
				case 2:
					s = newStore(t, cfg)
					tear(t, cfg.Dir)
				default:
					m.append(t, s, rnd)
				}
				m.compare(t, s, rnd)
			}
		})
	}
}

type model struct {
	lines map[string][]logs.Line
	at    time.Time
	n     int
}

func (m *model) append(t *testing.T, s *logs.Store, rnd *rand.Rand) {
	t.Helper()
	name := fmt.Sprintf("instance/%d", rnd.IntN(3))
	var batch []logs.Line
	for range 1 + rnd.IntN(200) {
		m.at = m.at.Add(time.Duration(rnd.IntN(3)) * time.Second)
		m.n++
		batch = append(batch, logs.Line{
			Stream: name, At: m.at, Kind: logs.Stdout, Next: int64(m.n),
			Text: fmt.Sprint(m.n, strings.Repeat("y", rnd.IntN(40)*rnd.IntN(40))),
		})
	}
	appendLines(t, s, stream(name), batch...)
	m.lines[name] = append(m.lines[name], batch...)
}

func (m *model) compare(t *testing.T, s *logs.Store, rnd *rand.Rand) {
	t.Helper()
	q := logs.Query{Stream: fmt.Sprintf("instance/%d", rnd.IntN(3))}
	if m.n > 0 && rnd.IntN(2) == 0 {
		q.Since = past.Add(time.Duration(rnd.Int64N(int64(m.at.Sub(past) + 1))))
	}
	if rnd.IntN(2) == 0 {
		q.Tail = 1 + rnd.IntN(300)
	}
	var want []logs.Line
	for _, l := range m.lines[q.Stream] {
		if !l.At.Before(q.Since) {
			want = append(want, l)
		}
	}
	if q.Tail > 0 {
		want = want[max(0, len(want)-q.Tail):]
	}
	mustEqual(t, q, want, read(t, s, q))
	q = logs.Query{}
	if rnd.IntN(2) == 0 {
		q.Tail = 1 + rnd.IntN(300)
	}
	all := slices.Concat(m.lines["instance/0"], m.lines["instance/1"], m.lines["instance/2"])
	slices.SortStableFunc(all, func(a, b logs.Line) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(a.Stream, b.Stream)
	})
	if q.Tail > 0 {
		all = all[max(0, len(all)-q.Tail):]
		// Any of several lines with one time may be left out.
		if got := read(t, s, q); len(got) != len(all) || len(got) > 0 && !got[0].At.Equal(all[0].At) {
			t.Fatalf("tail of all streams has %d lines, want %d", len(got), len(all))
		}
		return
	}
	mustEqual(t, q, all, read(t, s, q))
}

// mustEqual uses cmp only for lists that differ, since it is slow on long ones.
func mustEqual(t *testing.T, q logs.Query, want, got []logs.Line) {
	t.Helper()
	if !slices.Equal(want, got) {
		t.Fatalf("%+v: %s", q, cmp.Diff(want, got))
	}
}

// tear leaves half a line, or the zeros of an interrupted write, at the end of
// every plain segment that may be the last, as a crash does.
func tear(t *testing.T, dir string) {
	t.Helper()
	for st := range 3 {
		plain, err := filepath.Glob(filepath.Join(dir, service, "instance", fmt.Sprint(st), "*.log"))
		if err != nil || len(plain) == 0 {
			continue
		}
		f, err := os.OpenFile(slices.Max(plain), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		garbage := []string{"2020-01-01T00:00:00.000000000Z o 1 torn", "2020-01-", string(make([]byte, 300<<10))}[st]
		if _, err := f.WriteString(garbage); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	s := newStore(t, logs.Config{SegmentBytes: 4 << 10})
	fill(t, s, 100, "instance/a")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []string
	next := 100
	write := func(name string) {
		appendLines(t, s, stream(name), logs.Line{At: past.Add(time.Duration(next) * time.Second), Kind: logs.Stdout, Text: fmt.Sprintf("line %04d", next)})
		next++
	}
	for l, err := range s.Read(ctx, logs.Query{Service: service, Tail: 10, Follow: true}) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Read ended with %v", err)
			}
			break
		}
		got = append(got, l.Text)
		// Reading a line appends the next one, so that each is read as it comes,
		// across rotations, sealed segments and new streams.
		switch {
		case len(got) < 10:
		case next == 600:
			cancel()
		case next%100 == 50:
			s.Sweep(ctx, time.Now())
			write("instance/a")
		case next%3 == 0:
			write("instance/b")
		default:
			write("instance/a")
		}
	}
	if diff := cmp.Diff(numbers(90, 600, 1), got); diff != "" {
		t.Error(diff)
	}
}

// TestFollowAtOnce reads, writes and seals from several goroutines.
func TestFollowAtOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t, logs.Config{SegmentBytes: 16 << 10})
	ctx, cancel := context.WithCancel(t.Context())
	const writers, each = 3, 2000
	done := make(chan error, writers+1)
	for w := range writers {
		go func() {
			for i := range each {
				_, err := s.Append(ctx, stream(fmt.Sprintf("instance/%d", w)), []logs.Line{{At: time.Now(), Kind: logs.Stdout, Text: fmt.Sprint(i)}})
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	go func() { done <- s.Run(ctx) }()
	next := map[string]int{}
	for l, err := range s.Read(ctx, logs.Query{Service: service, Follow: true, Limit: writers * each}) {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprint(next[l.Stream]); l.Text != want {
			t.Fatalf("%s: line %s came instead of %s", l.Stream, l.Text, want)
		}
		next[l.Stream]++
	}
	cancel()
	for range writers + 1 {
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

func TestTimesNeverGoDown(t *testing.T) {
	t.Parallel()
	s := newStore(t, logs.Config{})
	future := time.Now().Add(time.Hour)
	appendLines(t, s, stream("a"), logs.Line{At: past.Add(time.Hour), Kind: logs.Stdout}, logs.Line{At: past, Kind: logs.Stdout}, logs.Line{At: future, Kind: logs.Stdout})
	lines := read(t, s, logs.Query{})
	if !lines[1].At.Equal(lines[0].At) || !lines[2].At.Before(future) {
		t.Errorf("times are %v, %v, %v", lines[0].At, lines[1].At, lines[2].At)
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain\ttext":        "plain\ttext",
		"grüße 世界":           "grüße 世界",
		"\x1b[2J\a":          `\x1b[2J\x07`,
		"bad \xff\xfe end":   `bad \xff\xfe end`,
		"\u202eevil\u009b":   `\u{202e}evil\u{9b}`,
		"carriage\r":         "carriage",
		"in\rside":           `in\x0dside`,
		"\x7f":               `\x7f`,
		"replacement \ufffd": "replacement \ufffd",
	} {
		if got := (logs.Line{Text: text}).Printable(); got != want {
			t.Errorf("%q prints as %q, want %q", text, got, want)
		}
	}
}
