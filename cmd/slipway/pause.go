package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
)

func newPauseCommand(m *Main) *cobra.Command {
	return m.changeCommand(pausing, &cobra.Command{
		Use:   "pause SERVICE",
		Short: "Pause a service",
		Long: `Pause stops all instances of a service. Its URL, configuration and image are kept.
Requests are answered with 503 until the service is resumed. Files that instances
wrote to their disks are lost.`,
		Example: "  slipway pause shop",
	})
}

var pausing = change{
	doing: "Pausing",
	done:  "is paused",
	idle:  "is paused already",
	start: func(ctx context.Context, c *client.Client, arn string) (string, *types.Service, error) {
		out, err := c.API.PauseService(ctx, &apprunner.PauseServiceInput{ServiceArn: aws.String(arn)})
		if err != nil {
			return "", nil, err
		}
		return aws.ToString(out.OperationId), out.Service, nil
	},
}
