package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

// operation is an operation that a verb has started.
type operation struct {
	name    string
	arn     string
	id      string         // "" if there was nothing to do
	service *types.Service // in the reply; nil if the reply has none
	verbose bool           // show every line of its log
	source  string         // what `slipway up` deploys; "" for other verbs
}

// result is how an operation ended. It is also the document of --json.
type result struct {
	URL         string      `json:"Url,omitempty"`         // only for up
	OperationID string      `json:"OperationId,omitempty"` // absent if there was nothing to do
	Service     *apiJSON    `json:"Service,omitempty"`     // after the operation, or in the reply
	Operation   *apiJSON    `json:"Operation,omitempty"`   // an OperationSummary; with --wait
	Log         []logRecord `json:"Log,omitempty"`         // the operation's lines; with --wait
	CancelledBy string      `json:",omitempty"`            // ARN of who cancelled it; only for ops cancel

	summary types.OperationSummary
	service *types.Service
	reason  string // why it failed: one or more lines; "" if nothing is known
}

// logRecord is a line of a log in --json.
type logRecord struct {
	Timestamp float64 `json:"Timestamp"` // seconds since 1970
	Stream    string  `json:"Stream,omitempty"`
	Message   string  `json:"Message"`
}

func newLogRecord(e client.LogEvent) logRecord {
	return logRecord{Timestamp: float64(e.Timestamp) / 1000, Stream: e.Stream, Message: e.Message}
}

func addWaitFlag(cmd *cobra.Command, wait *bool) {
	cmd.Flags().BoolVar(wait, "wait", true, "wait until the operation ends and show its steps")
}

// progress returns where to show progress: nowhere with --json.
func (m *Main) progress() *term.Progress {
	if m.json {
		return term.NewProgress(io.Discard, term.Style{})
	}
	return term.NewProgress(m.Stderr, m.errStyle())
}

// await waits for an operation to end, shows what it does and reads the service
// again. An operation that failed is not an error here.
func (m *Main) await(ctx context.Context, c *client.Client, op operation, p *term.Progress) (*result, error) {
	defer p.Clear()
	out := &result{OperationID: op.id, Log: []logRecord{}}
	begun := m.Now()
	lines := quiet{p: p, all: op.verbose}
	app := output{client: c, op: op, p: p, now: m.Now}
	summary, err := c.Follow(ctx, op.arn, op.id, func(s client.Update) {
		if s.Away != nil {
			p.Status("The server does not answer. The operation continues when it is back.")
			return
		}
		since := aws.ToTime(s.Operation.StartedAt)
		for _, line := range s.Lines {
			out.Log = append(out.Log, newLogRecord(line))
			if since.IsZero() {
				since = line.Time()
			}
			lines.line(line.Message, line.Time().Sub(since))
		}
		if client.Live(s.Operation.Status) {
			if lines.starting || s.Operation.Type == types.OperationTypeResumeService {
				app.follow(ctx, since)
			}
			lines.status(m.Now().Sub(begun), s.Operation.Status)
		}
	})
	if err != nil {
		return nil, m.stopWaiting(ctx, op, err)
	}
	p.EndPhase()
	if out.summary, out.Operation = summary, (&apiJSON{&summary}); summary.Status != types.OperationStatusSucceeded {
		lines.failed()
		if lines.starting || summary.Type == types.OperationTypeResumeService {
			app.read(ctx, aws.ToTime(summary.StartedAt))
		}
		if out.reason, err = c.Cause(ctx, op.arn, op.id); err != nil || out.reason == "" {
			out.reason = lines.reason
		}
	}
	if out.service, err = m.after(ctx, c, op); err != nil {
		return nil, err
	}
	out.Service = shown(out.service)
	return out, nil
}

// shown returns the JSON of a service with masked variables: only describe shows
// their values, and only with --show-values.
func shown(svc *types.Service) *apiJSON {
	if svc == nil {
		return nil
	}
	return &apiJSON{masked(svc)}
}

// stopWaiting returns the error of an interrupted wait. The operation continues.
func (m *Main) stopWaiting(ctx context.Context, op operation, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return &client.Problem{
		Text: "stopped waiting for " + op.name + "; the operation continues",
		Hint: fmt.Sprintf("`slipway ops %s` shows its status. `slipway ops cancel %[1]s` cancels it, unless it is a deletion.", op.name),
		Err:  context.Canceled,
	}
}

// after returns the service as it is now, or as it was in the reply if it no
// longer exists.
func (m *Main) after(ctx context.Context, c *client.Client, op operation) (*types.Service, error) {
	out, err := c.API.DescribeService(ctx, &apprunner.DescribeServiceInput{ServiceArn: aws.String(op.arn)})
	if client.NotFound(err) {
		return op.service, nil
	}
	if err != nil {
		return nil, err
	}
	return out.Service, nil
}

// took returns how long an operation ran.
func took(op types.OperationSummary) string {
	return term.Took(aws.ToTime(op.EndedAt).Sub(aws.ToTime(op.StartedAt)))
}

// change is what differs between the verbs that start one operation on one
// service: deploy, pause, resume and rm.
type change struct {
	doing string // "Pausing"
	done  string // "is paused": printed after the service's name on success
	idle  string // "is paused already": the same if there was nothing to do
	start func(ctx context.Context, c *client.Client, arn string) (operationID string, s *types.Service, err error)
}

// changeCommand completes the command that makes a change to a service.
func (m *Main) changeCommand(ch change, cmd *cobra.Command) *cobra.Command {
	wait, replace := false, false
	cmd.Args, cmd.ValidArgsFunction = argCount(1, 1, "the name of a service"), m.completeService
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := m.connect(cmd.Context())
		if err != nil {
			return err
		}
		return m.apply(cmd.Context(), c, args[0], ch, wait, replace)
	}
	addWaitFlag(cmd, &wait)
	addReplaceFlag(cmd, &replace)
	return cmd
}

// apply starts the change and, with wait, waits for its end. With replace it first
// cancels an operation in progress; without, it asks on a terminal.
func (m *Main) apply(ctx context.Context, c *client.Client, nameOrARN string, ch change, wait, replace bool) error {
	arn, err := c.ServiceARN(ctx, nameOrARN)
	if err != nil {
		return err
	}
	if err := m.supersede(ctx, c, arn, replace); err != nil {
		return err
	}
	op := operation{arn: arn, name: resourceName(arn)}
	if op.id, op.service, err = ch.start(ctx, c, arn); err != nil {
		return withName(m.refusedBy(ctx, c, arn, c.Target.Explain(err)), op.name)
	}
	if op.id == "" || !wait {
		return m.reportStarted(op, ch)
	}
	p := m.progress()
	p.Say(term.Plain, "%s %s", ch.doing, op.name)
	out, err := m.await(ctx, c, op, p)
	if err != nil {
		return err
	}
	failed := out.failure(op)
	if m.json {
		if err := m.printJSON(out); err != nil {
			return err
		}
		return failed
	}
	if failed != nil {
		return failed
	}
	fmt.Fprintf(m.Stdout, "%s %s (%s)\n", op.name, m.outStyle().Render(term.Good, ch.done), took(out.summary))
	return nil
}

// withName replaces NAME in a hint with the service's name.
func withName(p *client.Problem, name string) *client.Problem {
	p.Hint = strings.ReplaceAll(p.Hint, "NAME", name)
	return p
}

// reportStarted reports a change without waiting for its end.
func (m *Main) reportStarted(op operation, ch change) error {
	if m.json {
		return m.printJSON(result{OperationID: op.id, Service: shown(op.service)})
	}
	if op.id == "" {
		fmt.Fprintf(m.Stdout, "%s %s\n", op.name, ch.idle)
		return nil
	}
	fmt.Fprintf(m.Stdout, "%s %s: operation %s\n", ch.doing, op.name, op.id)
	return nil
}

// resourceName returns the name in an ARN.
func resourceName(arn string) string {
	parts := strings.Split(arn, "/")
	if len(parts) < 2 {
		return arn
	}
	return parts[1]
}

// elapsed formats the time between from and until for a table. If until is nil, it
// is the time until now.
func elapsed(from, until *time.Time, now time.Time) string {
	if from == nil {
		return "-"
	}
	if until == nil {
		return term.Took(now.Sub(*from))
	}
	return term.Took(until.Sub(*from))
}
