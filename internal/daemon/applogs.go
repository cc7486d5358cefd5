package daemon

import (
	"context"
	"iter"

	"github.com/openslipway/slipway/internal/cloudwatch"
	"github.com/openslipway/slipway/internal/logs"
)

// applicationLogs gives the API what applications wrote.
type applicationLogs struct{ store *logs.Store }

var _ cloudwatch.Output = applicationLogs{}

func (a applicationLogs) Streams(_ context.Context, service string) ([]cloudwatch.OutputStream, error) {
	list, err := a.store.Streams(service)
	if err != nil {
		return nil, err
	}
	streams := make([]cloudwatch.OutputStream, len(list))
	for i, s := range list {
		streams[i] = cloudwatch.OutputStream{Name: s.Name, First: s.First, Last: s.Last}
	}
	return streams, nil
}

func (a applicationLogs) Read(ctx context.Context, q cloudwatch.OutputQuery) iter.Seq2[cloudwatch.OutputLine, error] {
	return func(yield func(cloudwatch.OutputLine, error) bool) {
		for l, err := range a.store.Read(ctx, logs.Query{
			Service: q.Service, Stream: q.Stream, Prefix: q.Prefix,
			Since: q.Since, Until: q.Until, Tail: q.Tail, Limit: q.Limit,
		}) {
			if !yield(cloudwatch.OutputLine{Stream: l.Stream, At: l.At, Text: l.Text}, err) {
				return
			}
		}
	}
}
