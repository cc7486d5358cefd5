package cloudwatch

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/openslipway/slipway/internal/logs"
)

// buildPrefix begins the names of the streams with the output of builds. They are
// kept where the output of instances is, and shown with the service's events, as in
// App Runner.
const buildPrefix = "build/"

// applicationLog is the part of an Output that comes from instances.
type applicationLog struct{ Output }

// Streams implements Output.
func (l applicationLog) Streams(service string) ([]logs.StreamInfo, error) {
	list, err := l.Output.Streams(service)
	return slices.DeleteFunc(list, func(s logs.StreamInfo) bool { return !ofInstance(s.Name) }), err
}

// Read implements Output. The callers that ask for a tail ask for one stream.
func (l applicationLog) Read(ctx context.Context, q logs.Query) iter.Seq2[logs.Line, error] {
	lines := l.Output.Read(ctx, q)
	if q.Stream != "" {
		if !ofInstance(q.Stream) {
			return noOutput{}.Read(ctx, q)
		}
		return lines
	}
	return func(yield func(logs.Line, error) bool) {
		for line, err := range lines {
			if err == nil && !ofInstance(line.Stream) {
				continue
			}
			if !yield(line, err) {
				return
			}
		}
	}
}

// ofInstance reports whether a stream is neither of a build nor the access log.
func ofInstance(stream string) bool {
	return !strings.HasPrefix(stream, buildPrefix) && stream != logs.AccessStream
}

// accessLog is the part of an Output that tells of requests.
type accessLog struct{ Output }

// Streams implements Output.
func (l accessLog) Streams(service string) ([]logs.StreamInfo, error) {
	list, err := l.Output.Streams(service)
	return slices.DeleteFunc(list, func(s logs.StreamInfo) bool { return s.Name != logs.AccessStream }), err
}

// Read implements Output.
func (l accessLog) Read(ctx context.Context, q logs.Query) iter.Seq2[logs.Line, error] {
	if q.Stream != "" && q.Stream != logs.AccessStream || !strings.HasPrefix(logs.AccessStream, q.Prefix) {
		return noOutput{}.Read(ctx, q)
	}
	q.Stream = logs.AccessStream
	return l.Output.Read(ctx, q)
}

func ofBuild(s logs.StreamInfo) bool { return strings.HasPrefix(s.Name, buildPrefix) }

// serviceLog is a service's events and the output of its builds.
type serviceLog struct {
	events eventLog
	builds Output
}

// Streams implements Output.
func (l serviceLog) Streams(service string) ([]logs.StreamInfo, error) {
	events, err := l.events.Streams(service)
	if err != nil {
		return nil, err
	}
	builds, err := l.builds.Streams(service)
	if err != nil {
		return nil, err
	}
	list := append(events, slices.DeleteFunc(builds, func(s logs.StreamInfo) bool { return !ofBuild(s) })...)
	sortStreams(list, false, false)
	return list, nil
}

// Read implements Output. The callers that ask for a tail or a limit ask for one
// stream, which is of one of the two.
func (l serviceLog) Read(ctx context.Context, q logs.Query) iter.Seq2[logs.Line, error] {
	builds := q
	if q.Stream == "" && strings.HasPrefix(buildPrefix, q.Prefix) {
		builds.Prefix = buildPrefix
	}
	inBuilds := strings.HasPrefix(q.Stream, buildPrefix) || q.Stream == "" && strings.HasPrefix(builds.Prefix, buildPrefix)
	inEvents := q.Stream == "" && !strings.HasPrefix(q.Prefix, buildPrefix) || q.Stream != "" && !inBuilds
	switch {
	case inBuilds && inEvents:
		return merged(l.events.Read(ctx, q), l.builds.Read(ctx, builds))
	case inBuilds:
		return l.builds.Read(ctx, builds)
	}
	return l.events.Read(ctx, q)
}

// merged merges two sequences of lines by time and stream. An error of either ends it.
func merged(a, b iter.Seq2[logs.Line, error]) iter.Seq2[logs.Line, error] {
	return func(yield func(logs.Line, error) bool) {
		next, stop := iter.Pull2(b)
		defer stop()
		other, otherErr, more := next()
		// before yields the lines of b that come before a line of a.
		before := func(l *logs.Line) bool {
			for more && (l == nil || otherErr != nil || precedes(other, *l)) {
				if !yield(other, otherErr) || otherErr != nil {
					return false
				}
				other, otherErr, more = next()
			}
			return true
		}
		for line, err := range a {
			if err != nil {
				yield(line, err)
				return
			}
			if !before(&line) || !yield(line, nil) {
				return
			}
		}
		before(nil)
	}
}

// precedes orders lines of different streams as Output.Read does.
func precedes(a, b logs.Line) bool {
	if c := a.At.Compare(b.At); c != 0 {
		return c < 0
	}
	return a.Stream < b.Stream
}
