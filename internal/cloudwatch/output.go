package cloudwatch

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// Output gives back the lines that a service's instances wrote.
type Output interface {
	// Streams returns the service's streams by name, none when it has none.
	Streams(ctx context.Context, service string) ([]OutputStream, error)

	// Read returns lines, oldest first over all streams and by name of stream
	// where times are equal; lines of one stream keep their order. A pair with
	// an error is the last.
	Read(ctx context.Context, q OutputQuery) iter.Seq2[OutputLine, error]
}

// OutputStream is a stream that has lines.
type OutputStream struct {
	Name        string    // "instance/<id>"
	First, Last time.Time // of its first and about its last line
}

// OutputQuery says which lines to read.
type OutputQuery struct {
	Service string
	Stream  string // exact name; "" for all that Prefix admits
	Prefix  string // beginning of stream names; "" for all

	Since, Until time.Time // Since <= At < Until; zero: no bound
	Tail         int       // only the last so many; 0: all
	Limit        int       // stop after so many; 0: none
}

func (q OutputQuery) admits(stream string) bool {
	return (q.Stream == "" || q.Stream == stream) && strings.HasPrefix(stream, q.Prefix)
}

// OutputLine is one line.
type OutputLine struct {
	Stream string
	At     time.Time
	Text   string // any bytes but a newline
}

// noOutput is the Output of a server that keeps none.
type noOutput struct{}

func (noOutput) Streams(context.Context, string) ([]OutputStream, error) { return nil, nil }

func (noOutput) Read(context.Context, OutputQuery) iter.Seq2[OutputLine, error] {
	return func(func(OutputLine, error) bool) {}
}

// eventLog is what Slipway tells of a service, in the form of Output: the
// service's events and a stream for each operation.
type eventLog struct{ store *store.Store }

func (l eventLog) Streams(ctx context.Context, service string) (list []OutputStream, err error) {
	err = l.store.View(ctx, func(tx *store.Tx) error {
		streams, err := tx.EventStreams(service)
		for _, s := range streams {
			list = append(list, OutputStream(s))
		}
		return err
	})
	return list, err
}

func (l eventLog) Read(ctx context.Context, q OutputQuery) iter.Seq2[OutputLine, error] {
	return func(yield func(OutputLine, error) bool) {
		lines, err := l.lines(ctx, q)
		if err != nil {
			yield(OutputLine{}, err)
			return
		}
		for _, line := range lines {
			if !yield(line, nil) {
				return
			}
		}
	}
}

// lines reads all that the query asks for: the store bounds each stream.
func (l eventLog) lines(ctx context.Context, q OutputQuery) ([]OutputLine, error) {
	var lines []OutputLine
	err := l.store.View(ctx, func(tx *store.Tx) error {
		streams, err := tx.EventStreams(q.Service)
		if err != nil {
			return err
		}
		for _, s := range streams {
			if !q.admits(s.Name) {
				continue
			}
			events, err := tx.Events(q.Service, s.Name, 0, q.Since, q.Until, 0)
			if err != nil {
				return err
			}
			for _, e := range events {
				lines = append(lines, eventLine(e))
			}
		}
		return nil
	})
	// Streams were read by name, so a stable sort keeps them so at equal times.
	slices.SortStableFunc(lines, func(a, b OutputLine) int { return cmp.Compare(a.At.UnixNano(), b.At.UnixNano()) })
	if q.Tail > 0 && len(lines) > q.Tail {
		lines = lines[len(lines)-q.Tail:]
	}
	if q.Limit > 0 && len(lines) > q.Limit {
		lines = lines[:q.Limit]
	}
	return lines, err
}

func eventLine(e slipway.Event) OutputLine {
	return OutputLine{Stream: e.Stream, At: e.At, Text: "[AppRunner] " + e.Text}
}
