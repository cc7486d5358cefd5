package api

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

func (a *API) deleteAutoScaling(ctx context.Context, _ gateway.Caller, in *apprunner.DeleteAutoScalingConfigurationInput) (*apprunner.DeleteAutoScalingConfigurationOutput, error) {
	var out apprunner.DeleteAutoScalingConfigurationOutput
	err := a.cfg.Store.Update(ctx, func(tx *store.Tx) (err error) {
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
	c, err := a.findActiveAutoScaling(tx, arn)
	if err != nil {
		return nil, err
	}
	wasLatest := c.Latest
	if c, err = a.deactivate(tx, c); err != nil {
		return nil, err
	}
	if wasLatest {
		if err := promote(tx, c.Name); err != nil {
			return nil, err
		}
	}
	return autoScaling(tx, c)
}

// deleteAllRevisions answers for the name as a whole, without a revision's
// members.
func (a *API) deleteAllRevisions(tx *store.Tx, text string) (*types.AutoScalingConfiguration, error) {
	arn, err := a.parseAutoScaling(text)
	if err != nil {
		return nil, err
	}
	if len(arn.Parts) != 1 {
		return nil, slipway.Errorf(slipway.InvalidRequest,
			"DeleteAllRevisions needs an ARN that ends with the configuration's name, without a revision: %s", text)
	}
	latest, err := a.findActiveAutoScaling(tx, text)
	if err != nil {
		return nil, err
	}
	all, err := tx.AutoScalings(latest.Name, "", 0)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if _, err := a.deactivate(tx, c); err != nil {
			return nil, err
		}
	}
	return &types.AutoScalingConfiguration{
		AutoScalingConfigurationArn:  &text,
		AutoScalingConfigurationName: &latest.Name,
		Status:                       statusInactive,
	}, nil
}

// deactivate deletes a revision that is neither the default nor in use. It
// stays describable until it is forgotten.
func (a *API) deactivate(tx *store.Tx, c slipway.AutoScaling) (slipway.AutoScaling, error) {
	if c.Default {
		if c.ARN == a.arn("autoscalingconfiguration", providedName, "1", providedID) {
			return c, slipway.Errorf(slipway.InvalidRequest, "You can't delete a reserved auto scaling configuration")
		}
		return c, slipway.Errorf(slipway.InvalidRequest, "You can't delete %s: it is the default auto scaling configuration.", c.ARN)
	}
	used, err := tx.InUse(c.ARN)
	if err != nil {
		return c, err
	}
	if used {
		return c, slipway.Errorf(slipway.InvalidRequest, "You can't delete %s: a service uses it.", c.ARN)
	}
	c.Active, c.Latest, c.DeletedAt = false, false, a.now()
	return c, tx.SaveAutoScaling(c)
}

// promote makes the highest revision that is left the latest.
func promote(tx *store.Tx, name string) error {
	list, err := tx.AutoScalings(name, "", 0)
	if err != nil || len(list) == 0 {
		return err
	}
	last := list[len(list)-1]
	last.Latest = true
	return tx.SaveAutoScaling(last)
}
