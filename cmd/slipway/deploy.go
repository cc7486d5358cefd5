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
		Long: `Deploy pulls the service's image again and replaces all instances, once the new
ones are healthy. If the image is named by tag, the image that the tag now points
to is deployed; if it is named by digest, as up does, the same image is deployed
again. To deploy another image, use up.`,
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
