package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

type logsCommand struct {
	m          *Main
	follow     bool
	lines      int
	since      string
	instance   string
	deployment string
	events     bool
	raw        bool

	style   term.Style
	records []logRecord // with --json and without --follow: the lines of its document
}

func newLogsCommand(m *Main) *cobra.Command {
	l := logsCommand{m: m}
	cmd := &cobra.Command{
		Use:   "logs SERVICE",
		Short: "Show the output of a service's instances, or its events",
		Long: `Logs shows the last lines of output of a service's instances. With --events it
shows the service's events, with --deployment the steps of one operation (see
ops) and the output of its build.

With --json it prints {"Lines": [{"Timestamp": seconds since 1970, "Stream": the log
stream's name, "Message": the line}]}; with --json -f each line is a document of its
own (JSON Lines).`,
		Example: `  slipway logs -f shop
  slipway logs shop --since 2h
  slipway logs shop --events
  slipway logs shop --deployment 3f2a9c0d`,
		Args:              argCount(1, 1, "the name of a service"),
		ValidArgsFunction: m.completeService,
		RunE:              func(cmd *cobra.Command, args []string) error { return l.run(cmd, args[0]) },
	}
	f := cmd.Flags()
	f.BoolVarP(&l.follow, "follow", "f", false, "print new lines as they come, until Ctrl-C")
	f.IntVarP(&l.lines, "lines", "n", 200, "`number` of the last lines to show, at most 10000")
	f.StringVar(&l.since, "since", "", "show all lines since a `time`: 10m, 2h or 3d ago, or 2026-01-31T12:00:00Z")
	f.StringVar(&l.instance, "instance", "", "only the instance with this `id` or unambiguous prefix of an id")
	f.StringVar(&l.deployment, "deployment", "", "the steps and the build of the operation with this `id` or unambiguous prefix of an id")
	f.BoolVar(&l.events, "events", false, "the service's events")
	f.BoolVar(&l.raw, "raw", false, "print lines without time and instance")
	return cmd
}

func (l *logsCommand) run(cmd *cobra.Command, nameOrARN string) error {
	ctx := cmd.Context()
	l.m.streams = l.follow
	since, err := l.check(cmd)
	if err != nil {
		return err
	}
	c, err := l.m.connect(ctx)
	if err != nil {
		return err
	}
	arn, err := c.ServiceARN(ctx, nameOrARN)
	if err != nil {
		return err
	}
	sel, err := l.selection(ctx, c, arn)
	if err != nil {
		return err
	}
	l.style = l.m.outStyle()
	var cur client.Cursor
	if err := l.print(ctx, c, sel, since, &cur, resourceName(arn)); err != nil {
		return err
	}
	if !l.follow {
		return l.printRecords()
	}
	return c.Logs.Follow(ctx, sel, &cur, l.m.Now(), l.write, func(error) {
		fmt.Fprintln(l.m.Stderr, "The server does not answer. Waiting for it.")
	})
}

// printRecords prints the document of --json.
func (l *logsCommand) printRecords() error {
	if !l.m.json {
		return nil
	}
	if l.records == nil {
		l.records = []logRecord{}
	}
	return l.m.printJSON(struct{ Lines []logRecord }{l.records})
}

// check validates the flags and returns the time of --since, zero without it.
func (l *logsCommand) check(cmd *cobra.Command) (time.Time, error) {
	chosen := 0
	for _, given := range []bool{l.events, l.deployment != "", l.instance != ""} {
		if given {
			chosen++
		}
	}
	switch {
	case chosen > 1:
		return time.Time{}, usageError(cmd, "--events, --deployment and --instance exclude each other")
	case l.lines < 1 || l.lines > 10_000:
		return time.Time{}, usageError(cmd, "--lines is %d; 1 to 10000 are allowed", l.lines)
	case l.since == "":
		return time.Time{}, nil
	}
	since, err := parseSince(l.since, l.m.Now())
	if err != nil {
		return time.Time{}, usageError(cmd, "--since: %v", err)
	}
	return since, nil
}

// parseSince parses a duration before now, or a point in time.
func parseSince(s string, now time.Time) (time.Time, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		if _, err := fmt.Sscanf(days, "%d", &n); err == nil && fmt.Sprint(n) == days && n >= 0 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, form := range []string{time.RFC3339Nano, time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(form, s, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a duration (10m, 2h, 3d) nor a time (2026-01-31T12:00:00Z, 2026-01-31)", s)
}

func (l *logsCommand) selection(ctx context.Context, c *client.Client, arn string) (client.Selection, error) {
	service, application := client.ServiceLogGroup(arn), client.ApplicationLogGroup(arn)
	switch {
	case l.events:
		return client.Selection{Group: service, Streams: []string{"events"}}, nil
	case l.deployment != "":
		return l.one(ctx, c, service, l.deployment, "operation", "`slipway ops "+resourceName(arn)+"` lists them.")
	case l.instance != "":
		return l.one(ctx, c, application, l.instance, "instance", "`slipway logs "+resourceName(arn)+"` shows them all.")
	}
	return client.Selection{Group: application}, nil
}

// one selects the streams of an instance or operation by its id.
func (l *logsCommand) one(ctx context.Context, c *client.Client, group, id, what, hint string) (client.Selection, error) {
	streams, err := c.StreamsOf(ctx, group, id)
	if err != nil {
		return client.Selection{}, err
	}
	if len(streams) == 0 {
		return client.Selection{}, &client.Problem{Text: fmt.Sprintf("no %s %s has a log", what, id), Hint: hint}
	}
	return client.Selection{Group: group, Streams: streams}, nil
}

func (l *logsCommand) print(ctx context.Context, c *client.Client, sel client.Selection, since time.Time, cur *client.Cursor, name string) error {
	count := 0
	show := func(e client.LogEvent) error {
		count++
		cur.Mark(e)
		return l.write(e)
	}
	if !since.IsZero() {
		if err := c.Logs.Since(ctx, sel, since, show); err != nil {
			return err
		}
	} else {
		lines, err := c.Logs.Last(ctx, sel, l.lines)
		if err != nil {
			return err
		}
		for _, e := range lines {
			if err := show(e); err != nil {
				return err
			}
		}
	}
	if count == 0 && !l.follow {
		l.m.progress().Say(term.Plain, "No lines. `slipway logs %s --events` shows the service's events.", name)
	}
	return nil
}

// write prints a line. Of what the application wrote only what can be shown is left,
// and on a terminal with colours its colours; JSON has all of it, escaped, and --raw too
// where the output is no terminal.
func (l *logsCommand) write(e client.LogEvent) error {
	message := strings.TrimRight(e.Message, "\r\n")
	switch {
	case l.m.json && !l.follow:
		l.records = append(l.records, newLogRecord(e))
		return nil
	case l.m.json:
		doc, err := json.Marshal(newLogRecord(e))
		if err != nil {
			return err
		}
		return term.JSONLine(l.m.Stdout, doc)
	case l.raw: // a terminal has its guard
		_, err := fmt.Fprintln(l.m.Stdout, message)
		return err
	case l.style.Color:
		message = term.Colored(message)
	default:
		message = term.Printable(message)
	}
	origin := e.Time().In(l.m.Now().Location()).Format("2006-01-02 15:04:05.000")
	if id, ok := strings.CutPrefix(e.Stream, "instance/"); ok {
		origin += " " + id[:min(8, len(id))]
	}
	_, err := fmt.Fprintf(l.m.Stdout, "%s %s\n", l.style.Render(term.Faint, origin), message)
	return err
}
