package term

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// LogHandler writes log records for people at a terminal: a line with the time of day,
// the level, the message and its attributes.
type LogHandler struct {
	style  Style
	level  slog.Leveler
	attrs  string // formatted
	prefix string // of the keys of attributes, ended by a dot

	mu *sync.Mutex // guards writes to w
	w  io.Writer
}

var _ slog.Handler = (*LogHandler)(nil)

// NewLogHandler returns a handler that writes records of a level or above to w.
func NewLogHandler(w io.Writer, st Style, level slog.Leveler) *LogHandler {
	return &LogHandler{style: st, level: level, mu: &sync.Mutex{}, w: w}
}

// Enabled implements slog.Handler.
func (h *LogHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// Handle implements slog.Handler.
func (h *LogHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	if !r.Time.IsZero() {
		b.WriteString(h.style.Render(Faint, r.Time.Format("15:04:05")) + " ")
	}
	level := r.Level.String()
	b.WriteString(h.style.Render(levelTone(r.Level), level) + strings.Repeat(" ", max(1, 6-len(level))))
	b.WriteString(Printable(r.Message) + h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		h.format(&b, h.prefix, a)
		return true
	})
	b.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, b.String())
	return err
}

// WithAttrs implements slog.Handler.
func (h *LogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	for _, a := range attrs {
		h.format(&b, h.prefix, a)
	}
	with := *h
	with.attrs += b.String()
	return &with
}

// WithGroup implements slog.Handler.
func (h *LogHandler) WithGroup(name string) slog.Handler {
	with := *h
	if name != "" {
		with.prefix += name + "."
	}
	return &with
}

func (h *LogHandler) format(b *strings.Builder, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	switch {
	case a.Equal(slog.Attr{}):
		return
	case v.Kind() == slog.KindGroup:
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range v.Group() {
			h.format(b, prefix, member)
		}
		return
	}
	text := v.String()
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '"' || r == '=' }) || Printable(text) != text {
		text = Printable(strconv.Quote(text))
	}
	b.WriteString(" " + h.style.Render(Faint, Printable(prefix+a.Key)+"=") + text)
}

func levelTone(l slog.Level) Tone {
	i, exact := slices.BinarySearch([]slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError}, l)
	if exact {
		i++
	}
	return []Tone{Faint, Good, Warn, Bad}[i]
}
