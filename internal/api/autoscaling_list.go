package api

import (
	"context"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/page"
	"github.com/openslipway/slipway/internal/store"
)

// listAutoScalingInput tells an absent LatestOnly from false, which the SDK's
// struct can't.
type listAutoScalingInput struct {
	apprunner.ListAutoScalingConfigurationsInput
	LatestOnly *bool
}

// listAutoScaling lists active revisions by name and number: all of them with
// LatestOnly false, the latest of each name with true.
//
// The documentation's default is true, but Go's SDK can't send false, and
// Terraform looks in this list for the default revision, whatever its number.
// So where LatestOnly is absent the default revision is listed as well.
func (a *API) listAutoScaling(ctx context.Context, _ gateway.Caller, in *listAutoScalingInput) (*apprunner.ListAutoScalingConfigurationsOutput, error) {
	wanted := func(c slipway.AutoScaling) bool {
		switch {
		case in.LatestOnly == nil:
			return c.Latest || c.Default
		case *in.LatestOnly:
			return c.Latest
		}
		return true
	}
	which := "absent"
	if in.LatestOnly != nil {
		which = strconv.FormatBool(*in.LatestOnly)
	}
	name := aws.ToString(in.AutoScalingConfigurationName)
	p := page.New(in.MaxResults, "ListAutoScalingConfigurations", name, which)
	afterName, afterRevision, err := parseRevisionKey(p, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := apprunner.ListAutoScalingConfigurationsOutput{AutoScalingConfigurationSummaryList: []types.AutoScalingConfigurationSummary{}}
	err = a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		all, err := tx.AutoScalings(name, afterName, afterRevision)
		if err != nil {
			return err
		}
		var list []slipway.AutoScaling
		for _, c := range all {
			if wanted(c) && (p.Limit() == 0 || len(list) < p.Limit()) {
				list = append(list, c)
			}
		}
		list, out.NextToken = page.Cut(p, list, func(c slipway.AutoScaling) []string {
			return []string{c.Name, strconv.Itoa(c.Revision)}
		})
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

func parseRevisionKey(p page.Pager, next *string) (name string, revision int, err error) {
	key, err := p.After(next, 2)
	if err != nil || key[0] == "" && key[1] == "" {
		return "", 0, err
	}
	if revision, err = strconv.Atoi(key[1]); err != nil {
		err = page.ErrToken
	}
	return key[0], revision, err
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
