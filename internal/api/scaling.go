package api

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

// DescribeScalingInput is the input of Slipway.DescribeScaling, which tells why a service has
// the instances that it has, and where its requests go. App Runner has no such call.
type DescribeScalingInput struct {
	ServiceArn *string // required
}

// DescribeScalingOutput is its output. It is of a moment, and of what one server knows.
type DescribeScalingOutput struct {
	ServiceArn *string
	Size       *SizeExplanation    // absent while no release takes requests, or none was decided about
	Requests   *RequestExplanation // absent if this server routes no requests of the service
}

// SizeExplanation is the last decision on the number of instances and what it was based on.
type SizeExplanation struct {
	Wanted    *int32  // instances
	Reason    *string // in words
	DecidedAt *time.Time

	MinSize, MaxSize, MaxConcurrency *int32 // as they apply, with the service's settings

	Demand      *float64 // requests in flight and waiting, when it was decided
	PeakDemand  *float64 // the highest average of a short while in the observed minute
	Observed    *bool    // a whole minute was observed; the number does not shrink before
	CoolingDown *bool    // it has shrunk or grown a moment ago, and does not shrink
	IdleSeconds *float64 // without a request, if that counts

	LastChange *SizeChange // absent if there was none since the server started
}

// SizeChange is a decision that changed the number of instances.
type SizeChange struct {
	From, To *int32 // instances
	Reason   *string
	At       *time.Time
}

// RequestExplanation tells how requests are taken.
type RequestExplanation struct {
	Refused        *string // why every request is refused; absent if they are served
	Waiting        *int32  // requests
	MaxWaiting     *int32  // requests; more get 429
	MaxConcurrency *int32  // requests on an instance

	ReplaceHungAfterSeconds *float64   // the setting; absent without it
	ReplacesNextAt          *time.Time // when the next hung instance is replaced, if it waits since others were

	Instances []InstanceExplanation
}

// InstanceExplanation tells of an instance that is open for requests.
type InstanceExplanation struct {
	Id       *string
	InFlight *int32
	State    *string // "serving", "frozen", "ejected", "starting slowly" or "hung"
	Failures *int32  // bad answers in a row
	Share    *int32  // of the requests, in percent of that of the others

	Unanswered        *int32   // requests in a row without any answer; absent if the last one had one
	UnansweredSeconds *float64 // since the first of them
}

func (a *API) describeScaling(ctx context.Context, _ *gateway.Call, in *DescribeScalingInput) (*DescribeScalingOutput, error) {
	if aws.ToString(in.ServiceArn) == "" {
		return nil, slipway.Errorf(slipway.InvalidRequest, "ServiceArn is required.")
	}
	var v slipway.ServiceView
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) (err error) { v, err = a.findLivingService(tx, *in.ServiceArn); return err })
	if err != nil {
		return nil, err
	}
	out := &DescribeScalingOutput{}
	if a.cfg.Explain != nil {
		*out = a.cfg.Explain(v.ID)
	}
	out.ServiceArn = &v.ARN
	return out, nil
}
