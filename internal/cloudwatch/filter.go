package cloudwatch

import (
	"context"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/logs"
	"github.com/openslipway/slipway/internal/page"
)

// maxScan is the largest number of lines that one call reads. If few of them
// match, the reply may be empty and have a token to continue.
const maxScan = 200_000

type filterLogEventsInput struct {
	Group      *string  `json:"logGroupName"`
	Identifier *string  `json:"logGroupIdentifier"`
	Streams    []string `json:"logStreamNames"`
	Prefix     *string  `json:"logStreamNamePrefix"`
	Start      *int64   `json:"startTime"` // milliseconds since 1970, inclusive
	End        *int64   `json:"endTime"`   // inclusive, unlike GetLogEvents'
	Pattern    *string  `json:"filterPattern"`
	Token      *string  `json:"nextToken"`
	Limit      *int     `json:"limit"`
}

type filterLogEventsOutput struct {
	Events   []logEvent       `json:"events"`
	Searched []searchedStream `json:"searchedLogStreams"` // always empty, as in CloudWatch Logs
	Token    *string          `json:"nextToken"`
}

type searchedStream struct{}

// filterLogEvents lists matching lines of a group's streams in order of time.
func (l *Logs) filterLogEvents(ctx context.Context, _ *gateway.Call, in *filterLogEventsInput) (*filterLogEventsOutput, error) {
	if len(in.Streams) > 0 && value(in.Prefix) != "" {
		return nil, invalidParameter("Only one of logStreamNames and logStreamNamePrefix can be given.")
	}
	limit, err := limited(in.Limit, maxEvents, maxEvents)
	if err != nil {
		return nil, err
	}
	pattern, err := parseFilter(value(in.Pattern))
	if err != nil {
		return nil, err
	}
	g, err := l.findLogGroup(ctx, in.Group, in.Identifier)
	if err != nil {
		return nil, err
	}
	if len(in.Streams) > 0 {
		if err := g.mustHave(ctx, in.Streams...); err != nil { // as CloudWatch Logs: github.com/percona/rds_exporter/issues/81
			return nil, err
		}
	}
	p := logPager(limit, "FilterLogEvents", g.arn, strings.Join(in.Streams, "\n"), value(in.Prefix), value(in.Pattern),
		strconv.FormatInt(value(in.Start), 10), strconv.FormatInt(value(in.End), 10))
	from, err := filterPosition(p, in.Token)
	if err != nil {
		return nil, err
	}
	q := logs.Query{Service: g.service, Prefix: value(in.Prefix), Since: instant(in.Start), Until: instant(in.End)}
	if !q.Until.IsZero() {
		q.Until = q.Until.Add(time.Millisecond)
	}
	if at := from.time(); at.After(q.Since) {
		q.Since = at
	}
	if len(in.Streams) == 1 {
		q.Stream = in.Streams[0]
	}
	s := newScan(in.Streams, pattern, limit, from)
	for l, err := range g.output.Read(ctx, q) {
		if err != nil {
			return nil, err
		}
		if !s.see(l) {
			break
		}
	}
	out := filterLogEventsOutput{Events: s.events, Searched: []searchedStream{}}
	if s.stopped {
		out.Token = p.Token(strconv.FormatInt(s.at.at, 10), strconv.Itoa(s.at.n))
	}
	return &out, nil
}

func filterPosition(p page.Pager, token *string) (position, error) {
	key, err := p.After(token, 2)
	if err != nil {
		return position{}, errLogsToken
	}
	if value(token) == "" {
		return position{}, nil
	}
	at, err1 := strconv.ParseInt(key[0], 10, 64)
	n, err2 := strconv.Atoi(key[1])
	if err1 != nil || err2 != nil || at < 0 || n < 0 {
		return position{}, errLogsToken
	}
	return position{at, n}, nil
}

// scan collects the matching lines of one reply.
type scan struct {
	streams map[string]bool // nil for all
	pattern filter
	limit   int
	skip    position

	at      position // after the last line seen
	seen    int
	size    int
	events  []logEvent
	stopped bool // the reply is full, and more lines follow

	same map[string]int // number of lines with time at.at by stream, for event ids
}

func newScan(streams []string, pattern filter, limit int, from position) *scan {
	s := &scan{pattern: pattern, limit: limit, skip: from, at: position{at: from.at}, events: []logEvent{}, same: map[string]int{}}
	for _, name := range streams {
		if s.streams == nil {
			s.streams = map[string]bool{}
		}
		s.streams[name] = true
	}
	return s
}

// see processes a line and reports whether to continue.
func (s *scan) see(l logs.Line) bool {
	if s.streams != nil && !s.streams[l.Stream] {
		return true
	}
	next := s.at.pass(l)
	skipped := next.at == s.skip.at && next.n <= s.skip.n
	matches := !skipped && s.pattern.matches(l.Text)
	full := len(s.events) == s.limit || len(s.events) > 0 && s.size+len(l.Text) > maxEventBytes
	if matches && full || s.seen == maxScan {
		s.stopped = true
		return false
	}
	if next.at != s.at.at {
		clear(s.same)
	}
	s.at = next
	nth := s.same[l.Stream]
	s.same[l.Stream]++
	if !skipped {
		s.seen++
	}
	if matches {
		e := newEvent(l)
		id := eventID(l, nth)
		e.Stream, e.ID = &l.Stream, &id
		s.events = append(s.events, e)
		s.size += len(l.Text)
	}
	return true
}

// eventID returns a stable id of a line: its time, its stream, and the number of
// earlier lines of the stream with the same time.
func eventID(l logs.Line, nth int) string {
	return fmt.Sprintf("%020d%010d%06d", l.At.UnixNano(), crc32.ChecksumIEEE([]byte(l.Stream)), nth)
}

// filter is a pattern of terms, CloudWatch's filter syntax for plain text. A line
// must contain all plain terms and none of those with a minus. If there are only
// terms with a question mark, it must contain one of them.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
type filter struct{ all, any, none []string }

// parseFilter parses terms separated by spaces, each a word or a phrase in double
// quotes. Patterns for JSON and for columns, and regular expressions, are refused.
func parseFilter(s string) (filter, error) {
	var f filter
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		if strings.ContainsAny(s[:1], "{[%") {
			return f, invalidParameter("Invalid filter pattern: only terms are supported here: word \"a phrase\" -excluded ?any.")
		}
		to := &f.all
		switch s[0] {
		case '-':
			to, s = &f.none, s[1:]
		case '?':
			to, s = &f.any, s[1:]
		}
		var term string
		var ok bool
		if strings.HasPrefix(s, `"`) {
			if term, s, ok = strings.Cut(s[1:], `"`); !ok {
				return f, invalidParameter("Invalid filter pattern: a quotation mark is not closed.")
			}
		} else {
			term, s, _ = strings.Cut(s, " ")
		}
		if term != "" {
			*to = append(*to, term)
		}
	}
	return f, nil
}

func (f filter) matches(text string) bool {
	for _, t := range f.none {
		if strings.Contains(text, t) {
			return false
		}
	}
	for _, t := range f.all {
		if !strings.Contains(text, t) {
			return false
		}
	}
	if len(f.all) > 0 || len(f.any) == 0 {
		return true
	}
	for _, t := range f.any {
		if strings.Contains(text, t) {
			return true
		}
	}
	return false
}
