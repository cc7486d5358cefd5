package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
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
undone. An operation in progress is cancelled first.` + confirmNote,
		Example:           "  slipway rm shop --yes",
		Args:              argCount(1, 1, "the name of a service"),
		ValidArgsFunction: m.completeService,
		RunE:              func(cmd *cobra.Command, args []string) error { return rm.run(cmd, args[0]) },
	}
	addWaitFlag(cmd, &rm.wait)
	addYesFlag(cmd, &rm.yes)
	return cmd
}

func (rm *rmCommand) run(cmd *cobra.Command, nameOrARN string) error {
	if err := rm.m.mayAsk(cmd, rm.yes); err != nil {
		return err
	}
	ctx := cmd.Context()
	c, err := rm.m.connect(ctx)
	if err != nil {
		return err
	}
	if !rm.yes {
		svc, err := c.Describe(ctx, nameOrARN)
		if err != nil {
			return err
		}
		nameOrARN = aws.ToString(svc.ServiceArn) // delete the service that was confirmed, and no other
		if err := rm.m.confirm(cmd, false, deleteQuestion, aws.ToString(svc.ServiceName), svc.Status); err != nil {
			return err
		}
	}
	return rm.m.apply(ctx, c, nameOrARN, deleting, rm.wait, true)
}

const deleteQuestion = "Delete service %s (%s), its URL and its logs?"

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
