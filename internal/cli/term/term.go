// Package term writes for people: tables, colour, relative times and the
// progress of work. It decides how things look, never what is said; it knows
// no App Runner word and does no I/O but writing to the writers it is given.
//
// Only cmd/slipway uses it.
package term

import (
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Style says how text may be dressed for one writer.
type Style struct {
	// Color permits SGR sequences.
	Color bool
	// Live permits a line to be redrawn: the writer is a terminal that
	// understands cursor movement.
	Live bool
}

// StyleFor returns what w can show. Colour needs a terminal, a NO_COLOR that
// is empty (https://no-color.org) and a TERM that is not "dumb".
func StyleFor(w io.Writer, getenv func(string) string) Style {
	live := IsTerminal(w) && getenv("TERM") != "dumb"
	return Style{Live: live, Color: live && getenv("NO_COLOR") == ""}
}

// IsTerminal reports whether v is an *os.File that is a terminal.
func IsTerminal(v any) bool {
	f, ok := v.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// Width returns the number of columns of the terminal w, or 80 when w is none
// or does not say.
func Width(w io.Writer) int {
	const usual = 80
	f, ok := w.(*os.File)
	if !ok {
		return usual
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return usual
	}
	return int(size.Col)
}

// Tone is the mood of a piece of text.
type Tone int

const (
	Plain Tone = iota
	Strong
	Faint
	Good
	Warn
	Bad
)

var sgr = map[Tone]string{Strong: "1", Faint: "2", Good: "32", Warn: "33", Bad: "31"}

// Render returns s in the tone t, or s itself where colour is not permitted.
func (st Style) Render(t Tone, s string) string {
	code, ok := sgr[t]
	if !st.Color || !ok || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// Printable returns s without the control characters that would move the
// cursor, change colours or end the line: for foreign text within our own
// layout. A tab becomes a space.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < ' ', r >= 0x7f && r < 0xa0:
			return -1
		}
		return r
	}, s)
}
