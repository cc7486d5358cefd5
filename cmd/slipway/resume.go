package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
)

func newResumeCommand(m *Main) *cobra.Command {
	return m.changeCommand(resuming, &cobra.Command{
		Use:   "resume SERVICE",
		Short: "Resume a paused service",
		Long: `Resume starts the version that the service ran when it was paused, at the same URL,
without pulling its image again.`,
		Example: "  slipway resume shop",
	})
}

var resuming = change{
	doing: "Resuming",
	done:  "is running",
	idle:  "is running already",
	start: func(ctx context.Context, c *client.Client, arn string) (string, *types.Service, error) {
		out, err := c.API.ResumeService(ctx, &apprunner.ResumeServiceInput{ServiceArn: aws.String(arn)})
		if err != nil {
			return "", nil, err
		}
		return aws.ToString(out.OperationId), out.Service, nil
	},
}
