package cloudwatch

import (
	"context"
	"iter"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/logs"
	"github.com/openslipway/slipway/internal/store"
)

// Output returns lines. [logs.Store] implements it for the output of instances and builds.
type Output interface {
	// Streams returns the service's streams by name, none if it has none.
	Streams(service string) ([]logs.StreamInfo, error)

	// Read returns lines, oldest first over all streams, and by the name of the
	// stream where times are equal. Lines of one stream keep their order. An
	// error ends the sequence as its last pair. Contains and Follow of a query
	// are not used.
	Read(ctx context.Context, q logs.Query) iter.Seq2[logs.Line, error]
}

// noOutput is the Output of a server that stores none.
type noOutput struct{}

func (noOutput) Streams(string) ([]logs.StreamInfo, error) { return nil, nil }

func (noOutput) Read(context.Context, logs.Query) iter.Seq2[logs.Line, error] {
	return func(func(logs.Line, error) bool) {}
}

// eventPage is how many lines are read from the store at once.
const eventPage = 1000

// eventLog is the Output of a service's events: its history in the stream
// "events", and a stream for each operation.
type eventLog struct{ store *store.Store }

// Streams implements Output.
func (l eventLog) Streams(service string) (list []logs.StreamInfo, err error) {
	err = l.store.View(context.Background(), func(tx *store.Tx) error {
		streams, err := tx.EventStreams(service)
		for _, s := range streams {
			list = append(list, logs.StreamInfo{Name: s.Name, First: s.First, Last: s.Last})
		}
		return err
	})
	return list, err
}

// Read implements Output. It reads a page at a time, so that a reader that stops
// early reads little, and none holds a transaction for long.
func (l eventLog) Read(ctx context.Context, q logs.Query) iter.Seq2[logs.Line, error] {
	return func(yield func(logs.Line, error) bool) {
		count := 0
		for after, more := (slipway.Event{}), true; more; {
			events, err := l.page(ctx, q, after)
			if err != nil {
				yield(logs.Line{}, err)
				return
			}
			for _, e := range events {
				count++
				if !yield(eventLine(e), nil) || count == q.Limit {
					return
				}
				after = e
			}
			more = q.Tail == 0 && len(events) == eventPage
		}
	}
}

// page reads the next page of a query, or all lines of its tail.
func (l eventLog) page(ctx context.Context, q logs.Query, after slipway.Event) (events []slipway.Event, err error) {
	rows := store.EventQuery{
		ServiceID: q.Service, Stream: q.Stream, Prefix: q.Prefix, Since: q.Since, Until: q.Until, After: after, Limit: eventPage,
	}
	read := (*store.Tx).EventsByTime
	if q.Tail > 0 {
		read, rows.Limit = (*store.Tx).LastEvents, min(q.Tail, logs.MaxTail)
	}
	err = l.store.View(ctx, func(tx *store.Tx) error {
		events, err = read(tx, rows)
		return err
	})
	return events, err
}

func eventLine(e slipway.Event) logs.Line {
	return logs.Line{Stream: e.Stream, At: e.At, Kind: logs.Notice, Text: "[AppRunner] " + e.Text}
}
