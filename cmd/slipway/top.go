package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

const (
	topEvery = 2 * time.Second // between two looks on a terminal
	topFirst = time.Second     // between the two looks that rates need
)

type topCommand struct {
	m    *Main
	once bool
}

func newTopCommand(m *Main) *cobra.Command {
	t := topCommand{m: m}
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show the load of services, live",
		Long: `Top shows the services that you may see, those with the most requests first: how many
instances take requests (of how many wanted) and how many of them sleep, the requests in
flight and those that wait for an instance, requests a second, the times that half and 99
of 100 requests took at most, and what the instances use: processor time in percent of
one core, and memory. Times are estimated from the histograms that /metrics has, too. On
a terminal the page is drawn again every 2 seconds; q or Ctrl-C ends it. Elsewhere, and
with --once, it prints one table, about the next second.

With --json it prints {"Services": [{"ServiceArn", "ServiceName", "Status", "Seconds":
what rates and times are about, "Ready", "Wanted", "Asleep", "InFlight", "Queued",
"RequestsPerSecond", "FailedPerSecond" (5xx), "P50Seconds", "P99Seconds", "CpuPercent",
"MemoryBytes"}]}. P50Seconds and P99Seconds are absent where no request ended.`,
		Example: "  slipway top\n  slipway top --once",
		Args:    argCount(0, 0, "no arguments"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return t.run(cmd.Context()) },
	}
	cmd.Flags().BoolVar(&t.once, "once", false, "print one table")
	return cmd
}

func (t *topCommand) run(ctx context.Context) error {
	c, err := t.m.connect(ctx)
	if err != nil {
		return err
	}
	before, err := look(ctx, c)
	if err != nil {
		return err
	}
	st := t.m.outStyle()
	if st.Live && !t.once && !t.m.json {
		return t.live(ctx, c, before)
	}
	if len(before.services) == 0 && !t.m.json {
		t.m.progress().Say(term.Plain, "No services yet. `slipway up PATH|IMAGE` creates one.")
		return nil
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(topFirst):
	}
	now, err := look(ctx, c)
	if err != nil {
		return err
	}
	loads := loadsOf(before, now)
	if t.m.json {
		return t.m.printJSON(struct{ Services []serviceLoad }{loads})
	}
	table := topTable(loads)
	return table.Write(t.m.Stdout, st)
}

// look asks for the state of all services.
func look(ctx context.Context, c *client.Client) (topSample, error) {
	services, err := c.Services(ctx)
	if err != nil {
		return topSample{}, err
	}
	arns := make([]string, len(services))
	for i, s := range services {
		arns[i] = aws.ToString(s.ServiceArn)
	}
	instances, err := c.InstancesWithTraffic(ctx, arns)
	return topSample{services: services, instances: instances}, err
}

// live draws the page again and again until a key or a signal ends it.
func (t *topCommand) live(ctx context.Context, c *client.Client, before topSample) error {
	screen := term.OpenScreen(t.m.Stdin, t.m.Stdout)
	defer screen.Close()
	next := time.NewTimer(topFirst)
	defer next.Stop()
	screen.Draw(t.page(before, before, nil))
	for {
		select {
		case <-ctx.Done():
			return nil
		case key := <-screen.Keys():
			if strings.IndexByte("qQ\x03\x04", key) >= 0 { // also Ctrl-C and Ctrl-D
				return nil
			}
		case <-next.C:
			now, err := look(ctx, c)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil && !client.Unreachable(err):
				return err
			case err != nil: // the server may be starting again
				screen.Draw(t.page(before, before, err))
			default:
				screen.Draw(t.page(before, now, nil))
				before = now
			}
			next.Reset(topEvery)
		}
	}
}

// page returns what a terminal shows.
func (t *topCommand) page(before, now topSample, problem error) string {
	st := t.m.outStyle()
	loads := loadsOf(before, now)
	var b strings.Builder
	head := topSummary(loads)
	if problem != nil {
		head = "The server does not answer. Waiting for it."
	}
	fmt.Fprintf(&b, "%s  %s\n", st.Render(term.Strong, "slipway top "+t.m.Now().Format("15:04:05")), st.Render(term.Faint, "q ends"))
	fmt.Fprintf(&b, "%s\n\n", term.Cut(head, st.Width))
	table := topTable(loads)
	_ = table.Write(&b, st) // a Builder has no errors
	return b.String()
}
