package router

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of an access log's buffer.
const (
	logBatch = 32 << 10 // bytes at which it is written at once
	logMost  = 1 << 20  // bytes above which lines are dropped
	logEvery = time.Second
)

// AccessLog writes a JSON line for each request, in batches. Requests never
// wait for it: when the writer is slower than they are, lines are dropped and
// counted. A line has the path but not the query of the request's target:
// queries carry secrets.
type AccessLog struct {
	w   io.Writer
	log *slog.Logger

	full chan struct{} // nudged when the buffer has a batch

	mu      sync.Mutex // guards the rest
	buf     []byte
	dropped int
}

// NewAccessLog returns an access log that writes to w from one goroutine,
// while the router it is given to runs.
func NewAccessLog(w io.Writer, log *slog.Logger) *AccessLog {
	return &AccessLog{w: w, log: log, full: make(chan struct{}, 1)}
}

// add appends the line of a request that has ended.
func (l *AccessLog) add(x *exchange, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.buf) > logMost {
		l.dropped++
		return
	}
	l.buf = x.appendLine(l.buf, took)
	if len(l.buf) >= logBatch {
		select {
		case l.full <- struct{}{}:
		default:
		}
	}
}

// run writes batches until ctx ends, and then what is left.
func (l *AccessLog) run(ctx context.Context) {
	tick := time.NewTicker(logEvery)
	defer tick.Stop()
	var spare []byte
	for {
		select {
		case <-ctx.Done():
			l.flush(spare)
			return
		case <-tick.C:
		case <-l.full:
		}
		spare = l.flush(spare)
	}
}

// flush writes the buffer, puts spare in its place and returns the old one.
func (l *AccessLog) flush(spare []byte) []byte {
	l.mu.Lock()
	batch, dropped := l.buf, l.dropped
	l.buf, l.dropped = spare[:0], 0
	l.mu.Unlock()
	if dropped > 0 {
		l.log.Warn("access log too slow: lines dropped", "lines", dropped)
	}
	if len(batch) == 0 {
		return batch
	}
	if _, err := l.w.Write(batch); err != nil {
		l.log.Error("access log not written", "bytes", len(batch), "err", err)
	}
	return batch
}

// appendLine appends the exchange's line.
func (x *exchange) appendLine(b []byte, took time.Duration) []byte {
	text := func(name, value string) {
		b = append(b, `,"`...)
		b = append(b, name...)
		b = append(b, `":`...)
		// An error means bytes that are not UTF-8; they were replaced.
		b, _ = jsontext.AppendQuote(b, value)
	}
	number := func(name string, value int64) {
		b = append(b, `,"`...)
		b = append(b, name...)
		b = append(b, `":`...)
		b = strconv.AppendInt(b, value, 10)
	}
	b = append(b, `{"time":"`...)
	b = x.start.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z07:00")
	b = append(b, '"')
	text("request", x.id)
	if x.service != nil {
		text("service", x.service.id)
	}
	if x.instance != nil {
		text("instance", x.instance.id)
	}
	if x.entry != "" {
		text("endpoint", x.entry)
	}
	path, _, _ := strings.Cut(requestTarget(x.req), "?")
	text("client", x.peer.ip)
	text("method", x.req.Method)
	text("host", x.req.Host)
	text("path", path)
	text("protocol", x.req.Proto)
	text("agent", x.req.UserAgent())
	number("status", int64(x.status))
	number("received", x.body.size())
	number("sent", x.sent)
	number("waited_us", x.waited.Microseconds())
	number("took_us", took.Microseconds())
	return append(b, "}\n"...)
}
