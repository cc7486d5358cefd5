package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
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
	access     bool
	raw        bool

	style   term.Style
	limited bool // --lines is given
	notes   bool // tell what happens to the service between the lines of its instances
}

func newLogsCommand(m *Main) *cobra.Command {
	l := logsCommand{m: m}
	cmd := &cobra.Command{
		Use:   "logs SERVICE",
		Short: "Show the output of a service's instances, or its events",
		Long: `Logs shows the last lines of output of a service's instances, and between them what
happened to the service: exits, deployments, pauses, resumes. With --events it shows
the service's events, with --deployment the steps of one operation (see ops) and the
output of its build, with --access the requests to the service, a line of JSON each, if
it has the tag slipway:access-log=true. With -f it goes on until Ctrl-C or the deletion
of the service.

Of what applications write, only text is shown, and on a terminal colours: escape
sequences are left out, and other characters that a terminal acts on become U+FFFD.
With --raw, lines that go to a file or another program are as the application wrote
them, without time, instance and what happened to the service.

With --json the document is {"Lines": [{"Timestamp": seconds since 1970, "Stream": the
log stream's name, "Message": the line}]}; with -f every line is such a document.`,
		Example: `  slipway logs -f shop
  slipway logs shop --since 2h
  slipway logs shop --events
  slipway logs shop --access --since 10m
  slipway logs shop --deployment 3f2a9c0d`,
		Args:              argCount(1, 1, "the name of a service"),
		ValidArgsFunction: m.completeService,
		RunE:              func(cmd *cobra.Command, args []string) error { return l.run(cmd, args[0]) },
	}
	f := cmd.Flags()
	f.BoolVarP(&l.follow, "follow", "f", false, "print new lines as they come")
	f.IntVarP(&l.lines, "lines", "n", 200, "`number` of the last lines to show, at most 10000")
	f.StringVar(&l.since, "since", "", "show all lines since a `time`, or with --lines the last of them: 10m, 2h or 3d ago, or 2026-01-31T12:00:00Z")
	f.StringVar(&l.instance, "instance", "", "only the instance with this `id` or unambiguous prefix of an id")
	f.StringVar(&l.deployment, "deployment", "", "the steps and the build of the operation with this `id` or unambiguous prefix of an id")
	f.BoolVar(&l.events, "events", false, "the service's events")
	f.BoolVar(&l.access, "access", false, "the service's access log")
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
	c, arn, err := l.m.service(ctx, nameOrARN)
	if err != nil {
		return err
	}
	sel, err := l.selection(ctx, c, arn)
	if err != nil {
		return err
	}
	l.style = l.m.outStyle()
	sources := []*client.Source{{Selection: sel}}
	if l.notes {
		sources = append(sources, &client.Source{Selection: client.Selection{Group: client.ServiceLogGroup(arn), Streams: []string{"events"}}})
	}
	if err := l.print(ctx, c, sources, since, resourceName(arn)); err != nil || !l.follow {
		return err
	}
	deleted, err := c.FollowLogs(ctx, arn, sources, l.m.Now(), l.write, func(error) {
		fmt.Fprintln(l.m.Stderr, "The server does not answer. Waiting for it.")
	})
	if deleted && err == nil {
		l.m.progress().Say(term.Plain, "Service %s is deleted: its log ends here.", resourceName(arn))
	}
	return err
}

// check validates the flags and returns the time of --since, zero without it.
func (l *logsCommand) check(cmd *cobra.Command) (time.Time, error) {
	l.limited = cmd.Flags().Changed("lines")
	l.notes = !l.raw && !l.events && !l.access && l.deployment == "" && l.instance == ""
	chosen := 0
	for _, given := range []bool{l.events, l.access, l.deployment != "", l.instance != ""} {
		if given {
			chosen++
		}
	}
	switch {
	case chosen > 1:
		return time.Time{}, usageError(cmd, "--events, --access, --deployment and --instance exclude each other")
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
	case l.access:
		return client.Selection{Group: client.AccessLogGroup(arn)}, nil
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

// print prints the lines that there are: the last ones, or those since a time.
func (l *logsCommand) print(ctx context.Context, c *client.Client, sources []*client.Source, since time.Time, name string) error {
	lines, err := l.read(ctx, c, sources[0], since)
	if err != nil {
		return err
	}
	switch {
	case len(lines) > 0 || l.follow || l.m.json:
	case l.access:
		l.m.progress().Say(term.Plain, "No lines. Requests are written while the service has the tag slipway:access-log=true.")
	default:
		l.m.progress().Say(term.Plain, "No lines. `slipway logs %s --events` shows the service's events.", name)
	}
	if len(sources) > 1 {
		if lines, err = l.addNotes(ctx, c, sources[1], since, lines); err != nil {
			return err
		}
	}
	if l.m.json && !l.follow {
		records := make([]logRecord, len(lines))
		for i, e := range lines {
			records[i] = newLogRecord(e)
		}
		return l.m.printJSON(struct{ Lines []logRecord }{records})
	}
	for _, e := range lines {
		if err := l.write(e); err != nil {
			return err
		}
	}
	return nil
}

// read returns the lines that there are of a source, and marks them as seen.
func (l *logsCommand) read(ctx context.Context, c *client.Client, s *client.Source, since time.Time) (lines []client.LogEvent, err error) {
	if since.IsZero() {
		if lines, err = c.Logs.Last(ctx, s.Selection, l.lines); err != nil {
			return nil, err
		}
		for _, e := range lines {
			s.Cursor.Mark(e)
		}
		return lines, nil
	}
	err = c.Logs.Since(ctx, s.Selection, since, func(e client.LogEvent) error {
		s.Cursor.Mark(e)
		if lines = append(lines, e); l.limited && len(lines) > l.lines {
			lines = lines[1:]
		}
		return nil
	})
	return lines, err
}

// addNotes adds what happened to the service to lines of its instances, from the first
// of them on.
func (l *logsCommand) addNotes(ctx context.Context, c *client.Client, s *client.Source, since time.Time, lines []client.LogEvent) ([]client.LogEvent, error) {
	from := since
	if len(lines) > 0 && (since.IsZero() || l.limited) {
		from = lines[0].Time()
	}
	if from.IsZero() { // no lines yet: what happens from now on
		from = l.m.Now()
	}
	err := c.Logs.Since(ctx, s.Selection, from, func(e client.LogEvent) error {
		s.Cursor.Mark(e)
		if len(lines) > 0 && note(e.Message) != "" {
			lines = append(lines, e)
		}
		return nil
	})
	slices.SortStableFunc(lines, func(a, b client.LogEvent) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	return lines, err
}

// write prints a line. Of what the application wrote only what can be shown is left,
// and on a terminal with colours its colours; JSON has all of it, escaped, and --raw too
// where the output is no terminal.
func (l *logsCommand) write(e client.LogEvent) error {
	message := strings.TrimRight(e.Message, "\r\n")
	isNote := l.notes && !strings.HasPrefix(e.Stream, "instance/")
	if isNote {
		if message = note(message); message == "" {
			return nil
		}
	}
	switch {
	case l.m.json:
		doc, err := json.Marshal(newLogRecord(e))
		if err != nil {
			return err
		}
		return term.JSONLine(l.m.Stdout, doc)
	case l.access: // it has its time
		_, err := fmt.Fprintln(l.m.Stdout, term.Printable(message))
		return err
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
	if isNote {
		_, err := fmt.Fprintln(l.m.Stdout, l.style.Render(term.Strong, origin+" -- "+term.Printable(message)))
		return err
	}
	_, err := fmt.Fprintf(l.m.Stdout, "%s %s\n", l.style.Render(term.Faint, origin), message)
	return err
}
