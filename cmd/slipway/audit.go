package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

type auditCommand struct {
	m        *Main
	follow   bool
	lines    int
	since    string
	user     string
	name     string
	resource string
}

func newAuditCommand(m *Main) *cobra.Command {
	a := auditCommand{m: m}
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who changed what",
		Long: `Audit shows the calls that changed something or tried to: who made them, when,
from where, on which resource and with what result. Records are kept for 90
days. They hold no secrets. Reads of secrets, denied reads, refused signatures and
logins at the registry are counted, one record an hour for each kind; other calls that
only read are not recorded.

With --json it prints {"Records": [...]}, whole records in the form of AWS CloudTrail;
with --json -f one record a line (JSON Lines). "aws cloudtrail lookup-events" returns
the same records.`,
		Example: `  slipway audit -f
  slipway audit --since 2h --user ann
  slipway audit --json --name DeleteService`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.run(cmd) },
	}
	f := cmd.Flags()
	f.BoolVarP(&a.follow, "follow", "f", false, "print new calls as they are made, until Ctrl-C")
	f.IntVarP(&a.lines, "lines", "n", 50, "`number` of the last calls to show, at most 10000")
	f.StringVar(&a.since, "since", "", "show all calls since a `time`: 10m, 2h or 3d ago, or 2026-01-31T12:00:00Z")
	f.StringVar(&a.user, "user", "", "only the calls of the user with this `name`")
	f.StringVar(&a.name, "name", "", "only calls of this `operation`, such as DeleteService")
	f.StringVar(&a.resource, "resource", "", "only calls on the resource with this `ARN`")
	return cmd
}

// maxLines is the largest --lines.
const maxLines = 10_000

func (a *auditCommand) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	a.m.streams = a.follow
	if a.lines < 1 || a.lines > maxLines {
		return usageError(cmd, "--lines is %d; it must be 1 to %d", a.lines, maxLines)
	}
	filter, err := a.filter(cmd)
	if err != nil {
		return err
	}
	c, err := a.m.connect(ctx)
	if err != nil {
		return err
	}
	limit := a.lines
	if a.since != "" && !cmd.Flags().Changed("lines") {
		limit = maxLines
	}
	list, err := c.AuditEvents(ctx, filter, limit)
	if err != nil {
		return err
	}
	if a.m.json && !a.follow {
		return a.printRecords(list)
	}
	if err := a.print(list, nil); err != nil {
		return err
	}
	if len(list) == 0 && !a.follow {
		a.m.progress().Say(term.Plain, "No calls are recorded.")
	}
	if !a.follow {
		return nil
	}
	return a.watch(ctx, c, filter, list)
}

// filter turns the flags into a CloudTrail lookup. A lookup takes at most one
// attribute.
func (a *auditCommand) filter(cmd *cobra.Command) (f client.AuditFilter, err error) {
	for _, by := range []struct{ attribute, value string }{{"Username", a.user}, {"EventName", a.name}, {"ResourceName", a.resource}} {
		if by.value == "" {
			continue
		}
		if f.Attribute != "" {
			return f, usageError(cmd, "only one of --user, --name and --resource can be given")
		}
		f.Attribute, f.Value = by.attribute, by.value
	}
	if a.since == "" {
		return f, nil
	}
	if f.Since, err = parseSince(a.since, a.m.Now()); err != nil {
		return f, usageError(cmd, "--since: %v", err)
	}
	return f, nil
}

// watch prints the calls that follow those in list. Each lookup overlaps the one
// before, since a call is recorded under the time at which it began.
func (a *auditCommand) watch(ctx context.Context, c *client.Client, f client.AuditFilter, list []client.AuditEvent) error {
	const back = time.Minute
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := newest(list)
	f.Since = time.Time{}
	var seen map[string]bool // ids that the last lookup returned; nil before the first
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if last.EventID != "" {
			f.Since = last.EventTime.Time().Add(-back)
		}
		list, err := c.AuditEvents(ctx, f, maxLines)
		switch {
		case ctx.Err() != nil:
			return nil
		case client.Unreachable(err):
			continue
		case err != nil:
			return err
		}
		if seen == nil { // events before the lines that were asked for
			i := slices.IndexFunc(list, func(e client.AuditEvent) bool { return e.EventID == last.EventID })
			seen = ids(list[:i+1])
		}
		if err := a.print(list, seen); err != nil {
			return err
		}
		seen, last = ids(list), newest(list)
	}
}

// newest returns the last event of a list, the zero value if there is none.
func newest(list []client.AuditEvent) (last client.AuditEvent) {
	if len(list) > 0 {
		last = list[len(list)-1]
	}
	return last
}

func ids(list []client.AuditEvent) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, e := range list {
		set[e.EventID] = true
	}
	return set
}

// printRecords prints the document of --json.
func (a *auditCommand) printRecords(list []client.AuditEvent) error {
	records := make([]json.RawMessage, len(list))
	for i, e := range list {
		records[i] = json.RawMessage(e.CloudTrailEvent)
	}
	return a.m.printJSON(struct{ Records []json.RawMessage }{records})
}

// print prints the events whose ids are not in seen.
func (a *auditCommand) print(list []client.AuditEvent, seen map[string]bool) error {
	style := a.m.outStyle()
	for _, e := range list {
		if seen[e.EventID] {
			continue
		}
		if a.m.json {
			if err := term.JSONLine(a.m.Stdout, []byte(e.CloudTrailEvent)); err != nil {
				return err
			}
			continue
		}
		r, err := e.Record()
		if err != nil {
			return fmt.Errorf("read the record of %s: %w", e.EventID, err)
		}
		outcome := style.Render(term.Good, "ok")
		if r.ErrorCode != "" {
			outcome = style.Render(term.Bad, term.Printable(r.ErrorCode))
		}
		line := fmt.Sprintf("%s  %s  %s  %s  %s", e.EventTime.Time().Local().Format(time.DateTime), term.Printable(e.Username), term.Printable(r.SourceIPAddress), term.Printable(e.EventName), outcome)
		for _, res := range r.Resources {
			line += "  " + term.Printable(res.ARN)
		}
		if _, err := fmt.Fprintln(a.m.Stdout, line); err != nil {
			return err
		}
	}
	return nil
}
