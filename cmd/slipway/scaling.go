package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/cli/client"
)

// sizes bound how a service scales.
type sizes struct {
	concurrency, least, most int32
}

// usualSizes are App Runner's defaults.
var usualSizes = sizes{concurrency: 100, least: 1, most: 25}

// with returns the sizes with those of the flags that are not zero. A single
// bound that passes the other moves it along.
func (s sizes) with(flags sizes) sizes {
	if flags.concurrency != 0 {
		s.concurrency = flags.concurrency
	}
	if flags.least != 0 {
		s.least = flags.least
		if flags.most == 0 {
			s.most = max(s.most, s.least)
		}
	}
	if flags.most != 0 {
		s.most = flags.most
		if flags.least == 0 {
			s.least = min(s.least, s.most)
		}
	}
	return s
}

// name is what up calls a scaling configuration of these sizes. It follows from
// them, so that services of the same sizes share one: accounts may have ten.
func (s sizes) name() string {
	return fmt.Sprintf("min-%d-max-%d-concurrency-%d", s.least, s.most, s.concurrency)
}

func sizesOf(cfg *types.AutoScalingConfiguration) sizes {
	return sizes{
		concurrency: aws.ToInt32(cfg.MaxConcurrency),
		least:       aws.ToInt32(cfg.MinSize),
		most:        aws.ToInt32(cfg.MaxSize),
	}
}

// scalingARN returns the ARN of a scaling configuration with the sizes that the
// flags make of the service's (svc may be nil), making one if need be. It is
// nil when the service is to keep its own.
func scalingARN(ctx context.Context, c *client.Client, flags sizes, svc *types.Service) (*string, error) {
	if flags == (sizes{}) {
		return nil, nil
	}
	have := usualSizes
	if svc != nil && svc.AutoScalingConfigurationSummary != nil {
		cfg, err := describeScaling(ctx, c, svc.AutoScalingConfigurationSummary.AutoScalingConfigurationArn)
		if err != nil {
			return nil, err
		}
		if cfg != nil {
			have = sizesOf(cfg)
		}
	}
	want := have.with(flags)
	if want == have && svc != nil {
		return nil, nil
	}
	arn, err := findScaling(ctx, c, want)
	if err != nil || arn != nil {
		return arn, err
	}
	out, err := c.API.CreateAutoScalingConfiguration(ctx, &apprunner.CreateAutoScalingConfigurationInput{
		AutoScalingConfigurationName: aws.String(want.name()),
		MaxConcurrency:               aws.Int32(want.concurrency),
		MinSize:                      aws.Int32(want.least),
		MaxSize:                      aws.Int32(want.most),
	})
	if err != nil {
		return nil, err
	}
	return out.AutoScalingConfiguration.AutoScalingConfigurationArn, nil
}

// findScaling returns the ARN of a configuration that up made of these sizes
// before, nil when there is none. The sizes are compared too, since anybody may
// make a configuration of that name.
func findScaling(ctx context.Context, c *client.Client, want sizes) (*string, error) {
	pages := apprunner.NewListAutoScalingConfigurationsPaginator(c.API, &apprunner.ListAutoScalingConfigurationsInput{
		AutoScalingConfigurationName: aws.String(want.name()),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range page.AutoScalingConfigurationSummaryList {
			cfg, err := describeScaling(ctx, c, s.AutoScalingConfigurationArn)
			if err != nil {
				return nil, err
			}
			if cfg != nil && cfg.DeletedAt == nil && sizesOf(cfg) == want {
				return cfg.AutoScalingConfigurationArn, nil
			}
		}
	}
	return nil, nil
}
