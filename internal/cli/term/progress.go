package term

import (
	"fmt"
	"io"
	"time"
)

// Progress shows the progress of work: permanent lines, and on a terminal a status
// line below them that is redrawn. It is not safe for concurrent use.
type Progress struct {
	w     io.Writer
	style Style
	width int
	drawn bool      // a status line is on the screen
	phase string    // what is being done; "" if no phase began
	begun time.Time // when it did
	next  time.Time // when the next one may be drawn over it
}

// redrawEvery is the minimum time between redraws of the status line, and before
// the first: short work needs no status.
const redrawEvery = 100 * time.Millisecond

// NewProgress returns a Progress that writes to w. The width of w's terminal is
// read once.
func NewProgress(w io.Writer, st Style) *Progress {
	return &Progress{w: w, style: st, width: Width(w), next: time.Now().Add(redrawEvery)}
}

// Say writes a permanent line.
func (p *Progress) Say(t Tone, format string, args ...any) {
	p.line()
	fmt.Fprintln(p.w, p.style.Render(t, Printable(fmt.Sprintf(format, args...))))
}

// Step writes a permanent line for something that happened at this time after the
// work began.
func (p *Progress) Step(after time.Duration, text string) {
	p.line()
	stamp := fmt.Sprintf("%7.1fs", max(after, 0).Seconds())
	fmt.Fprintf(p.w, "%s  %s\n", p.style.Render(Faint, stamp), Printable(text))
}

// Phase begins what is being done now, and ends what was done before. On a terminal the
// phase is a status line with the time that it takes, and a permanent line when it ends;
// elsewhere it is a permanent line at once.
func (p *Progress) Phase(text string) {
	p.EndPhase()
	if !p.style.Live {
		p.Say(Plain, "%s", text)
		return
	}
	p.phase, p.begun = text, time.Now()
	p.line()
	p.next = time.Time{}
	p.Status("%s", text)
}

// EndPhase ends the phase, if there is one.
func (p *Progress) EndPhase() {
	if p.phase == "" {
		return
	}
	p.line()
	fmt.Fprintf(p.w, "%s %s\n", Cut(Printable(p.phase), max(p.width-12, least)), p.style.Render(Faint, "("+Took(time.Since(p.begun))+")"))
	p.phase = ""
}

// PhaseStatus is Status with what the phase does, and for how long.
func (p *Progress) PhaseStatus(detail string) {
	if p.phase == "" {
		p.Status("%s", detail)
		return
	}
	text := fmt.Sprintf("%s (%s)", p.phase, Took(time.Since(p.begun)))
	if detail != "" {
		text += " " + detail
	}
	p.Status("%s", text)
}

// Status replaces the status line. Without a terminal it does nothing. It may be
// called often; updates that come too soon are not drawn.
func (p *Progress) Status(format string, args ...any) {
	now := time.Now()
	if !p.style.Live || now.Before(p.next) {
		return
	}
	p.next = now.Add(redrawEvery)
	p.Clear()
	text := Cut(Printable(fmt.Sprintf(format, args...)), p.width-1)
	fmt.Fprint(p.w, p.style.Render(Faint, text))
	p.drawn = true
}

// line makes room for a permanent line. A status line that was shown may be redrawn
// below it at once.
func (p *Progress) line() {
	if p.drawn {
		p.next = time.Time{}
	}
	p.Clear()
}

// Clear removes the status line.
func (p *Progress) Clear() {
	if p.drawn {
		control(p.w, "\r\x1b[K")
		p.drawn = false
	}
}
