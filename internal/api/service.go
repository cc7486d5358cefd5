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

func (a *API) createService(ctx context.Context, call *gateway.Call, in *apprunner.CreateServiceInput) (*apprunner.CreateServiceOutput, error) {
	tags, err := newTags("service", in.Tags)
	if err != nil {
		return nil, err
	}
	if err := slipway.CheckTogether(tags); err != nil {
		return nil, err
	}
	source, err := a.completeImage(in.SourceConfiguration)
	if err != nil {
		return nil, err
	}
	var out apprunner.CreateServiceOutput
	err = call.Update(ctx, func(tx *store.Tx) error {
		spec, err := a.apply(tx, defaults(), change{
			source:        source,
			instance:      in.InstanceConfiguration,
			healthCheck:   in.HealthCheckConfiguration,
			network:       in.NetworkConfiguration,
			observability: in.ObservabilityConfiguration,
			caller:        call.Caller,
		})
		if err != nil {
			return err
		}
		if err := checkBuildRole(spec, tags); err != nil {
			return err
		}
		spec.Encryption = in.EncryptionConfiguration
		if err := a.admit(tx, *in.ServiceName); err != nil {
			return err
		}
		if spec.AutoScalingConfigurationARN, err = a.chooseAutoScaling(tx, in.AutoScalingConfigurationArn, ""); err != nil {
			return err
		}
		if err := a.checkEgress(tx, spec); err != nil {
			return err
		}
		s := a.newService(*in.ServiceName, spec)
		if err := tx.InsertService(s); errors.Is(err, store.ErrNameTaken) {
			return nameTaken(s.Name)
		} else if err != nil {
			return err
		}
		if err := errors.Join(tx.SetTags(s.ARN, tags), take(tx, call, share.Services, s.ARN, a.cfg.Quotas.Services)); err != nil {
			return err
		}
		out.Service, out.OperationId, err = a.begin(tx, slipway.ServiceView{Service: s}, slipway.CreateService, &spec)
		return err
	})
	return &out, err
}

// admit checks that a service of this name can be added. A unique index decides
// about names; the check before it gives a repeated call the error about its name
// rather than one about a quota.
func (a *API) admit(tx *store.Tx, name string) error {
	_, err := tx.ServiceByName(name)
	if err == nil {
		return nameTaken(name)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	n, err := tx.CountServices()
	if err != nil {
		return err
	}
	if !within(a.cfg.Quotas.Services, n) {
		return slipway.Errorf(slipway.QuotaExceeded, "You have reached the limit of %d services. Delete one that you no longer need.", a.cfg.Quotas.Services)
	}
	return nil
}

func nameTaken(name string) error {
	return slipway.Errorf(slipway.InvalidRequest, "Service with the provided name already exists: %s", name)
}

// newService returns a service for which nothing runs yet. Its status is
// CREATE_FAILED until its operation ends otherwise.
func (a *API) newService(name string, spec slipway.Spec) slipway.Service {
	id, now := slipway.NewID(), a.now()
	return slipway.Service{
		ID:        id,
		Name:      name,
		ARN:       a.arn("service", name, id),
		Label:     slipway.NewLabel(),
		Spec:      spec,
		Wanted:    slipway.WantedRunning,
		Status:    slipway.StatusCreateFailed,
		CreatedAt: now,
		UpdatedAt: now,
	}
}

func (a *API) describeService(ctx context.Context, _ *gateway.Call, in *apprunner.DescribeServiceInput) (*apprunner.DescribeServiceOutput, error) {
	var out apprunner.DescribeServiceOutput
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		v, err := a.findService(tx, *in.ServiceArn)
		if err != nil {
			return err
		}
		out.Service = a.service(v)
		return nil
	})
	return &out, err
}

func (a *API) listServices(ctx context.Context, call *gateway.Call, in *apprunner.ListServicesInput) (*apprunner.ListServicesOutput, error) {
	out := apprunner.ListServicesOutput{ServiceSummaryList: []types.ServiceSummary{}}
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		list, next, err := listByAge(page.New(in.MaxResults, "ListServices"), in.NextToken, tx.Services, serviceKey,
			func(v slipway.ServiceView) (bool, error) { return call.Shows(tx, v.ARN) })
		for _, v := range list {
			out.ServiceSummaryList = append(out.ServiceSummaryList, a.serviceSummary(v))
		}
		out.NextToken = next
		return err
	})
	return &out, err
}

func serviceKey(v slipway.ServiceView) (time.Time, string) { return v.CreatedAt, v.ID }

func (a *API) updateService(ctx context.Context, call *gateway.Call, in *apprunner.UpdateServiceInput) (*apprunner.UpdateServiceOutput, error) {
	source, err := a.completeImage(in.SourceConfiguration)
	if err != nil {
		return nil, err
	}
	var out apprunner.UpdateServiceOutput
	err = call.Update(ctx, func(tx *store.Tx) error {
		v, err := a.findLivingService(tx, *in.ServiceArn)
		if err != nil {
			return err
		}
		if st := v.VisibleStatus(); st != slipway.StatusRunning && st != slipway.StatusCreateFailed {
			return wrongState("updated", st)
		} else if st == slipway.StatusRunning && !asks(in) {
			return slipway.Errorf(slipway.InvalidRequest, "No configurations provided in the UpdateService request.")
		}
		spec, err := a.apply(tx, v.Spec, change{
			source:        source,
			instance:      in.InstanceConfiguration,
			healthCheck:   in.HealthCheckConfiguration,
			network:       in.NetworkConfiguration,
			observability: in.ObservabilityConfiguration,
			caller:        call.Caller,
		})
		if err != nil {
			return err
		}
		if spec.AutoScalingConfigurationARN, err = a.chooseAutoScaling(tx, in.AutoScalingConfigurationArn, v.Spec.AutoScalingConfigurationARN); err != nil {
			return err
		}
		if err := a.checkEgress(tx, spec); err != nil {
			return err
		}
		out.Service, out.OperationId, err = a.begin(tx, v, slipway.UpdateService, &spec)
		return err
	})
	return &out, err
}

// findService returns the service of a full ARN, including a deleted one. An ARN
// without id names the service that is not deleted.
func (a *API) findService(tx *store.Tx, text string) (slipway.ServiceView, error) {
	arn, err := slipway.ParseARN(text)
	if err != nil {
		return slipway.ServiceView{}, err
	}
	if arn.Type != "service" || len(arn.Parts) > 2 {
		return slipway.ServiceView{}, slipway.Errorf(slipway.InvalidRequest,
			"%s is not the ARN of a service (arn:aws:apprunner:<region>:<account>:service/<name>/<id>).", text)
	}
	var v slipway.ServiceView
	if len(arn.Parts) == 2 {
		v, err = tx.Service(arn.Parts[1])
		if err == nil && v.ARN != text {
			err = store.ErrNotFound
		}
	} else {
		v, err = tx.ServiceByName(arn.Name())
		if err == nil && !arn.In(a.cfg.Region, a.cfg.Account) {
			err = store.ErrNotFound
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		err = noService(text)
	}
	return v, err
}

// findLivingService is findService for calls that change the service: a deleted
// service can only be described.
func (a *API) findLivingService(tx *store.Tx, text string) (slipway.ServiceView, error) {
	v, err := a.findService(tx, text)
	if err == nil && !v.DeletedAt.IsZero() {
		err = noService(text)
	}
	return v, err
}

func noService(arn string) error {
	return slipway.Errorf(slipway.NotFound, "Service not found: %s", arn)
}

func wrongState(verb string, st slipway.Status) error {
	return slipway.Errorf(slipway.InvalidState, "Service cannot be %s in the current state: %s.", verb, st)
}

// begin inserts an operation and returns the service as the API shows it from
// then on.
func (a *API) begin(tx *store.Tx, v slipway.ServiceView, kind slipway.OperationKind, spec *slipway.Spec) (*types.Service, *string, error) {
	op := slipway.Operation{
		ID:        slipway.NewID(),
		ServiceID: v.ID,
		Kind:      kind,
		Input:     slipway.Input{Spec: spec},
		Status:    slipway.OperationPending,
		CreatedAt: a.now(),
	}
	if err := tx.InsertOperation(op); errors.Is(err, store.ErrOperationLive) {
		return nil, nil, wrongState("changed", slipway.StatusOperationInProgress)
	} else if err != nil {
		return nil, nil, err
	}
	v.Live = &op
	return a.service(v), aws.String(op.ID), nil
}
