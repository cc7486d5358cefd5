package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

func newOpsCommand(m *Main) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ops SERVICE",
		Aliases: []string{"operations"},
		Short:   "List or cancel a service's operations",
		Long: "Ops lists the operations on a service, newest first. `slipway logs SERVICE\n" +
			"--deployment ID` shows an operation's steps. With --json it prints the reply of\n" +
			"ListOperations, all pages in one, and who cancelled which operation.\n\n" +
			"A service named cancel must be given by its ARN.",
		Example:           "  slipway ops shop",
		Args:              argCount(1, 1, "the name of a service"),
		ValidArgsFunction: m.completeService,
		RunE:              func(cmd *cobra.Command, args []string) error { return m.operations(cmd.Context(), args[0]) },
	}
	cmd.AddCommand(newOpsCancelCommand(m))
	return cmd
}

func (m *Main) operations(ctx context.Context, nameOrARN string) error {
	c, arn, err := m.service(ctx, nameOrARN)
	if err != nil {
		return err
	}
	operations := []types.OperationSummary{}
	pages := apprunner.NewListOperationsPaginator(c.API, &apprunner.ListOperationsInput{ServiceArn: aws.String(arn)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		operations = append(operations, page.OperationSummaryList...)
	}
	cancelled, err := m.cancellations(ctx, c, arn, operations)
	if err != nil {
		return err
	}
	if m.json {
		return m.printJSON(struct {
			OperationSummaryList []apiJSON
			Cancellations        []cancellation `json:",omitempty"`
		}{apiList(operations), cancelled})
	}
	return m.printOperations(operations, cancelled)
}

// cancellation says who cancelled an operation, in --json.
type cancellation struct {
	OperationID string `json:"OperationId"`
	CancelledBy string
	CancelledAt float64 // seconds since 1970
}

// cancellations returns who cancelled which of the operations, in their order.
func (m *Main) cancellations(ctx context.Context, c *client.Client, arn string, operations []types.OperationSummary) ([]cancellation, error) {
	var ids []string
	for _, op := range operations {
		if op.Status != types.OperationStatusSucceeded { // one that was cancelled never succeeds
			ids = append(ids, aws.ToString(op.Id))
		}
	}
	found, err := c.Cancellations(ctx, arn, ids)
	if err != nil {
		return nil, err
	}
	var list []cancellation
	for _, id := range ids {
		if by, ok := found[id]; ok {
			list = append(list, cancellation{id, by.By, float64(by.At.UnixMilli()) / 1000})
		}
	}
	return list, nil
}

func (m *Main) printOperations(operations []types.OperationSummary, cancelled []cancellation) error {
	t := term.Table{
		Head:  []string{"OPERATION", "TYPE", "STATUS", "STARTED", "TOOK"},
		Yield: []term.Yield{{Column: "OPERATION", Short: true}, {Column: "TOOK"}, {Column: "STARTED"}, {Column: "CANCELLED BY", Most: 20}},
	}
	if len(cancelled) > 0 {
		t.Head = append(t.Head, "CANCELLED BY")
	}
	by := map[string]string{}
	for _, c := range cancelled {
		by[c.OperationID] = c.CancelledBy
	}
	now := m.Now()
	for _, op := range operations {
		row := []term.Cell{
			{Text: aws.ToString(op.Id), Short: shortID(aws.ToString(op.Id))}, // `slipway logs` takes the beginning of an id
			{Text: string(op.Type)},
			{Text: string(op.Status), Tone: statusTone(string(op.Status))},
			{Text: term.Ago(now, aws.ToTime(op.StartedAt))},
			{Text: elapsed(op.StartedAt, op.EndedAt, now)},
		}
		if len(cancelled) > 0 {
			row = append(row, term.Cell{Text: by[aws.ToString(op.Id)]})
		}
		t.Add(row...)
	}
	return t.Write(m.Stdout, m.outStyle())
}
