package api

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

// listAutoScalingInput distinguishes an absent LatestOnly from false, which the
// SDK's struct can't.
type listAutoScalingInput struct {
	apprunner.ListAutoScalingConfigurationsInput
	LatestOnly *bool
}

// listAutoScaling lists active revisions by name and number: all of them if
// LatestOnly is false, the latest of each name if it is true.
//
// The documentation says that the default is true. But Go's SDK can't send false,
// and Terraform looks in this list for the default revision, whatever its number.
// So if LatestOnly is absent, the list also holds the default revision.
func (a *API) listAutoScaling(ctx context.Context, call *gateway.Call, in *listAutoScalingInput) (*apprunner.ListAutoScalingConfigurationsOutput, error) {
	out := apprunner.ListAutoScalingConfigurationsOutput{AutoScalingConfigurationSummaryList: []types.AutoScalingConfigurationSummary{}}
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		list, next, err := a.scalings.page(tx, call, revisionList{
			operation: "ListAutoScalingConfigurations", name: in.AutoScalingConfigurationName, latestOnly: in.LatestOnly,
			max: in.MaxResults, next: in.NextToken,
		}, func(c slipway.AutoScaling) bool { return c.Default })
		if err != nil {
			return err
		}
		out.NextToken = next
		for _, c := range list {
			s, err := autoScalingSummary(tx, c)
			if err != nil {
				return err
			}
			out.AutoScalingConfigurationSummaryList = append(out.AutoScalingConfigurationSummaryList, s)
		}
		return nil
	})
	return &out, err
}

func autoScalingSummary(tx *store.Tx, c slipway.AutoScaling) (types.AutoScalingConfigurationSummary, error) {
	used, err := tx.InUse(c.ARN)
	return types.AutoScalingConfigurationSummary{
		AutoScalingConfigurationArn:      &c.ARN,
		AutoScalingConfigurationName:     &c.Name,
		AutoScalingConfigurationRevision: int32(c.Revision),
		Status:                           autoScalingStatus(c),
		CreatedAt:                        &c.CreatedAt,
		HasAssociatedService:             &used,
		IsDefault:                        &c.Default,
	}, err
}
