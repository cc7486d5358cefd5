package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

func newExplainCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:   "explain SERVICE",
		Short: "Tell why a service has its instances, and where its requests go",
		Long: `Explain prints how many instances a service is to have, why, and what that was decided
by; then how its requests are taken: how many wait, and what each instance has in flight.
An instance gets no requests while it is ejected, and fewer while it starts slowly; a
frozen one is thawed by the next request. One that answers no request is told of, with what
becomes of it by slipway:replace-hung-after. With --json it prints the reply of the call.`,
		Example:           "  slipway explain shop",
		Args:              argCount(1, 1, "the name of a service"),
		ValidArgsFunction: m.completeService,
		RunE:              func(cmd *cobra.Command, args []string) error { return m.explainService(cmd.Context(), args[0]) },
	}
}

func (m *Main) explainService(ctx context.Context, nameOrARN string) error {
	c, arn, err := m.service(ctx, nameOrARN)
	if err != nil {
		return err
	}
	out, err := c.Scaling(ctx, arn)
	if err != nil {
		return withName(c.Target.Explain(err), resourceName(arn))
	}
	if m.json {
		return m.printJSON(out)
	}
	if err := m.explainSize(out.Size); err != nil {
		return err
	}
	return m.explainRequests(out.Requests)
}

func (m *Main) explainSize(s *client.Size) error {
	if s == nil {
		return m.sayLine("It has no version that takes requests, so no number of instances was decided.")
	}
	now := m.Now()
	lines := []string{
		fmt.Sprintf("%s wanted, of %d to %d, for %s each: %s", counted(s.Wanted, "instance"), s.MinSize, s.MaxSize, atOnce(float64(s.MaxConcurrency)), s.Reason),
		fmt.Sprintf("%s %s, at most %s in the last minute", atOnce(s.Demand), term.Ago(now, s.DecidedAt.Time()), atOnce(s.PeakDemand)),
	}
	if c := s.LastChange; c != nil {
		lines = append(lines, fmt.Sprintf("changed from %d to %d %s: %s", c.From, c.To, term.Ago(now, c.At.Time()), c.Reason))
	}
	if s.Wanted > s.MinSize && s.Wanted > 1 {
		switch {
		case !s.Observed:
			lines = append(lines, "it does not shrink before a whole minute was observed")
		case s.CoolingDown:
			lines = append(lines, "its size has just changed, so it does not shrink yet")
		}
	}
	if s.IdleSeconds >= 1 {
		lines = append(lines, "no request for "+(time.Duration(s.IdleSeconds)*time.Second).String())
	}
	return m.sayLine(lines...)
}

// atOnce says a number of requests.
func atOnce(n float64) string {
	if n == 1 {
		return "1 request at once"
	}
	return strings.TrimSuffix(strconv.FormatFloat(n, 'f', 1, 64), ".0") + " requests at once"
}

func (m *Main) explainRequests(r *client.Requests) error {
	switch {
	case r == nil:
		return m.sayLine("This server routes no requests to it.")
	case r.Refused != "":
		return m.sayLine("Requests are refused: " + r.Refused)
	}
	if err := m.sayLine(fmt.Sprintf("%d of at most %s wait for an instance", r.Waiting, counted(r.MaxWaiting, "request"))); err != nil {
		return err
	}
	if len(r.Instances) == 0 {
		return nil
	}
	t := term.Table{Indent: "  ", Head: []string{"INSTANCE", "IN FLIGHT", "STATE", "FAILED"}}
	for _, i := range r.Instances {
		state := i.State
		if i.Share < 100 {
			state = fmt.Sprintf("%s, %d %% of a share", state, i.Share)
		}
		tone := term.Plain
		if i.State == "ejected" || i.State == "hung" {
			tone = term.Warn
		}
		failed := "-"
		if i.Failures > 0 {
			failed = fmt.Sprintf("%d in a row", i.Failures)
		}
		t.Add(term.Cell{Text: shortID(i.ID)}, term.Cell{Text: fmt.Sprintf("%d of %d", i.InFlight, r.MaxConcurrency)}, term.Cell{Text: state, Tone: tone}, term.Cell{Text: failed})
	}
	if err := t.Write(m.Stdout, m.outStyle()); err != nil {
		return err
	}
	return m.explainHung(r)
}

// explainHung tells of instances that answer no request, and what becomes of them.
func (m *Main) explainHung(r *client.Requests) error {
	for _, i := range r.Instances {
		if i.Unanswered == 0 {
			continue
		}
		line := fmt.Sprintf("%s has answered none of its last %s, in %v", shortID(i.ID), counted(i.Unanswered, "request"), time.Duration(i.UnansweredSeconds)*time.Second)
		after := time.Duration(r.ReplaceHungAfterSeconds) * time.Second
		switch {
		case after == 0:
			line += ": it stays as long as its health check passes; with slipway:replace-hung-after it would be replaced"
		case i.State != "hung":
			line += fmt.Sprintf(": it is replaced if that goes on for %v (slipway:replace-hung-after)", after)
		case r.ReplacesNextAt.Time().After(m.Now()):
			line += fmt.Sprintf(": others were replaced for that a short while ago, so it is the next in %v", r.ReplacesNextAt.Time().Sub(m.Now()).Round(time.Second))
		default:
			line += ": it is replaced, one instance at a time"
		}
		if err := m.sayLine(line); err != nil {
			return err
		}
	}
	return nil
}

func (m *Main) sayLine(lines ...string) error {
	_, err := fmt.Fprintln(m.Stdout, strings.Join(lines, "\n  "))
	return err
}
