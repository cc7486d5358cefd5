package cloudwatch

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/logs"
)

// Limits of one reply, as in CloudWatch Logs.
const (
	maxEvents     = 10_000
	maxEventBytes = 1 << 20
)

type getLogEventsInput struct {
	Group      *string `json:"logGroupName"`
	Identifier *string `json:"logGroupIdentifier"`
	Stream     *string `json:"logStreamName"`
	Start      *int64  `json:"startTime"` // milliseconds since 1970, inclusive
	End        *int64  `json:"endTime"`   // exclusive
	Token      *string `json:"nextToken"`
	Limit      *int    `json:"limit"`
	FromHead   *bool   `json:"startFromHead"`
}

type getLogEventsOutput struct {
	Events   []logEvent `json:"events"`
	Forward  string     `json:"nextForwardToken"`
	Backward string     `json:"nextBackwardToken"`
}

type logEvent struct {
	Stream   *string `json:"logStreamName"` // set only by FilterLogEvents
	At       int64   `json:"timestamp"`
	Message  string  `json:"message"`
	Ingested int64   `json:"ingestionTime"`
	ID       *string `json:"eventId"` // set only by FilterLogEvents
}

// newEvent returns the event of a line. Text that is not UTF-8 is replaced.
func newEvent(l logs.Line) logEvent {
	at := l.At.UnixMilli()
	return logEvent{At: at, Message: strings.ToValidUTF8(l.Text, "\uFFFD"), Ingested: at}
}

// position is a position between two lines that are sorted by time: after all
// lines before at (nanoseconds since 1970) and after n of the lines with time at.
// It stays valid while lines are appended.
type position struct {
	at int64
	n  int
}

func (p position) time() time.Time { return time.Unix(0, p.at).UTC() }

func (p position) token(direction string) string {
	return fmt.Sprintf("%s/%d/%d", direction, p.at, p.n)
}

// pass returns the position after the line that follows p.
func (p position) pass(l logs.Line) position {
	if at := l.At.UnixNano(); at != p.at {
		return position{at, 1}
	}
	p.n++
	return p
}

func parsePosition(token string) (p position, forward bool, err error) {
	direction, _, _ := strings.Cut(token, "/")
	_, err = fmt.Sscanf(token, direction+"/%d/%d", &p.at, &p.n)
	if err != nil || direction != "f" && direction != "b" || p.at < 0 || p.n < 0 || p.token(direction) != token {
		return p, false, errLogsToken
	}
	return p, direction == "f", nil
}

// getLogEvents reads a stream forwards or backwards. At either end the reply has
// no events and the token of the request.
func (l *Logs) getLogEvents(ctx context.Context, _ *gateway.Call, in *getLogEventsInput) (*getLogEventsOutput, error) {
	limit, err := limited(in.Limit, maxEvents, maxEvents)
	if err != nil {
		return nil, err
	}
	if value(in.Stream) == "" {
		return nil, invalidParameter("1 validation error detected: Value null at 'logStreamName' failed to satisfy constraint: Member must not be null")
	}
	g, err := l.findLogGroup(ctx, in.Group, in.Identifier)
	if err != nil {
		return nil, err
	}
	if err := g.mustHave(ctx, *in.Stream); err != nil {
		return nil, err
	}
	r := streamReader{g.output, logs.Query{Service: g.service, Stream: *in.Stream, Since: instant(in.Start), Until: instant(in.End)}, limit}
	from, forward := position{}, value(in.FromHead)
	if !r.query.Since.IsZero() {
		from.at = r.query.Since.UnixNano()
	}
	if token := value(in.Token); token != "" {
		if from, forward, err = parsePosition(token); err != nil {
			return nil, err
		}
	} else if !forward {
		return r.last(ctx, from)
	}
	if forward {
		return r.forward(ctx, from)
	}
	return r.backward(ctx, from)
}

// instant converts a time in milliseconds. It is clamped to what 64 bits can
// express in nanoseconds.
func instant(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return time.UnixMilli(min(max(*ms, 1), 9_000_000_000_000)).UTC()
}

// streamReader reads pages of one stream.
type streamReader struct {
	output Output
	query  logs.Query
	limit  int
}

// answer returns the reply with the lines after a position.
func answer(before position, lines []logs.Line) *getLogEventsOutput {
	out := getLogEventsOutput{Events: []logEvent{}}
	after := before
	for _, l := range lines {
		after = after.pass(l)
		out.Events = append(out.Events, newEvent(l))
	}
	out.Forward, out.Backward = after.token("f"), before.token("b")
	return &out
}

// forward reads the lines after a position.
func (r streamReader) forward(ctx context.Context, from position) (*getLogEventsOutput, error) {
	q := r.query
	if at := from.time(); at.After(q.Since) {
		q.Since = at
	}
	var lines []logs.Line
	size, skip := 0, from.n
	for l, err := range r.output.Read(ctx, q) {
		if err != nil {
			return nil, err
		}
		if skip > 0 && l.At.UnixNano() == from.at {
			skip--
			continue
		}
		size += len(l.Text)
		if len(lines) == r.limit || size > maxEventBytes && len(lines) > 0 {
			break
		}
		lines = append(lines, l)
	}
	return answer(from, lines), nil
}

// backward reads the lines before a position: those of earlier times, then the
// first from.n lines of its own time.
func (r streamReader) backward(ctx context.Context, from position) (*getLogEventsOutput, error) {
	w := window{limit: r.limit}
	q := r.query
	if at := from.time(); q.Until.IsZero() || at.Before(q.Until) {
		q.Until = at
	}
	q.Tail = r.limit
	if err := w.read(ctx, r.output, q); err != nil {
		return nil, err
	}
	if from.n > 0 {
		q = r.query
		q.Since, q.Until, q.Limit = from.time(), from.time().Add(1), from.n
		if err := w.read(ctx, r.output, q); err != nil {
			return nil, err
		}
	}
	if len(w.lines) == 0 {
		return answer(from, nil), nil
	}
	before, err := r.before(ctx, w.lines, from)
	return answer(before, w.lines), err
}

// last reads the end of the stream. If it has no lines, the reply's tokens
// continue from the beginning.
func (r streamReader) last(ctx context.Context, beginning position) (*getLogEventsOutput, error) {
	const never = 1<<63 - 1
	out, err := r.backward(ctx, position{at: never})
	if err == nil && len(out.Events) == 0 {
		out = answer(beginning, nil)
	}
	return out, err
}

// before returns the position before lines, which end at until. If lines were
// removed since they were read, no lines precede them.
func (r streamReader) before(ctx context.Context, lines []logs.Line, until position) (position, error) {
	p := position{at: lines[0].At.UnixNano()}
	for _, l := range lines {
		if l.At.UnixNano() == p.at {
			p.n--
		}
	}
	if p.at == until.at {
		p.n += until.n
		return p, nil
	}
	q := r.query
	q.Since, q.Until = p.time(), p.time().Add(1)
	for _, err := range r.output.Read(ctx, q) {
		if err != nil {
			return p, err
		}
		p.n++
	}
	p.n = max(p.n, 0)
	return p, nil
}

// window keeps the last lines that fit in one reply.
type window struct {
	limit int
	lines []logs.Line
	size  int
}

func (w *window) read(ctx context.Context, o Output, q logs.Query) error {
	for l, err := range o.Read(ctx, q) {
		if err != nil {
			return err
		}
		w.lines = append(w.lines, l)
		w.size += len(l.Text)
		for len(w.lines) > w.limit || w.size > maxEventBytes && len(w.lines) > 1 {
			w.size -= len(w.lines[0].Text)
			w.lines = w.lines[1:]
		}
	}
	return nil
}
