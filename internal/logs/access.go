package logs

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// AccessStream is the name of the stream with the access log of a service.
const AccessStream = "access"

// Bounds of the lines of access logs that are not written yet, in bytes with lineCost, and
// the time for which lines are gathered before they are written.
const (
	maxPending    = 1 << 20  // of a service
	maxPendingAll = 32 << 20 // of all services
	gather        = 100 * time.Millisecond
)

// Access writes the access logs of services. Whoever adds a line never waits: lines are kept
// in memory until Run writes them, and what exceeds the bounds is dropped and counted. A
// service whose log exceeds the rate of an instance's output is written more slowly, so
// that its lines are dropped.
type Access struct {
	store *Store
	log   *slog.Logger
	flood flood

	wake    chan struct{} // there are lines
	full    chan struct{} // a service has too many to gather more
	dropped atomic.Int64

	mu      sync.Mutex // guards the rest
	pending map[string]*pending
	size    int64 // of all that are pending
}

// pending are the lines of a service that are not written.
type pending struct {
	text []byte // of the lines, one after the other
	ends []lineEnd
	size int64
	lost int64 // lines dropped since the last that is kept
	over bool  // no more lines are expected: the file is to be closed

	// Used only by Run.
	spare     []byte // memory for text
	spareEnds []lineEnd
	use       use
	failed    bool // the last lines could not be written
}

// lineEnd is a line in pending.text.
type lineEnd struct {
	at   time.Time
	end  int
	lost int64 // lines that were dropped before it
}

// NewAccess returns an Access that writes nothing before Run.
func NewAccess(store *Store, log *slog.Logger) *Access {
	return &Access{store: store, log: log, wake: make(chan struct{}, 1), full: make(chan struct{}, 1), pending: map[string]*pending{}}
}

// Add takes a copy of a line without a newline, or drops it. It does not block.
func (a *Access) Add(service string, at time.Time, line []byte) {
	a.mu.Lock()
	p := a.pending[service]
	if p == nil {
		p = &pending{}
		a.pending[service] = p
	}
	cost := int64(len(line)) + lineCost
	if len(line) > MaxLine || p.size+cost > maxPending || a.size+cost > maxPendingAll {
		p.lost++
		a.mu.Unlock()
		a.dropped.Add(1)
		return
	}
	p.text = append(p.text, line...)
	p.ends = append(p.ends, lineEnd{at, len(p.text), p.lost})
	first, full := len(p.ends) == 1, p.size <= maxPending/2 && p.size+cost > maxPending/2
	p.size, a.size, p.lost = p.size+cost, a.size+cost, 0
	a.mu.Unlock()
	if first {
		signal(a.wake)
	}
	if full {
		signal(a.full)
	}
}

// End closes a service's file once the lines so far are written, as the service is gone. It
// does not block. Another line opens the file again.
func (a *Access) End(service string) {
	a.mu.Lock()
	p := a.pending[service]
	if p == nil {
		p = &pending{}
		a.pending[service] = p
	}
	p.over = true
	a.mu.Unlock()
	signal(a.wake)
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Dropped returns how many lines were dropped since the start.
func (a *Access) Dropped() int64 { return a.dropped.Load() }

// Run writes lines until ctx ends, and then those that are left.
func (a *Access) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return a.end(ctx)
		case <-a.wake:
		}
		for left := true; left; {
			timer := time.NewTimer(gather)
			select {
			case <-ctx.Done():
				timer.Stop()
				return a.end(ctx)
			case <-timer.C:
			case <-a.full:
				timer.Stop()
			}
			left = a.write(context.WithoutCancel(ctx), time.Now())
		}
	}
}

// end writes all that is left, whatever the rates.
func (a *Access) end(ctx context.Context) error {
	for service, p := range a.take(time.Now()) {
		a.writeOne(context.WithoutCancel(ctx), service, p, time.Now())
	}
	return ctx.Err()
}

// write writes the lines of the services that are within their rates. It reports whether
// others have lines.
func (a *Access) write(ctx context.Context, now time.Time) (left bool) {
	for service, p := range a.take(now) {
		if a.flood.wait(&p.use, now) > 0 {
			left = true
			continue
		}
		a.writeOne(ctx, service, p, now)
	}
	return left
}

// take returns the services that have lines, and forgets those that had none for long
// enough to be within their rate.
func (a *Access) take(now time.Time) map[string]*pending {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.pending, func(_ string, p *pending) bool {
		if p.waits() || p.use.until.After(now) {
			return false
		}
		a.flood.leave(&p.use)
		return true
	})
	list := map[string]*pending{}
	for service, p := range a.pending {
		if p.waits() {
			list[service] = p
		}
	}
	return list
}

// waits reports whether something is to be done for the service. The lock of Access is held.
func (p *pending) waits() bool { return len(p.ends) > 0 || p.lost > 0 || p.over }

// writeOne writes the lines of a service. Those that cannot be written are dropped and
// counted; a notice of them precedes the next line.
func (a *Access) writeOne(ctx context.Context, service string, p *pending, now time.Time) {
	a.mu.Lock()
	text, ends, size := p.text, p.ends, p.size
	p.text, p.ends, p.size = p.spare, p.spareEnds, 0
	last := p.lost // there is no line after them
	over := p.over
	p.lost, p.over = 0, false
	a.size -= size
	a.mu.Unlock()
	p.spare, p.spareEnds = text[:0], ends[:0]
	if cap(text) > batch {
		p.spare, p.spareEnds = nil, nil
	}
	lines, weights := accessLines(string(text), ends)
	if last > 0 {
		lines, weights = append(lines, droppedLine(now, last)), append(weights, weight{last, true})
	}
	n, err := a.store.Append(ctx, Stream{Service: service, Name: AccessStream}, lines)
	a.flood.spend(&p.use, size, now)
	if err != nil {
		a.missing(service, p, weights[n:], err)
	}
	p.failed = err != nil
	if over {
		a.store.Rest(Stream{Service: service, Name: AccessStream})
	}
}

// missing counts lines that could not be written.
func (a *Access) missing(service string, p *pending, weights []weight, err error) {
	var dropped, lost int64
	for _, w := range weights {
		lost += w.lines
		if !w.notice {
			dropped++
		}
	}
	if !p.failed {
		a.log.Error("drop lines of an access log", "service", service, "lines", dropped, "err", err)
	}
	a.dropped.Add(dropped)
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(p.ends) > 0 {
		p.ends[0].lost += lost
	} else {
		p.lost += lost
	}
}

// weight is how many requests a line stands for.
type weight struct {
	lines  int64
	notice bool
}

// accessLines returns the lines in text, with notices of those that were dropped. A notice
// is a JSON object as well.
func accessLines(text string, ends []lineEnd) (lines []Line, weights []weight) {
	lines, weights = make([]Line, 0, len(ends)), make([]weight, 0, len(ends))
	from := 0
	for _, e := range ends {
		if e.lost > 0 {
			lines, weights = append(lines, droppedLine(e.at, e.lost)), append(weights, weight{e.lost, true})
		}
		lines, weights = append(lines, Line{At: e.at, Kind: Stdout, Text: text[from:e.end]}), append(weights, weight{1, false})
		from = e.end
	}
	return lines, weights
}

func droppedLine(at time.Time, lines int64) Line {
	text := fmt.Sprintf(`{"time":%q,"dropped":%d}`, at.UTC().Format("2006-01-02T15:04:05.000Z"), lines)
	return Line{At: at, Kind: Notice, Text: text}
}

// AccessLine is a line of an access log that one process keeps and another one writes.
type AccessLine struct {
	At   time.Time
	Text []byte // nil: there is no line, only what was dropped
	Lost int64  // lines that were dropped before it
}

// Leave forgets the lines that are not written and returns them, by service. It must be
// called after Run has ended; lines may still be added.
func (a *Access) Leave() map[string][]AccessLine {
	a.mu.Lock()
	defer a.mu.Unlock()
	left := map[string][]AccessLine{}
	for service, p := range a.pending {
		from := 0
		for _, e := range p.ends {
			left[service] = append(left[service], AccessLine{e.at, p.text[from:e.end:e.end], e.lost})
			from = e.end
		}
		if p.lost > 0 {
			left[service] = append(left[service], AccessLine{At: time.Now(), Lost: p.lost})
		}
	}
	clear(a.pending)
	a.size = 0
	return left
}

// Join adds lines that another process has left. What that has dropped is counted here.
func (a *Access) Join(service string, lines []AccessLine) {
	for _, l := range lines {
		if l.Lost > 0 {
			a.dropped.Add(l.Lost)
			a.lose(service, l.Lost)
		}
		if l.Text != nil {
			a.Add(service, l.At, l.Text)
		}
	}
}

// lose notes that lines were dropped before the next one.
func (a *Access) lose(service string, lines int64) {
	a.mu.Lock()
	p := a.pending[service]
	if p == nil {
		p = &pending{}
		a.pending[service] = p
	}
	p.lost += lines
	a.mu.Unlock()
	signal(a.wake)
}
