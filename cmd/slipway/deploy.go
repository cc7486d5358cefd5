package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
)

func newDeployCommand(m *Main) *cobra.Command {
	return m.changeCommand(deploying, &cobra.Command{
		Use:   "deploy SERVICE",
		Short: "Deploy a service's image again",
		Long: `Deploy pulls the image that a service names once more and replaces all instances
with new ones, after these are healthy. A tag that has moved brings what it
means now; an image named by digest, as up does it, is the same again. To deploy
another image, use up.`,
		Example: "  slipway deploy shop",
	})
}

var deploying = change{
	doing: "Deploying",
	done:  "is deployed",
	start: func(ctx context.Context, c *client.Client, arn string) (string, *types.Service, error) {
		out, err := c.API.StartDeployment(ctx, &apprunner.StartDeploymentInput{ServiceArn: aws.String(arn)})
		if err != nil {
			return "", nil, err
		}
		return aws.ToString(out.OperationId), nil, nil
	},
}
