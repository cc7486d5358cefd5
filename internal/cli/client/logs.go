package client

import (
	"context"
	"time"
)

// Logs calls the read operations of CloudWatch Logs (AWS JSON 1.1). Three calls are
// not worth another SDK module.
type Logs struct{ calls caller }

func newLogs(c caller) *Logs {
	c.service, c.contentType = "logs", "application/x-amz-json-1.1"
	return &Logs{c}
}

// Stream is a log stream.
type Stream struct {
	Name      string `json:"logStreamName"`
	CreatedAt int64  `json:"creationTime"`       // milliseconds since 1970
	LastAt    int64  `json:"lastEventTimestamp"` // milliseconds since 1970; 0 if empty
}

// LogEvent is a line of a stream.
type LogEvent struct {
	ID        string `json:"eventId,omitempty"`       // set only by Filter
	Stream    string `json:"logStreamName,omitempty"` // set only by Filter
	Timestamp int64  `json:"timestamp"`               // milliseconds since 1970
	Message   string `json:"message"`
}

// Time returns when the line was written.
func (e LogEvent) Time() time.Time { return time.UnixMilli(e.Timestamp) }

// Streams returns the streams of a group whose names begin with prefix, those with
// the newest lines first; none if the group does not exist.
func (l *Logs) Streams(ctx context.Context, group, prefix string) ([]Stream, error) {
	in := struct {
		Group      string `json:"logGroupName"`
		Prefix     string `json:"logStreamNamePrefix,omitempty"`
		OrderBy    string `json:"orderBy,omitempty"`
		Descending bool   `json:"descending,omitempty"`
		Token      string `json:"nextToken,omitempty"`
	}{Group: group, Prefix: prefix}
	if prefix == "" { // CloudWatch Logs does not order by time under a prefix
		in.OrderBy, in.Descending = "LastEventTime", true
	}
	var all []Stream
	for {
		var out struct {
			Streams []Stream `json:"logStreams"`
			Token   string   `json:"nextToken"`
		}
		if err := l.call(ctx, "DescribeLogStreams", in, &out); err != nil {
			return nil, ignoreMissing(err)
		}
		all = append(all, out.Streams...)
		if out.Token == "" || out.Token == in.Token {
			return all, nil
		}
		in.Token = out.Token
	}
}

// Head returns lines of one stream from its beginning, or from the token of an
// earlier call, and the token to continue with. At the end of the stream it
// returns no lines. A stream that does not exist is empty.
func (l *Logs) Head(ctx context.Context, group, stream, token string) (lines []LogEvent, next string, err error) {
	in := getEvents{Group: group, Stream: stream, FromHead: true, Token: token}
	out, err := l.get(ctx, in)
	return out.Events, out.Next, err
}

// Tail returns the last n lines of one stream, oldest first. A stream that does not
// exist is empty. It makes several calls if necessary: a reply has at most 10,000
// lines and 1 MiB.
func (l *Logs) Tail(ctx context.Context, group, stream string, n int) ([]LogEvent, error) {
	var lines []LogEvent
	in := getEvents{Group: group, Stream: stream}
	for len(lines) < n {
		in.Limit = min(n-len(lines), 10_000)
		out, err := l.get(ctx, in)
		if err != nil {
			return nil, err
		}
		lines = append(out.Events, lines...)
		if len(out.Events) == 0 || out.Previous == "" || out.Previous == in.Token {
			break
		}
		in.Token = out.Previous
	}
	return lines, nil
}

type getEvents struct {
	Group    string `json:"logGroupName"`
	Stream   string `json:"logStreamName"`
	FromHead bool   `json:"startFromHead"`
	Limit    int    `json:"limit,omitempty"`
	Token    string `json:"nextToken,omitempty"`
}

type gotEvents struct {
	Events   []LogEvent `json:"events"`
	Next     string     `json:"nextForwardToken"`
	Previous string     `json:"nextBackwardToken"`
}

func (l *Logs) get(ctx context.Context, in getEvents) (gotEvents, error) {
	var out gotEvents
	if err := l.call(ctx, "GetLogEvents", in, &out); err != nil {
		return gotEvents{Next: in.Token}, ignoreMissing(err)
	}
	return out, nil
}

// Filter calls see with every page of a group's lines since a time, of all streams
// or the named ones, in order of time.
func (l *Logs) Filter(ctx context.Context, group string, streams []string, since time.Time, see func([]LogEvent) error) error {
	in := struct {
		Group   string   `json:"logGroupName"`
		Streams []string `json:"logStreamNames,omitempty"`
		Start   int64    `json:"startTime,omitempty"`
		Token   string   `json:"nextToken,omitempty"`
	}{Group: group, Streams: streams}
	if !since.IsZero() {
		in.Start = since.UnixMilli()
	}
	for {
		var out struct {
			Events []LogEvent `json:"events"`
			Token  string     `json:"nextToken"`
		}
		if err := l.call(ctx, "FilterLogEvents", in, &out); err != nil {
			return ignoreMissing(err)
		}
		if err := see(out.Events); err != nil {
			return err
		}
		if out.Token == "" || out.Token == in.Token {
			return nil
		}
		in.Token = out.Token
	}
}

// ignoreMissing drops the error of a missing group or stream: both are created with
// their first line.
func ignoreMissing(err error) error {
	if isCode(err, "ResourceNotFoundException") {
		return nil
	}
	return err
}

func (l *Logs) call(ctx context.Context, operation string, in, out any) error {
	return l.calls.do(ctx, "Logs_20140328."+operation, in, out)
}
