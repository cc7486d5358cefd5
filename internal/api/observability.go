package api

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/share"
	"github.com/openslipway/slipway/internal/store"
)

// newObservabilities returns the operations that observability configurations
// share with auto scaling configurations.
func newObservabilities(a *API) configurations[slipway.Observability] {
	return configurations[slipway.Observability]{
		api: a, kind: "observabilityconfiguration", noun: "observability configuration",
		names: a.cfg.Quotas.ObservabilityNames, revisions: a.cfg.Quotas.ObservabilityRevisions,
		base: func(o *slipway.Observability) *slipway.Configuration { return &o.Configuration },
		read: (*store.Tx).Observability, list: (*store.Tx).Observabilities, save: (*store.Tx).SaveObservability,
		keep: func(o slipway.Observability) error {
			if o.Name == defaultName {
				return slipway.Errorf(slipway.InvalidRequest, "You can't delete a reserved observability configuration")
			}
			return nil
		},
	}
}

// observability returns a revision as the API shows it.
func observability(o slipway.Observability) *types.ObservabilityConfiguration {
	out := &types.ObservabilityConfiguration{
		ObservabilityConfigurationArn:      &o.ARN,
		ObservabilityConfigurationName:     &o.Name,
		ObservabilityConfigurationRevision: int32(o.Revision),
		Latest:                             o.Latest,
		Status:                             types.ObservabilityConfigurationStatusActive,
		CreatedAt:                          &o.CreatedAt,
	}
	if o.TraceVendor != "" {
		out.TraceConfiguration = &types.TraceConfiguration{Vendor: types.TracingVendor(o.TraceVendor)}
	}
	if !o.Active {
		out.Status, out.DeletedAt = types.ObservabilityConfigurationStatusInactive, &o.DeletedAt
	}
	return out
}

func (a *API) createObservability(ctx context.Context, call *gateway.Call, in *apprunner.CreateObservabilityConfigurationInput) (*apprunner.CreateObservabilityConfigurationOutput, error) {
	name := *in.ObservabilityConfigurationName
	if name == defaultName {
		return nil, slipway.Errorf(slipway.InvalidRequest,
			"ObservabilityConfigurationName %s is reserved: it can't be created, nor have further revisions.", name)
	}
	tags, err := newTags(a.observabilities.kind, in.Tags)
	if err != nil {
		return nil, err
	}
	var out apprunner.CreateObservabilityConfigurationOutput
	err = call.Update(ctx, func(tx *store.Tx) error {
		next, err := a.observabilities.next(tx, name)
		if err != nil {
			return err
		}
		o := slipway.Observability{Configuration: next}
		if t := in.TraceConfiguration; t != nil {
			o.TraceVendor = string(t.Vendor)
		}
		if err := tx.InsertObservability(o); err != nil {
			return err
		}
		out.ObservabilityConfiguration = observability(o)
		return errors.Join(tx.SetTags(o.ARN, tags), take(tx, call, share.Observabilities, o.ARN, a.cfg.Quotas.ObservabilityNames))
	})
	return &out, err
}

func (a *API) describeObservability(ctx context.Context, _ *gateway.Call, in *apprunner.DescribeObservabilityConfigurationInput) (*apprunner.DescribeObservabilityConfigurationOutput, error) {
	var out apprunner.DescribeObservabilityConfigurationOutput
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		o, err := a.observabilities.find(tx, *in.ObservabilityConfigurationArn)
		out.ObservabilityConfiguration = observability(o)
		return err
	})
	return &out, err
}

func (a *API) deleteObservability(ctx context.Context, call *gateway.Call, in *apprunner.DeleteObservabilityConfigurationInput) (*apprunner.DeleteObservabilityConfigurationOutput, error) {
	var out apprunner.DeleteObservabilityConfigurationOutput
	err := call.Update(ctx, func(tx *store.Tx) error {
		o, err := a.observabilities.delete(tx, *in.ObservabilityConfigurationArn)
		out.ObservabilityConfiguration = observability(o)
		return err
	})
	return &out, err
}

// listObservabilityInput distinguishes an absent LatestOnly from false, as
// listAutoScalingInput does.
type listObservabilityInput struct {
	apprunner.ListObservabilityConfigurationsInput
	LatestOnly *bool
}

// listObservability lists active revisions by name and number: all of them if
// LatestOnly is false, otherwise the latest of each name.
func (a *API) listObservability(ctx context.Context, call *gateway.Call, in *listObservabilityInput) (*apprunner.ListObservabilityConfigurationsOutput, error) {
	out := apprunner.ListObservabilityConfigurationsOutput{ObservabilityConfigurationSummaryList: []types.ObservabilityConfigurationSummary{}}
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		list, next, err := a.observabilities.page(tx, call, revisionList{
			operation: "ListObservabilityConfigurations", name: in.ObservabilityConfigurationName, latestOnly: in.LatestOnly,
			max: in.MaxResults, next: in.NextToken,
		}, nil)
		for _, o := range list {
			out.ObservabilityConfigurationSummaryList = append(out.ObservabilityConfigurationSummaryList, types.ObservabilityConfigurationSummary{
				ObservabilityConfigurationArn:      &o.ARN,
				ObservabilityConfigurationName:     &o.Name,
				ObservabilityConfigurationRevision: int32(o.Revision),
			})
		}
		out.NextToken = next
		return err
	})
	return &out, err
}

// applyObservability applies a call's observability settings to those of a
// service. If observability is enabled without a configuration, the service gets
// the default one.
func (a *API) applyObservability(tx *store.Tx, o, in *types.ServiceObservabilityConfiguration) (*types.ServiceObservabilityConfiguration, error) {
	if in == nil {
		return o, nil
	}
	asked := aws.ToString(in.ObservabilityConfigurationArn)
	switch {
	case !in.ObservabilityEnabled && asked != "":
		return o, slipway.Errorf(slipway.InvalidRequest,
			"ObservabilityConfiguration: an ObservabilityConfigurationArn requires ObservabilityEnabled true.")
	case !in.ObservabilityEnabled:
		return &types.ServiceObservabilityConfiguration{}, nil
	case asked == "" && o != nil && o.ObservabilityEnabled:
		return o, nil
	case asked == "":
		asked = a.observabilities.defaultRevision().ARN
	}
	arn, err := a.observabilities.choose(tx, asked)
	return &types.ServiceObservabilityConfiguration{ObservabilityEnabled: true, ObservabilityConfigurationArn: &arn}, err
}
