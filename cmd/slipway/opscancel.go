package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

func newOpsCancelCommand(m *Main) *cobra.Command {
	var id string
	var wait bool
	cmd := &cobra.Command{
		Use:   "cancel SERVICE",
		Short: "Cancel the operation in progress",
		Long: `Cancel rolls back the operation in progress. An update or deployment returns to
the previous version, which has served all along; a creation ends and its service
is CREATE_FAILED. After a cancelled pause the service is RUNNING, after a cancelled
resume PAUSED.

An operation can't be cancelled any more once its new version serves; to go back
then, run up with the previous image. A deletion can't be cancelled. Cancelling an
operation again does nothing.`,
		Example:           "  slipway ops cancel shop",
		Args:              argCount(1, 1, "the name of a service"),
		ValidArgsFunction: m.completeService,
		RunE:              func(cmd *cobra.Command, args []string) error { return m.cancel(cmd.Context(), args[0], id, wait) },
	}
	cmd.Flags().StringVar(&id, "operation", "", "cancel only if the operation with this `id` is in progress")
	cmd.Flags().BoolVar(&wait, "wait", true, "wait until the operation is rolled back and show its steps")
	return cmd
}

func (m *Main) cancel(ctx context.Context, nameOrARN, id string, wait bool) error {
	c, arn, err := m.service(ctx, nameOrARN)
	if err != nil {
		return err
	}
	name := resourceName(arn)
	summary, who, err := c.CancelOperation(ctx, arn, id)
	if err != nil {
		return withName(c.Target.Explain(err), name)
	}
	op := operation{name: name, arn: arn, id: aws.ToString(summary.Id)}
	if !wait {
		if m.json {
			return m.printJSON(result{OperationID: op.id, Operation: &apiJSON{&summary}, CancelledBy: who.By})
		}
		_, err := fmt.Fprintf(m.Stdout, "Cancelling %s of %s: operation %s\n", summary.Type, name, op.id)
		return err
	}
	p := m.progress()
	p.Say(term.Plain, "Cancelling %s of %s", summary.Type, name)
	out, err := m.await(ctx, c, op, p)
	if err != nil {
		return err
	}
	out.CancelledBy = who.By
	return m.printCancelled(name, out)
}

// printCancelled prints how an operation that was cancelled ended.
func (m *Main) printCancelled(name string, out *result) error {
	var failed error
	if s := out.summary.Status; s != types.OperationStatusRollbackSucceeded && s != types.OperationStatusFailed {
		failed = &client.Problem{Text: fmt.Sprintf("%s of %s was cancelled, but ended as %s", out.summary.Type, name, s)}
	}
	if m.json {
		if err := m.printJSON(out); err != nil {
			return err
		}
		return failed
	}
	if failed != nil {
		return failed
	}
	status := ""
	if out.service != nil {
		status = "; the service is " + string(out.service.Status)
	}
	_, err := fmt.Fprintf(m.Stdout, "%s of %s %s%s\n", out.summary.Type, name, m.outStyle().Render(term.Good, "is cancelled"), status)
	return err
}
