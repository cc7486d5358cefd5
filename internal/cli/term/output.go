package term

import (
	"io"
	"os"
	"strings"
	"sync"
)

// Output writes text to a terminal and lets nothing through that a terminal acts on but
// line breaks, tabs and colours, whoever wrote it: it guards what code forgot to make
// Printable. Colours end with their line. It is safe for concurrent use.
type Output struct {
	w      io.Writer
	colors bool

	mu   sync.Mutex // guards the fields below, and the order of writes
	held string     // the beginning of a sequence or character
	open bool       // a colour is set
}

// Guard returns an Output that writes to w. colors permits colours.
func Guard(w io.Writer, colors bool) *Output { return &Output{w: w, colors: colors} }

// Write writes text.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.held + string(p)
	o.held = ""
	var b strings.Builder
	for len(s) > 0 {
		kind, n := scan(s, false)
		if kind == incomplete {
			o.held = s
			break
		}
		o.add(&b, kind, s[:n])
		s = s[n:]
	}
	if _, err := io.WriteString(o.w, b.String()); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (o *Output) add(b *strings.Builder, kind token, s string) {
	switch kind {
	case shown:
		b.WriteString(s)
	case newline:
		if o.open {
			b.WriteString(resetSGR)
			o.open = false
		}
		b.WriteByte('\n')
	case blank:
		if s == "\t" {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	case color:
		if sgr := harmlessSGR(s); o.colors && sgr != "" {
			b.WriteString(sgr)
			o.open = sgr != resetSGR
		}
	case sequence:
	default:
		b.WriteString(replacement)
	}
}

// control writes a sequence of this package to w, past an Output.
func control(w io.Writer, sequence string) {
	o, ok := w.(*Output)
	if !ok {
		io.WriteString(w, sequence)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	io.WriteString(o.w, sequence)
}

// fileOf returns the file that v is or writes to.
func fileOf(v any) (*os.File, bool) {
	if o, ok := v.(*Output); ok {
		v = o.w
	}
	f, ok := v.(*os.File)
	return f, ok
}
