// Package term formats output for people: tables, colours, relative times and
// progress. It decides how output looks, not what it says, and knows nothing of App
// Runner. It only writes to the writers it is given.
//
// Only cmd/slipway imports it.
package term

import (
	"io"

	"golang.org/x/term"
)

// Style is what a writer can show.
type Style struct {
	// Color permits colours (SGR sequences).
	Color bool
	// Live permits redrawing a line: the writer is a terminal with cursor
	// movement.
	Live bool
	// Width is the terminal's number of columns; 0 if the writer is none.
	Width int
}

// StyleFor returns the style of w. Colour needs a terminal, an empty NO_COLOR (https://no-color.org) and a TERM that is not "dumb".
func StyleFor(w io.Writer, getenv func(string) string) Style {
	if !IsTerminal(w) {
		return Style{}
	}
	live := getenv("TERM") != "dumb" && understandsSequences(w)
	return Style{Live: live, Color: live && getenv("NO_COLOR") == "", Width: Width(w)}
}

// IsTerminal reports whether v is an *os.File that is a terminal, or an Output to one.
func IsTerminal(v any) bool {
	f, ok := fileOf(v)
	if !ok {
		return false
	}
	return term.IsTerminal(int(f.Fd()))
}

// Width returns the number of columns of the terminal w, or 80 if it is unknown.
func Width(w io.Writer) int {
	const usual = 80
	f, ok := fileOf(w)
	if !ok {
		return usual
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil || columns <= 0 {
		return usual
	}
	return columns
}

// Height returns the number of rows of the terminal w, or 24 if it is unknown.
func Height(w io.Writer) int {
	const usual = 24
	f, ok := fileOf(w)
	if !ok {
		return usual
	}
	_, rows, err := term.GetSize(int(f.Fd()))
	if err != nil || rows <= 0 {
		return usual
	}
	return rows
}

// Tone is the meaning of a text, shown as its colour.
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

// Render returns s in the colour of t, or s itself if colour is not permitted.
func (st Style) Render(t Tone, s string) string {
	code, ok := sgr[t]
	if !st.Color || !ok || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
