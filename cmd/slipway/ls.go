package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

func newLsCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List services",
		Long: `Ls lists all services by name: their status, how many of the wanted instances take
requests, their age and URL. A service without requests may be asleep (its instances are
frozen) or stopped (it has none until the next request), and a paused one may keep its
instances frozen for a while. Where none does because the application stops by itself
again and again, the status is crashing, with how often in a row it was started again,
when it is next and how it ended. On a terminal that is too narrow the URLs are first
shown without their scheme, the status and names cut, then ages, instances and URLs are left
out, in this order. With --json it prints the reply of ListServices, all pages in one,
and the services that crash as "Crashing": [{"ServiceArn", "Restarts", "NextStartAt",
"ExitCode", "Signal", "OutOfMemory", "Reason"}], and those that sleep or were woken as
"Sleep": [{"ServiceArn", "State", "Since", "SleptSeconds", ...}], and paused ones that keep
instances as "Kept": [{"ServiceArn", "Instances", "Until"}].`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return m.list(cmd.Context()) },
	}
}

func (m *Main) list(ctx context.Context) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	services, err := c.Services(ctx)
	if err != nil {
		return err
	}
	if len(services) == 0 && !m.json {
		m.progress().Say(term.Plain, "No services yet. `slipway up PATH|IMAGE` creates one.")
		return nil
	}
	arns := make([]string, len(services))
	for i, s := range services {
		arns[i] = aws.ToString(s.ServiceArn)
	}
	instances, err := c.Instances(ctx, arns...)
	if err != nil {
		return err
	}
	if m.json {
		out := struct {
			ServiceSummaryList []apiJSON
			Crashing           []crashingJSON `json:",omitempty"`
			Sleep              []sleepJSON    `json:",omitempty"`
			Kept               []keptJSON     `json:",omitempty"`
		}{ServiceSummaryList: apiList(services)}
		for _, arn := range arns {
			if c := crashingOf(instances[arn]); c != nil {
				out.Crashing = append(out.Crashing, *c)
			}
			if s := sleepOf(instances[arn]); s != nil {
				out.Sleep = append(out.Sleep, *s)
			}
			if k := keptOf(instances[arn]); k != nil {
				out.Kept = append(out.Kept, *k)
			}
		}
		return m.printJSON(out)
	}
	return m.printServices(c, services, instances)
}

func (m *Main) printServices(c *client.Client, services []types.ServiceSummary, instances map[string]client.ServiceInstances) error {
	t := term.Table{
		Head: []string{"NAME", "STATUS", "INSTANCES", "AGE", "URL"},
		Yield: []term.Yield{
			{Column: "URL", Short: true}, {Column: "STATUS", Short: true}, {Column: "NAME", Most: 24}, {Column: "AGE"}, {Column: "INSTANCES"}, {Column: "URL"},
		},
	}
	now := m.Now()
	for _, s := range services {
		of, known := instances[aws.ToString(s.ServiceArn)]
		url := c.ServiceURL(aws.ToString(s.ServiceUrl))
		t.Add(
			term.Cell{Text: aws.ToString(s.ServiceName)},
			statusCell(s.Status, of, now),
			instancesCell(of, known),
			term.Cell{Text: term.Age(now, aws.ToTime(s.CreatedAt))},
			term.Cell{Text: url, Short: aws.ToString(s.ServiceUrl)},
		)
	}
	return t.Write(m.Stdout, m.outStyle())
}

// statusCell shows the status of a service. One that is RUNNING may be asleep, and one that is
// PAUSED may keep instances. One that is RUNNING and of which no instance is ready, since they
// end by themselves, is crashing.
func statusCell(status types.ServiceStatus, of client.ServiceInstances, now time.Time) term.Cell {
	if text := crashing(of, now); text != "" && status == types.ServiceStatusRunning && of.Ready() == 0 {
		return term.Cell{Text: text, Short: "crashing", Tone: term.Bad}
	}
	if text, short := asleep(of); text != "" && status == types.ServiceStatusRunning {
		return term.Cell{Text: text, Short: short, Tone: term.Faint}
	}
	if text, short := kept(of, now); text != "" && status == types.ServiceStatusPaused {
		return term.Cell{Text: string(status) + ", " + text, Short: string(status) + ", " + short, Tone: statusTone(string(status))}
	}
	return term.Cell{Text: string(status), Tone: statusTone(string(status))}
}

// instancesCell shows how many instances of a service take requests, and of how many.
func instancesCell(s client.ServiceInstances, known bool) term.Cell {
	switch ready := s.Ready(); {
	case !known || s.Release == nil && len(s.Instances) == 0:
		return term.Cell{Text: "-"}
	case s.Kept != nil || s.Release == nil || len(s.Instances) == 0 && ready == 0 && s.Restarts == 0:
		return term.Cell{Text: strconv.Itoa(ready)}
	case ready < s.Release.Size:
		return term.Cell{Text: fmt.Sprintf("%d of %d", ready, s.Release.Size), Tone: term.Warn}
	default:
		return term.Cell{Text: strconv.Itoa(ready)}
	}
}
