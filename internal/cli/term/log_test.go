package term_test

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway/internal/cli/term"
)

func TestLogHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		log := slog.New(term.NewLogHandler(&b, term.Style{}, slog.LevelInfo)).With("part", "fleet")
		log.Debug("never")
		log.Info("instance ended", "code", 3, "ran", 1500*time.Millisecond, "signal", "", "cause", "two\nlines \x1b[2J", "err", errors.New("no such file"))
		log.WithGroup("g").Warn("again\x1b]0;t\x07", "a", 1, slog.Group("h", "b", "c=d"))
		log.Error("failed")
		now := time.Now().Format("15:04:05")
		want := now + ` INFO  instance ended part=fleet code=3 ran=1.5s signal="" cause="two\nlines \x1b[2J" err="no such file"` + "\n" +
			now + ` WARN  again part=fleet g.a=1 g.h.b="c=d"` + "\n" + now + " ERROR failed part=fleet\n"
		if b.String() != want {
			t.Errorf("got\n%s\nwant\n%s", b.String(), want)
		}
		b.Reset()
		slog.New(term.NewLogHandler(&b, term.Style{Color: true}, slog.LevelInfo)).Warn("x", "a", 1)
		if want := "\x1b[2m" + now + "\x1b[0m \x1b[33mWARN\x1b[0m  x \x1b[2ma=\x1b[0m1\n"; b.String() != want {
			t.Errorf("got %q, want %q", b.String(), want)
		}
	})
}

// The handler keeps slog's rules.
func TestLogHandlerRules(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		b.Reset()
		return term.NewLogHandler(&b, term.Style{}, slog.LevelInfo)
	}, func(*testing.T) map[string]any { return parseLog(b.String()) })
}

// parseLog parses a line of values without spaces.
func parseLog(line string) map[string]any {
	out := map[string]any{}
	var words []string
	for _, w := range bytes.Fields([]byte(line)) {
		words = append(words, string(w))
	}
	if _, err := time.Parse("15:04:05", words[0]); err == nil {
		out[slog.TimeKey], words = words[0], words[1:]
	}
	out[slog.LevelKey], out[slog.MessageKey] = words[0], words[1]
	for _, w := range words[2:] {
		path, value, _ := bytes.Cut([]byte(w), []byte("="))
		at := out
		keys := bytes.Split(path, []byte("."))
		for _, k := range keys[:len(keys)-1] {
			next, ok := at[string(k)].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[string(k)] = next
			}
			at = next
		}
		at[string(keys[len(keys)-1])] = string(value)
	}
	return out
}
