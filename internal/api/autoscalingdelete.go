package api

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

func (a *API) deleteAutoScaling(ctx context.Context, call *gateway.Call, in *apprunner.DeleteAutoScalingConfigurationInput) (*apprunner.DeleteAutoScalingConfigurationOutput, error) {
	var out apprunner.DeleteAutoScalingConfigurationOutput
	err := call.Update(ctx, func(tx *store.Tx) (err error) {
		if in.DeleteAllRevisions {
			out.AutoScalingConfiguration, err = a.deleteAllRevisions(tx, *in.AutoScalingConfigurationArn)
		} else {
			out.AutoScalingConfiguration, err = a.deleteRevision(tx, *in.AutoScalingConfigurationArn)
		}
		return err
	})
	return &out, err
}

func (a *API) deleteRevision(tx *store.Tx, arn string) (*types.AutoScalingConfiguration, error) {
	c, err := a.scalings.delete(tx, arn)
	if err != nil {
		return nil, err
	}
	return autoScaling(tx, c)
}

// deleteAllRevisions deletes all revisions of a name. The reply describes the
// name, without the members of a revision.
func (a *API) deleteAllRevisions(tx *store.Tx, text string) (*types.AutoScalingConfiguration, error) {
	arn, err := a.scalings.parse(text)
	if err != nil {
		return nil, err
	}
	if len(arn.Parts) != 1 {
		return nil, slipway.Errorf(slipway.InvalidRequest,
			"DeleteAllRevisions needs an ARN that ends with the configuration's name, without a revision: %s", text)
	}
	latest, err := a.scalings.findActive(tx, text)
	if err != nil {
		return nil, err
	}
	all, err := tx.AutoScalings(latest.Name, "", 0)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if _, err := a.scalings.deactivate(tx, c); err != nil {
			return nil, err
		}
	}
	return &types.AutoScalingConfiguration{
		AutoScalingConfigurationArn:  &text,
		AutoScalingConfigurationName: &latest.Name,
		Status:                       statusInactive,
	}, nil
}
