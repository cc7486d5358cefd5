package term

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Progress shows work as it goes on: finished lines that stay, and, on a
// terminal, one last line that is redrawn to tell what is under way. It is not
// safe for concurrent use.
type Progress struct {
	w     io.Writer
	style Style
	width int
	drawn bool      // a status line is on the screen
	next  time.Time // when the next one may be drawn over it
}

// redrawEvery is the least time between two drawings of the status line, and
// from the beginning to the first: what is over at once needs none.
const redrawEvery = 100 * time.Millisecond

// NewProgress returns a Progress that writes to w. A width of w's terminal is
// read once.
func NewProgress(w io.Writer, st Style) *Progress {
	return &Progress{w: w, style: st, width: Width(w), next: time.Now().Add(redrawEvery)}
}

// Say writes a line that stays.
func (p *Progress) Say(t Tone, format string, args ...any) {
	p.line()
	fmt.Fprintln(p.w, p.style.Render(t, Printable(fmt.Sprintf(format, args...))))
}

// Step writes a line that stays, for something that happened so long after the
// work began.
func (p *Progress) Step(after time.Duration, text string) {
	p.line()
	stamp := fmt.Sprintf("%7.1fs", max(after, 0).Seconds())
	fmt.Fprintf(p.w, "%s  %s\n", p.style.Render(Faint, stamp), Printable(text))
}

// Status replaces the line that tells what is under way. Without a terminal it
// does nothing: such a line is out of date as soon as it stands in a file. It
// may be called as often as there is news; what comes too soon is not drawn.
func (p *Progress) Status(format string, args ...any) {
	now := time.Now()
	if !p.style.Live || now.Before(p.next) {
		return
	}
	p.next = now.Add(redrawEvery)
	p.Clear()
	text := shorten(Printable(fmt.Sprintf(format, args...)), p.width-1)
	fmt.Fprint(p.w, p.style.Render(Faint, text))
	p.drawn = true
}

// line makes room for a line that stays. The status may be drawn below it at
// once, if one was there.
func (p *Progress) line() {
	if p.drawn {
		p.next = time.Time{}
	}
	p.Clear()
}

// Clear removes the status line.
func (p *Progress) Clear() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

// shorten cuts s to n runes, the last of them an ellipsis: a status line that
// wraps could not be taken back by a carriage return.
func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n || n < 1 {
		return s
	}
	var b strings.Builder
	for i, r := range []rune(s) {
		if i == n-1 {
			break
		}
		b.WriteRune(r)
	}
	return b.String() + "…"
}
