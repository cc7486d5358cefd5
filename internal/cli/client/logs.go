package client

import (
	"context"
	"time"
)

// Logs speaks the part of CloudWatch Logs (AWS JSON 1.1) that reads. It is
// written out here, since three calls do not pay for another SDK module.
type Logs struct{ calls caller }

func newLogs(c caller) *Logs {
	c.service, c.contentType = "logs", "application/x-amz-json-1.1"
	return &Logs{c}
}

// Stream is a log stream.
type Stream struct {
	Name      string `json:"logStreamName"`
	CreatedAt int64  `json:"creationTime"`       // milliseconds since 1970
	LastAt    int64  `json:"lastEventTimestamp"` // milliseconds since 1970; 0 when empty
}

// LogEvent is a line of a stream.
type LogEvent struct {
	ID        string `json:"eventId,omitempty"`       // set by Filter alone
	Stream    string `json:"logStreamName,omitempty"` // set by Filter alone
	Timestamp int64  `json:"timestamp"`               // milliseconds since 1970
	Message   string `json:"message"`
}

// Time returns when the line was written.
func (e LogEvent) Time() time.Time { return time.UnixMilli(e.Timestamp) }

// Streams returns the streams of a group whose names begin with prefix, those
// with the newest lines first. A group that does not exist has none.
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
// earlier call, and the token to go on with. At the end of the stream it
// returns no lines. A stream that does not exist is empty.
func (l *Logs) Head(ctx context.Context, group, stream, token string) (lines []LogEvent, next string, err error) {
	in := getEvents{Group: group, Stream: stream, FromHead: true, Token: token}
	out, err := l.get(ctx, in)
	return out.Events, out.Next, err
}

// Tail returns the last n lines of one stream, oldest first. A stream that does
// not exist is empty. It takes as many calls as it must: an answer holds no more
// than 10,000 lines and 1 MiB.
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

// Filter calls see with every page of a group's lines since a time, over all of
// its streams or those named, in the order of time.
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

// ignoreMissing makes nothing of a group or stream that is not there: both
// come into being with their first line.
func ignoreMissing(err error) error {
	if isCode(err, "ResourceNotFoundException") {
		return nil
	}
	return err
}

func (l *Logs) call(ctx context.Context, operation string, in, out any) error {
	return l.calls.do(ctx, "Logs_20140328."+operation, in, out)
}
