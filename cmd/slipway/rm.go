package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

type rmCommand struct {
	m    *Main
	wait bool
	yes  bool
}

func newRmCommand(m *Main) *cobra.Command {
	rm := rmCommand{m: m}
	cmd := &cobra.Command{
		Use:   "rm SERVICE",
		Short: "Delete a service",
		Long: `Rm deletes a service with its instances, its URL and its logs. This can't be
undone. On a terminal it asks for confirmation, unless --yes is given.`,
		Example:           "  slipway rm shop --yes",
		Args:              argCount(1, 1, "the name of a service"),
		ValidArgsFunction: m.completeService,
		RunE:              func(cmd *cobra.Command, args []string) error { return rm.run(cmd.Context(), args[0]) },
	}
	addWaitFlag(cmd, &rm.wait)
	cmd.Flags().BoolVarP(&rm.yes, "yes", "y", false, "do not ask for confirmation")
	return cmd
}

func (rm *rmCommand) run(ctx context.Context, nameOrARN string) error {
	c, err := rm.m.connect(ctx)
	if err != nil {
		return err
	}
	if !rm.yes && term.IsTerminal(rm.m.Stdin) {
		svc, err := c.Describe(ctx, nameOrARN)
		if err != nil {
			return err
		}
		nameOrARN = aws.ToString(svc.ServiceArn) // delete the service that was confirmed, and no other
		if !rm.confirmed(aws.ToString(svc.ServiceName), string(svc.Status)) {
			return &client.Problem{Text: "nothing was deleted"}
		}
	}
	return rm.m.apply(ctx, c, nameOrARN, deleting, rm.wait)
}

func (rm *rmCommand) confirmed(name, status string) bool {
	fmt.Fprintf(rm.m.Stderr, "Delete service %s (%s), its URL and its logs? [y/N] ", name, status)
	answer, _ := bufio.NewReader(rm.m.Stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}

var deleting = change{
	doing: "Deleting",
	done:  "is deleted",
	start: func(ctx context.Context, c *client.Client, arn string) (string, *types.Service, error) {
		out, err := c.API.DeleteService(ctx, &apprunner.DeleteServiceInput{ServiceArn: aws.String(arn)})
		if err != nil {
			return "", nil, err
		}
		return aws.ToString(out.OperationId), out.Service, nil
	},
}
