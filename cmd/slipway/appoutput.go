package main

import (
	"context"
	"time"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

const (
	// outputAfter is how long an application may start before its lines are shown: most
	// are ready earlier, and what they write is of no interest.
	outputAfter = 2 * time.Second

	// outputEvery is the least time between two readings.
	outputEvery = time.Second

	// outputLines is how many lines an operation shows in all, and outputWidth how much
	// of each.
	outputLines = 200
	outputWidth = 400
)

// output shows what the new instances of a service write while an operation waits for
// them.
type output struct {
	client *client.Client
	op     operation
	p      *term.Progress
	now    func() time.Time

	waiting time.Time // since when the operation waits
	last    time.Time // when it was read
	cursor  client.Cursor
	count   int
}

// follow shows new lines if the operation has waited for a while.
func (o *output) follow(ctx context.Context, since time.Time) {
	now := o.now()
	if o.waiting.IsZero() {
		o.waiting = now
	}
	if now.Sub(o.waiting) < outputAfter || now.Sub(o.last) < outputEvery {
		return
	}
	o.last = now
	o.read(ctx, since)
}

// read shows the last lines that instances started since a time have written and that
// were not shown. It shows none if the user may not read them.
func (o *output) read(ctx context.Context, since time.Time) {
	lines, err := o.client.Logs.Started(ctx, client.ApplicationLogGroup(o.op.arn), since, &o.cursor)
	if err != nil {
		return // `slipway logs` tells why
	}
	for i, line := range lines {
		if i < len(lines)-tailLines {
			continue
		}
		switch o.count++; {
		case o.count <= outputLines:
			o.p.Say(term.Faint, "  %s | %s", o.op.name, term.Cut(term.Printable(line.Message), outputWidth))
		case o.count == outputLines+1:
			o.p.Say(term.Faint, "  %s | ... `slipway logs -f %[1]s` shows the rest", o.op.name)
		}
	}
}
