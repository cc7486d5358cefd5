package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// noise is how busy the machine was between measurements: with other work, and
// the little that a server does at rest.
type noise struct{ busy, all int64 } // in ticks of all processors

const (
	// settleFor is how long the machine is left idle after something was stopped
	// and before something else is started, so that neither its clean-up nor
	// sandboxes made ahead of need delay the next measurement.
	settleFor = 150 * time.Millisecond

	// listenFor is how long other work is measured after that.
	listenFor = 100 * time.Millisecond

	// noisyShare is the share of the machine above which figures are marked.
	noisyShare = 0.1
)

// waitForQuiet waits until the clean-up has ended, and measures other work.
func (n *noise) waitForQuiet(ctx context.Context) error {
	if err := idle(ctx, settleFor); err != nil {
		return err
	}
	before, err := ticks()
	if err == nil {
		err = idle(ctx, listenFor)
	}
	if err != nil {
		return err
	}
	after, err := ticks()
	n.busy += after.busy - before.busy
	n.all += after.all - before.all
	return err
}

func idle(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// share is the fraction of the machine that was busy.
func (n noise) share() float64 {
	if n.all == 0 {
		return 0
	}
	return float64(n.busy) / float64(n.all)
}

// text describes the noise on the page.
func (n noise) text() string {
	text := fmt.Sprintf("Between the measurements %.0f%% of the machine was busy with other work.", 100*n.share())
	if n.share() > noisyShare {
		text = "**Noisy.** " + text + " That slows everything here, and not evenly."
	}
	return text
}

// ticks reads how many ticks the processors have spent since the machine's
// start.
func ticks() (noise, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return noise{}, err
	}
	return parseTicks(string(b))
}

// parseTicks parses the line of all processors: user, nice, system, idle,
// iowait, irq, softirq, steal; guests are included in user and nice.
func parseTicks(stat string) (n noise, err error) {
	line, _, _ := strings.Cut(stat, "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return n, errors.New("/proc/stat does not begin with the line of all processors")
	}
	for i, s := range f[1:9] {
		t, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return n, fmt.Errorf("/proc/stat: %w", err)
		}
		n.all += t
		if i != 3 && i != 4 { // idle, iowait
			n.busy += t
		}
	}
	return n, nil
}
