package main

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

// addReplaceFlag adds the flag of a verb that may take the place of an operation in
// progress.
func addReplaceFlag(cmd *cobra.Command, replace *bool) {
	cmd.Flags().BoolVar(replace, "replace", false, "cancel the service's operation in progress, if any, and take its place; on a terminal the command asks")
}

// supersede cancels the operation in progress of a service and waits until it is
// rolled back, so that another one can take its place. Without replace it asks first; if
// the answer is no, or there is no terminal to ask on, it does nothing. If the operation
// can't be cancelled any more, it waits until the operation has ended.
func (m *Main) supersede(ctx context.Context, c *client.Client, arn string, replace bool) error {
	op, err := c.Operation(ctx, arn, "")
	if err != nil || op == nil || !client.Live(op.Status) || op.Type == types.OperationTypeDeleteService {
		return ctx.Err() // the call that follows says what is wrong
	}
	name := resourceName(arn)
	if !replace {
		age := term.Took(m.Now().Sub(aws.ToTime(op.StartedAt)).Truncate(time.Second))
		if !term.IsTerminal(m.Stdin) || !m.ask("%s of %s has been in progress for %s. Cancel it?", op.Type, name, age) {
			return nil
		}
	}
	p := m.progress()
	_, _, err = c.CancelOperation(ctx, arn, aws.ToString(op.Id))
	switch {
	case err == nil:
		p.Say(term.Plain, "Cancelling %s of %s", op.Type, name)
	case client.InvalidState(err): // it has ended, or can't be cancelled any more
		p.Say(term.Plain, "Waiting for %s of %s to end: it can't be cancelled any more", op.Type, name)
	default:
		return withName(c.Target.Explain(err), name)
	}
	_, err = m.await(ctx, c, operation{name: name, arn: arn, id: aws.ToString(op.Id)}, p)
	return err
}

// refusedBy adds to the error of a service that has an operation in progress how that
// operation can be replaced.
func (m *Main) refusedBy(ctx context.Context, c *client.Client, arn string, problem *client.Problem) *client.Problem {
	if !client.InvalidState(problem.Err) {
		return problem
	}
	if op, err := c.Operation(ctx, arn, ""); err == nil && op != nil && client.Live(op.Status) {
		problem.Hint = string(op.Type) + " is in progress; with --replace it is cancelled first. " + problem.Hint
	}
	return problem
}
