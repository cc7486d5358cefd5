package api

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/share"
	"github.com/openslipway/slipway/internal/page"
	"github.com/openslipway/slipway/internal/store"
)

// The status of an auto scaling configuration is in lower case on the wire,
// although the model spells its values in upper case: Terraform waits for
// "active".
const (
	statusActive   types.AutoScalingConfigurationStatus = "active"
	statusInactive types.AutoScalingConfigurationStatus = "inactive"
)

// newScalings returns the operations that auto scaling configurations share with
// observability configurations.
func newScalings(a *API) configurations[slipway.AutoScaling] {
	return configurations[slipway.AutoScaling]{
		api: a, kind: "autoscalingconfiguration", noun: "auto scaling configuration",
		names: a.cfg.Quotas.AutoScalingNames, revisions: a.cfg.Quotas.AutoScalingRevisions,
		base: func(c *slipway.AutoScaling) *slipway.Configuration { return &c.Configuration },
		read: (*store.Tx).AutoScaling, list: (*store.Tx).AutoScalings, save: (*store.Tx).SaveAutoScaling,
		keep: a.refuseDefault,
	}
}

// refuseDefault refuses to delete the default configuration.
func (a *API) refuseDefault(c slipway.AutoScaling) error {
	switch {
	case !c.Default:
		return nil
	case c.ARN == a.scalings.defaultRevision().ARN:
		return slipway.Errorf(slipway.InvalidRequest, "You can't delete a reserved auto scaling configuration")
	}
	return slipway.Errorf(slipway.InvalidRequest, "You can't delete %s: it is the default auto scaling configuration.", c.ARN)
}

func autoScalingStatus(c slipway.AutoScaling) types.AutoScalingConfigurationStatus {
	if c.Active {
		return statusActive
	}
	return statusInactive
}

// autoScaling returns a revision as the API shows it.
func autoScaling(tx *store.Tx, c slipway.AutoScaling) (*types.AutoScalingConfiguration, error) {
	used, err := tx.InUse(c.ARN)
	if err != nil {
		return nil, err
	}
	out := &types.AutoScalingConfiguration{
		AutoScalingConfigurationArn:      &c.ARN,
		AutoScalingConfigurationName:     &c.Name,
		AutoScalingConfigurationRevision: aws.Int32(int32(c.Revision)),
		Latest:                           &c.Latest,
		Status:                           autoScalingStatus(c),
		MaxConcurrency:                   aws.Int32(int32(c.Scaling.MaxConcurrency)),
		MinSize:                          aws.Int32(int32(c.Scaling.MinSize)),
		MaxSize:                          aws.Int32(int32(c.Scaling.MaxSize)),
		CreatedAt:                        &c.CreatedAt,
		HasAssociatedService:             &used,
		IsDefault:                        &c.Default,
	}
	if !c.DeletedAt.IsZero() {
		out.DeletedAt = &c.DeletedAt
	}
	return out, nil
}

func (a *API) createAutoScaling(ctx context.Context, call *gateway.Call, in *apprunner.CreateAutoScalingConfigurationInput) (*apprunner.CreateAutoScalingConfigurationOutput, error) {
	scaling, err := a.scaling(in)
	if err != nil {
		return nil, err
	}
	tags, err := newTags("autoscalingconfiguration", in.Tags)
	if err != nil {
		return nil, err
	}
	var out apprunner.CreateAutoScalingConfigurationOutput
	err = call.Update(ctx, func(tx *store.Tx) error {
		next, err := a.scalings.next(tx, *in.AutoScalingConfigurationName)
		if err != nil {
			return err
		}
		c := slipway.AutoScaling{Configuration: next, Scaling: scaling}
		if err := tx.InsertAutoScaling(c); err != nil {
			return err
		}
		if err := errors.Join(tx.SetTags(c.ARN, tags), take(tx, call, share.AutoScalings, c.ARN, a.cfg.Quotas.AutoScalingNames)); err != nil {
			return err
		}
		out.AutoScalingConfiguration, err = autoScaling(tx, c)
		return err
	})
	return &out, err
}

// scaling fills in the defaults and checks what the model can't.
func (a *API) scaling(in *apprunner.CreateAutoScalingConfigurationInput) (slipway.Scaling, error) {
	s := slipway.DefaultScaling()
	for _, v := range []struct {
		to   *int
		from *int32
	}{{&s.MaxConcurrency, in.MaxConcurrency}, {&s.MinSize, in.MinSize}, {&s.MaxSize, in.MaxSize}} {
		if v.from != nil {
			*v.to = int(*v.from)
		}
	}
	if most := a.cfg.Quotas.Instances; in.MaxSize == nil && most >= 0 {
		s.MaxSize = min(s.MaxSize, most)
	} else if most >= 0 && s.MaxSize > most {
		return s, slipway.Errorf(slipway.InvalidRequest, "MaxSize is %d; a service can have at most %d instances.", s.MaxSize, most)
	}
	if s.MinSize > s.MaxSize {
		return s, slipway.Errorf(slipway.InvalidRequest, "MinSize is %d; it must not be greater than MaxSize, which is %d.", s.MinSize, s.MaxSize)
	}
	return s, nil
}

func (a *API) describeAutoScaling(ctx context.Context, _ *gateway.Call, in *apprunner.DescribeAutoScalingConfigurationInput) (*apprunner.DescribeAutoScalingConfigurationOutput, error) {
	var out apprunner.DescribeAutoScalingConfigurationOutput
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		c, err := a.scalings.find(tx, *in.AutoScalingConfigurationArn)
		if err != nil {
			return err
		}
		out.AutoScalingConfiguration, err = autoScaling(tx, c)
		return err
	})
	return &out, err
}

func (a *API) updateDefaultAutoScaling(ctx context.Context, call *gateway.Call, in *apprunner.UpdateDefaultAutoScalingConfigurationInput) (*apprunner.UpdateDefaultAutoScalingConfigurationOutput, error) {
	var out apprunner.UpdateDefaultAutoScalingConfigurationOutput
	err := call.Update(ctx, func(tx *store.Tx) error {
		c, err := a.scalings.findActive(tx, *in.AutoScalingConfigurationArn)
		if err != nil {
			return err
		}
		former, err := tx.DefaultAutoScaling()
		if err != nil {
			return err
		}
		former.Default, c.Default = false, true // in this order: a unique index allows one default
		if err := errors.Join(tx.SaveAutoScaling(former), tx.SaveAutoScaling(c)); err != nil {
			return err
		}
		out.AutoScalingConfiguration, err = autoScaling(tx, c)
		return err
	})
	return &out, err
}

// listServicesForAutoScaling lists the ARNs of the services that use a
// revision.
func (a *API) listServicesForAutoScaling(ctx context.Context, call *gateway.Call, in *apprunner.ListServicesForAutoScalingConfigurationInput) (*apprunner.ListServicesForAutoScalingConfigurationOutput, error) {
	out := apprunner.ListServicesForAutoScalingConfigurationOutput{ServiceArnList: []string{}}
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		c, err := a.scalings.findActive(tx, *in.AutoScalingConfigurationArn)
		if err != nil {
			return err
		}
		p := page.New(in.MaxResults, "ListServicesForAutoScalingConfiguration", *in.AutoScalingConfigurationArn)
		list, next, err := listByAge(p, in.NextToken,
			func(at time.Time, id string, limit int) ([]slipway.ServiceView, error) {
				return tx.ServicesUsing(c.ARN, at, id, limit)
			}, serviceKey, func(v slipway.ServiceView) (bool, error) {
				return call.Permits(tx, gateway.Permission{Resource: v.ARN, DenyOnly: true})
			})
		for _, v := range list {
			out.ServiceArnList = append(out.ServiceArnList, v.ARN)
		}
		out.NextToken = next
		return err
	})
	return &out, err
}

// chooseAutoScaling returns the full ARN of the revision for a service: the
// requested one, else the current one, else the default.
func (a *API) chooseAutoScaling(tx *store.Tx, asked *string, current string) (string, error) {
	if asked != nil {
		return a.scalings.choose(tx, *asked)
	}
	if current != "" {
		return current, nil
	}
	c, err := tx.DefaultAutoScaling()
	return c.ARN, err
}
