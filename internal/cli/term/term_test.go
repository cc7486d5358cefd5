package term_test

import (
	"bytes"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway/internal/cli/term"
)

func TestAgo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		before time.Duration
		want   string
	}{
		{-time.Hour, "just now"},
		{0, "just now"},
		{999 * time.Millisecond, "just now"},
		{time.Second, "1 second ago"},
		{59 * time.Second, "59 seconds ago"},
		{time.Minute, "1 minute ago"},
		{119 * time.Second, "1 minute ago"},
		{time.Hour, "1 hour ago"},
		{47 * time.Hour, "47 hours ago"},
		{48 * time.Hour, "2 days ago"},
		{59 * 24 * time.Hour, "59 days ago"},
		{60 * 24 * time.Hour, "2 months ago"},
		{729 * 24 * time.Hour, "24 months ago"},
		{730 * 24 * time.Hour, "2 years ago"},
	} {
		if got := term.Ago(now, now.Add(-tc.before)); got != tc.want {
			t.Errorf("Ago(%v) = %q, want %q", tc.before, got, tc.want)
		}
	}
	if got := term.Ago(now, time.Time{}); got != "-" {
		t.Errorf("Ago(zero) = %q, want -", got)
	}
}

func TestTook(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second:                  "0 ms",
		12 * time.Millisecond:         "12 ms",
		999 * time.Millisecond:        "999 ms",
		1490 * time.Millisecond:       "1.4 s",
		59990 * time.Millisecond:      "59.9 s",
		125 * time.Second:             "2 m 05 s",
		time.Hour + 10*time.Minute:    "1 h 10 m",
		26*time.Hour + 59*time.Second: "26 h 00 m",
	} {
		if got := term.Took(d); got != want {
			t.Errorf("Took(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0:                 "0 B",
		999:               "999 B",
		1000:              "1.0 kB",
		9949:              "9.9 kB",
		9950:              "10 kB",
		999_499:           "999 kB",
		999_500:           "1.0 MB",
		34_400_000:        "34 MB",
		1_500_000_000:     "1.5 GB",
		2_000_000_000_000: "2.0 TB",
	} {
		if got := term.Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestTableAlignsByRunesAndLeavesNoTrailingSpace(t *testing.T) {
	t.Parallel()
	tab := term.Table{Head: []string{"NAME", "STATUS", "URL"}, Indent: " "}
	tab.Add(term.Cell{Text: "größe"}, term.Cell{Text: "RUNNING", Tone: term.Good}, term.Cell{Text: "u"})
	tab.Add(term.Cell{Text: "ab\x1b[31mcdef"}, term.Cell{Text: "PAUSED"}, term.Cell{})
	var plain, color bytes.Buffer
	if err := tab.Write(&plain, term.Style{}); err != nil {
		t.Fatal(err)
	}
	if err := tab.Write(&color, term.Style{Color: true}); err != nil {
		t.Fatal(err)
	}
	want := " NAME    STATUS   URL\n größe   RUNNING  u\n abcdef  PAUSED\n"
	if plain.String() != want {
		t.Errorf("plain:\n%q\nwant\n%q", plain.String(), want)
	}
	want = " \x1b[1mNAME\x1b[0m    \x1b[1mSTATUS\x1b[0m   \x1b[1mURL\x1b[0m\n" +
		" größe   \x1b[32mRUNNING\x1b[0m  u\n abcdef  PAUSED\n"
	if color.String() != want {
		t.Errorf("color:\n%q\nwant\n%q", color.String(), want)
	}
}

func TestProgressKeepsLinesAndRedrawsStatus(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		style term.Style
		want  string
	}{
		"file": {
			term.Style{},
			"Deploying web\n    1.2s  Pulled.\nweb is RUNNING\n",
		},
		"terminal": {
			term.Style{Live: true, Color: true},
			"Deploying web\n\x1b[2mpulling\x1b[0m\r\x1b[K\x1b[2mstarting\x1b[0m\r\x1b[K" +
				"\x1b[2m    1.2s\x1b[0m  Pulled.\n\x1b[2mchecking\x1b[0m\r\x1b[K\x1b[32mweb is RUNNING\x1b[0m\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var b bytes.Buffer
				p := term.NewProgress(&b, tc.style)
				p.Say(term.Plain, "Deploying %s", "web")
				p.Status("too soon")
				time.Sleep(100 * time.Millisecond)
				p.Status("pulling")
				p.Status("too soon")
				time.Sleep(100 * time.Millisecond)
				p.Status("starting")
				p.Step(1240*time.Millisecond, "Pulled\x1b[2J.")
				p.Status("checking")
				p.Say(term.Good, "web is RUNNING")
				p.Clear()
				if b.String() != tc.want {
					t.Errorf("got  %q\nwant %q", b.String(), tc.want)
				}
			})
		})
	}
}

func TestStatusNeverWraps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		p := term.NewProgress(&b, term.Style{Live: true})
		time.Sleep(time.Second)
		p.Status("%0100d", 7)
		if n := len([]rune(b.String())); n != 79 {
			t.Errorf("status has %d columns, want 79: %q", n, b.String())
		}
	})
}

func TestStyleForFile(t *testing.T) {
	t.Parallel()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if st := term.StyleFor(f, os.Getenv); st != (term.Style{}) {
		t.Errorf("StyleFor(file) = %+v, want none", st)
	}
	if st := term.StyleFor(&bytes.Buffer{}, os.Getenv); st != (term.Style{}) {
		t.Errorf("StyleFor(buffer) = %+v, want none", st)
	}
}

func TestStyleForTerminal(t *testing.T) {
	t.Parallel()
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo terminal here: %v", err)
	}
	defer f.Close()
	for _, tc := range []struct {
		env  map[string]string
		want term.Style
	}{
		{map[string]string{}, term.Style{Live: true, Color: true, Width: 80}},
		{map[string]string{"NO_COLOR": "1"}, term.Style{Live: true, Width: 80}},
		{map[string]string{"TERM": "dumb"}, term.Style{Width: 80}},
	} {
		if got := term.StyleFor(f, func(k string) string { return tc.env[k] }); got != tc.want {
			t.Errorf("StyleFor with %v = %+v, want %+v", tc.env, got, tc.want)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := term.JSON(&b, []byte(`{"a":[1,{"b":"<"}]}`)); err != nil {
		t.Fatal(err)
	}
	if want := "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"<\"\n    }\n  ]\n}\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	if err := term.JSON(&b, []byte(`{`)); err == nil {
		t.Error("broken JSON was accepted")
	}
}
