package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/term"
)

func newLsCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List services",
		Long: `Ls lists all services by name. With --json it prints the reply of ListServices,
all pages in one.`,
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
	if m.json {
		return m.printJSON(struct{ ServiceSummaryList []apiJSON }{apiList(services)})
	}
	if len(services) == 0 {
		m.progress().Say(term.Plain, "No services yet. `slipway up PATH|IMAGE` creates one.")
		return nil
	}
	return m.printServices(services)
}

func (m *Main) printServices(services []types.ServiceSummary) error {
	t := term.Table{Head: []string{"NAME", "STATUS", "URL", "UPDATED", "CREATED"}}
	now := m.Now()
	for _, s := range services {
		t.Add(
			term.Cell{Text: aws.ToString(s.ServiceName)},
			term.Cell{Text: string(s.Status), Tone: statusTone(string(s.Status))},
			term.Cell{Text: serviceURL(aws.ToString(s.ServiceUrl))},
			term.Cell{Text: term.Ago(now, aws.ToTime(s.UpdatedAt))},
			term.Cell{Text: term.Ago(now, aws.ToTime(s.CreatedAt))},
		)
	}
	return t.Write(m.Stdout, m.outStyle())
}
