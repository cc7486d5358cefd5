package api

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

// transition is a change of a service's state without further input.
type transition struct {
	kind slipway.OperationKind
	verb string           // for messages
	from []slipway.Status // states that allow it
	rest slipway.Status   // the state that it leads to, in which it does nothing; "" for none
}

var (
	pause  = transition{slipway.PauseService, "paused", []slipway.Status{slipway.StatusRunning}, slipway.StatusPaused}
	resume = transition{slipway.ResumeService, "resumed", []slipway.Status{slipway.StatusPaused}, slipway.StatusRunning}
	remove = transition{slipway.DeleteService, "deleted", []slipway.Status{
		slipway.StatusRunning, slipway.StatusPaused, slipway.StatusCreateFailed, slipway.StatusDeleteFailed,
	}, ""}
)

// beginTransition begins a transition. If the service is already in the resulting state,
// it returns the service without an operation id.
func (a *API) beginTransition(ctx context.Context, call *gateway.Call, arn string, t transition) (s *types.Service, operation *string, err error) {
	err = call.Update(ctx, func(tx *store.Tx) error {
		v, err := a.findLivingService(tx, arn)
		if err != nil {
			return err
		}
		switch st := v.VisibleStatus(); {
		case st == t.rest:
			s = a.service(v)
			return nil
		case !slices.Contains(t.from, st):
			return wrongState(t.verb, st)
		}
		if t.kind == slipway.DeleteService {
			if err := refuseConnected(tx, v); err != nil {
				return err
			}
		}
		s, operation, err = a.begin(tx, v, t.kind, nil)
		return err
	})
	return s, operation, err
}

func (a *API) pauseService(ctx context.Context, call *gateway.Call, in *apprunner.PauseServiceInput) (*apprunner.PauseServiceOutput, error) {
	s, op, err := a.beginTransition(ctx, call, *in.ServiceArn, pause)
	return &apprunner.PauseServiceOutput{Service: s, OperationId: op}, err
}

func (a *API) resumeService(ctx context.Context, call *gateway.Call, in *apprunner.ResumeServiceInput) (*apprunner.ResumeServiceOutput, error) {
	s, op, err := a.beginTransition(ctx, call, *in.ServiceArn, resume)
	return &apprunner.ResumeServiceOutput{Service: s, OperationId: op}, err
}

func (a *API) deleteService(ctx context.Context, call *gateway.Call, in *apprunner.DeleteServiceInput) (*apprunner.DeleteServiceOutput, error) {
	s, op, err := a.beginTransition(ctx, call, *in.ServiceArn, remove)
	return &apprunner.DeleteServiceOutput{Service: s, OperationId: op}, err
}

// startDeployment refuses a wrong state with an InvalidRequestException and a
// different message, as App Runner does.
func (a *API) startDeployment(ctx context.Context, call *gateway.Call, in *apprunner.StartDeploymentInput) (*apprunner.StartDeploymentOutput, error) {
	var out apprunner.StartDeploymentOutput
	err := call.Update(ctx, func(tx *store.Tx) error {
		v, err := a.findLivingService(tx, *in.ServiceArn)
		if err != nil {
			return err
		}
		if v.VisibleStatus() != slipway.StatusRunning {
			return slipway.Errorf(slipway.InvalidRequest,
				"Can't start a deployment on the specified service, because it isn't in RUNNING state.")
		}
		_, out.OperationId, err = a.begin(tx, v, slipway.StartDeployment, nil)
		return err
	})
	return &out, err
}
