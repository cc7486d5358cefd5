package api

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/page"
	"github.com/openslipway/slipway/internal/store"
)

// listOperations lists a service's operations, newest first.
func (a *API) listOperations(ctx context.Context, _ *gateway.Call, in *apprunner.ListOperationsInput) (*apprunner.ListOperationsOutput, error) {
	out := apprunner.ListOperationsOutput{OperationSummaryList: []types.OperationSummary{}}
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		v, err := a.findService(tx, *in.ServiceArn)
		if err != nil {
			return err
		}
		list, next, err := listByAge(page.New(in.MaxResults, "ListOperations", v.ID), in.NextToken,
			func(at time.Time, id string, limit int) ([]slipway.Operation, error) {
				return tx.OperationsOf(v.ID, at, id, limit)
			},
			func(o slipway.Operation) (time.Time, string) { return o.CreatedAt, o.ID }, nil)
		for _, o := range list {
			out.OperationSummaryList = append(out.OperationSummaryList, operationSummary(o, v.ARN))
		}
		out.NextToken = next
		return err
	})
	return &out, err
}

func operationSummary(o slipway.Operation, target string) types.OperationSummary {
	s := types.OperationSummary{
		Id:        &o.ID,
		Type:      types.OperationType(o.Kind),
		Status:    types.OperationStatus(o.Status),
		TargetArn: &target,
		StartedAt: &o.StartedAt,
		UpdatedAt: &o.UpdatedAt,
	}
	if !o.EndedAt.IsZero() {
		s.EndedAt = &o.EndedAt
	}
	return s
}
