package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/term"
)

func newOpsCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:     "ops SERVICE",
		Aliases: []string{"operations"},
		Short:   "List a service's operations",
		Long: "Ops lists the operations on a service, newest first. `slipway logs SERVICE\n" +
			"--deployment ID` shows an operation's steps. With --json it prints the reply of\n" +
			"ListOperations, all pages in one.",
		Example:           "  slipway ops shop",
		Args:              argCount(1, 1, "the name of a service"),
		ValidArgsFunction: m.completeService,
		RunE:              func(cmd *cobra.Command, args []string) error { return m.operations(cmd.Context(), args[0]) },
	}
}

func (m *Main) operations(ctx context.Context, nameOrARN string) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	arn, err := c.ServiceARN(ctx, nameOrARN)
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
	if m.json {
		return m.printJSON(struct{ OperationSummaryList []apiJSON }{apiList(operations)})
	}
	return m.printOperations(operations)
}

func (m *Main) printOperations(operations []types.OperationSummary) error {
	t := term.Table{Head: []string{"OPERATION", "TYPE", "STATUS", "STARTED", "TOOK"}}
	now := m.Now()
	for _, op := range operations {
		t.Add(
			term.Cell{Text: aws.ToString(op.Id)},
			term.Cell{Text: string(op.Type)},
			term.Cell{Text: string(op.Status), Tone: statusTone(string(op.Status))},
			term.Cell{Text: term.Ago(now, aws.ToTime(op.StartedAt))},
			term.Cell{Text: elapsed(op.StartedAt, op.EndedAt, now)},
		)
	}
	return t.Write(m.Stdout, m.outStyle())
}
