package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/cli/client"
)

// sizes are the limits of an auto scaling configuration.
type sizes struct {
	concurrency, least, most int32
}

// defaultSizes are App Runner's defaults.
var defaultSizes = sizes{concurrency: 100, least: 1, most: 25}

// with returns the sizes, replaced by the flags that are not zero. If only one
// limit is given and it passes the other, the other follows it.
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

// name is the name of up's scaling configuration of these sizes. It is derived
// from them, so that services with the same sizes share one: an account may have
// ten.
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

// scalingARN returns the ARN of a scaling configuration with the service's sizes
// (svc may be nil) changed by the flags. It creates one if none exists. It
// returns nil if the service keeps its own.
func scalingARN(ctx context.Context, c *client.Client, flags sizes, svc *types.Service) (*string, error) {
	if flags == (sizes{}) {
		return nil, nil
	}
	have := defaultSizes
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

// findScaling returns the ARN of a configuration that an earlier up created for
// these sizes, nil if there is none. The sizes are compared too, since any client
// may create a configuration with that name.
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
