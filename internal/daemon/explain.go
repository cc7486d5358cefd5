package daemon

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/router"
	"github.com/openslipway/slipway/internal/scale"
)

// explain is api.Config.Explain: what the scaler and the router of this process know.
func explain(sc *scale.Scaler, rt *router.Router, heldUntil func(serviceID string) time.Time) func(serviceID string) api.DescribeScalingOutput {
	return func(id string) (out api.DescribeScalingOutput) {
		if d, ok := sc.Explain(id); ok {
			out.Size = sizeExplanation(d)
		}
		if in, ok := rt.Intake(id); ok {
			out.Requests = requestExplanation(in)
			if at := heldUntil(id); !at.IsZero() {
				out.Requests.ReplacesNextAt = &at
			}
		}
		return out
	}
}

func sizeExplanation(e scale.Explanation) *api.SizeExplanation {
	d := e.Last
	out := &api.SizeExplanation{
		Wanted: count(d.Size), Reason: &d.Reason, DecidedAt: &d.At,
		MinSize: count(d.Least), MaxSize: count(d.Most), MaxConcurrency: count(d.MaxConcurrency),
		Demand: aws.Float64(float64(d.Now)), PeakDemand: &d.Peak, Observed: &d.WindowFull,
		CoolingDown: aws.Bool(!d.CooldownOver), IdleSeconds: aws.Float64(d.Idle.Truncate(time.Second).Seconds()),
	}
	if c := e.Change; !c.At.IsZero() {
		out.LastChange = &api.SizeChange{From: count(c.Was), To: count(c.Size), Reason: &c.Reason, At: &c.At}
	}
	return out
}

func requestExplanation(in router.Intake) *api.RequestExplanation {
	r := &api.RequestExplanation{
		Waiting: count(in.Waiting), MaxWaiting: count(in.MaxQueue), MaxConcurrency: count(in.Limit), Instances: []api.InstanceExplanation{},
	}
	if in.Refuses != nil {
		r.Refused = aws.String(in.Refuses.Error())
	}
	if in.HungAfter > 0 {
		r.ReplaceHungAfterSeconds = aws.Float64(in.HungAfter.Seconds())
	}
	for _, i := range in.Instances {
		state := "serving"
		switch {
		case i.Asleep:
			state = "frozen"
		case i.Hung:
			state = "hung"
		case i.Ejected:
			state = "ejected"
		case i.Share < 100:
			state = "starting slowly"
		}
		e := api.InstanceExplanation{Id: &i.ID, InFlight: count(i.InFlight), State: &state, Failures: count(i.Failures), Share: count(i.Share)}
		if s := i.Silence; s.Requests > 0 {
			e.Unanswered, e.UnansweredSeconds = count(s.Requests), aws.Float64(s.For.Truncate(time.Second).Seconds())
		}
		r.Instances = append(r.Instances, e)
	}
	return r
}

func count(n int) *int32 { return aws.Int32(int32(n)) }
