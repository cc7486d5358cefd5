package api_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/store"
)

// DescribeInstances tells of the live instances, what they use, and how the active
// release's instances ended.
func TestDescribeInstances(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) {
		c.Usage = func(context.Context) map[string]api.Usage {
			return map[string]api.Usage{"i1": {CPU: 1500 * time.Millisecond, Memory: 34 << 20}}
		}
		c.Traffic = func(id string) (api.Traffic, bool) {
			return api.Traffic{
				InFlight: 3, Waiting: 2, Requests: 10, Failed: 1, Bounds: []time.Duration{time.Millisecond}, Latency: []int64{4, 6},
				Instances: map[string]api.InstanceTraffic{"i1": {InFlight: 3, Asleep: true}},
			}, len(id) == 32
		}
	})
	arn := b.create("shop")
	b.Update(func(tx *store.Tx) error {
		service := path.Base(arn)
		for _, id := range []string{"r1", "r2"} {
			r := slipway.Release{ID: id, ServiceID: service, Image: "sha256:" + id, Size: 2, Desired: slipway.DesiredRun, CreatedAt: t0}
			r.Resources.Memory = 512
			if err := tx.InsertRelease(r); err != nil {
				return err
			}
		}
		for _, i := range []slipway.Instance{
			{ID: "i1", ReleaseID: "r2", State: slipway.InstanceReady, CreatedAt: t0, ReadyAt: t0.Add(time.Second)},
			{ID: "i2", ReleaseID: "r2", State: slipway.InstanceStarting, CreatedAt: t0.Add(time.Second), Problem: "nothing listens on port 8080\xff"},
			{ID: "e1", ReleaseID: "r1", State: slipway.InstanceEnded, CreatedAt: t0, EndedAt: t0.Add(time.Hour), Exit: &slipway.Exit{Code: 1}},
			{ID: "e2", ReleaseID: "r2", State: slipway.InstanceEnded, CreatedAt: t0, EndedAt: t0.Add(2 * time.Second), Exit: &slipway.Exit{Code: 137, Signal: "SIGKILL", OOM: true, Ran: 2 * time.Second}},
			{ID: "e3", ReleaseID: "r2", State: slipway.InstanceEnded, CreatedAt: t0, EndedAt: t0.Add(time.Second), Exit: &slipway.Exit{Code: 2}},
			{ID: "e4", ReleaseID: "r2", State: slipway.InstanceEnded, CreatedAt: t0, EndedAt: t0.Add(time.Minute)}, // stopped by the fleet
		} {
			i.ServiceID = service
			if err := tx.PutInstance(i); err != nil {
				return err
			}
		}
		return tx.SetActiveRelease(service, "r2")
	})
	out := invoke[api.DescribeInstancesOutput](b, &api.DescribeInstancesInput{ServiceArns: []string{noService, arn}}).Services
	if len(out) != 1 || len(out[0].Instances) != 2 || *out[0].ServiceArn != arn {
		t.Fatalf("the reply is %+v", out)
	}
	s := out[0]
	if i := s.Instances[0]; *i.Id != "i1" || *i.State != "ready" || *i.CpuSeconds != 1.5 || *i.MemoryBytes != 34<<20 || *i.MemoryLimit != 512<<20 || i.Problem != nil {
		t.Errorf("the ready instance is %+v", i)
	}
	if i := s.Instances[1]; *i.State != "starting" || *i.Problem != "nothing listens on port 8080\uFFFD" || i.CpuSeconds != nil || i.ReadyAt != nil {
		t.Errorf("the starting instance is %+v", i)
	}
	if *s.Release.Id != "r2" || *s.Release.Size != 2 || *s.Restarts != 2 {
		t.Errorf("release %+v, %d restarts", s.Release, *s.Restarts)
	}
	if s.Traffic != nil || s.Instances[0].Asleep != nil {
		t.Errorf("traffic that was not asked for: %+v", s.Traffic)
	}
	yes := true
	with := invoke[api.DescribeInstancesOutput](b, &api.DescribeInstancesInput{ServiceArns: []string{arn}, Traffic: &yes}).Services[0]
	if f := with.Traffic; f == nil || *f.InFlight != 3 || *f.Waiting != 2 || *f.Requests != 10 || *f.Failed != 1 ||
		!slices.Equal(f.LatencyBounds, []float64{0.001}) || !slices.Equal(f.LatencyCounts, []int64{4, 6}) {
		t.Errorf("traffic %+v", f)
	}
	if i, j := with.Instances[0], with.Instances[1]; *i.InFlight != 3 || !*i.Asleep || j.InFlight != nil || j.Asleep != nil {
		t.Errorf("instances %+v and %+v", i, j)
	}
	if x := s.LastFailure; *x.InstanceId != "e2" || *x.Code != 137 || *x.Signal != "SIGKILL" || !*x.OutOfMemory || *x.RanSeconds != 2 {
		t.Errorf("the last failure is %+v", x)
	}
	if c := s.Crashing; c == nil || *c.Restarts != 2 || !c.NextStartAt.Equal(t0.Add(3*time.Second)) {
		t.Errorf("with one of two instances it is crashing: %+v", c)
	}
	b.Update(func(tx *store.Tx) error {
		return tx.PutInstance(slipway.Instance{ID: "i2", ServiceID: path.Base(arn), ReleaseID: "r2", State: slipway.InstanceReady, CreatedAt: t0.Add(time.Second), ReadyAt: t0.Add(4 * time.Second)})
	})
	again := invoke[api.DescribeInstancesOutput](b, &api.DescribeInstancesInput{ServiceArns: []string{arn}}).Services[0]
	if again.Crashing != nil {
		t.Errorf("with all instances it is crashing: %+v", again.Crashing)
	}

	b.refuse(&api.DescribeInstancesInput{}, "InvalidRequestException", "ServiceArns has 0 members; it must have 1 to 100.")
	b.refuse(&api.DescribeInstancesInput{ServiceArns: slices.Repeat([]string{arn}, 101)}, "InvalidRequestException", "ServiceArns has 101 members")
	_, ann := limited(t, `{"Effect":"Allow","Action":"apprunner:DescribeInstances","Resource":"`+prefix+`service/mine/*"}`)
	mine, theirs := prefix+"service/mine/0f3c6f2f5a7b4c0e9d1e2a3b4c5d6e7f", noService
	invoke[api.DescribeInstancesOutput](ann, &api.DescribeInstancesInput{ServiceArns: []string{mine}})
	ann.refuse(&api.DescribeInstancesInput{ServiceArns: []string{mine, theirs}}, "AccessDeniedException", "apprunner:DescribeInstances on resource: "+theirs)
	reply := b.Send(b.Request("Slipway.DescribeInstances", `{"ServiceArns":["`+arn+`"]}`))
	if reply.Code != 200 {
		t.Errorf("over HTTP: %d %s", reply.Code, reply.Body)
	}
}

// DescribeInstances tells of the sleep of a service: that it is stopped by its release, and
// what the router has counted. DescribeService goes on saying RUNNING.
func TestDescribeSleep(t *testing.T) {
	t.Parallel()
	var sleep *api.SleepDescription
	b := newBench(t, func(c *api.Config) { c.Sleep = func(string) *api.SleepDescription { return sleep } })
	arn := b.create("shop")
	release := slipway.Release{ID: "r", ServiceID: path.Base(arn), Image: "sha256:r", Size: 1, Desired: slipway.DesiredRun, CreatedAt: t0}
	b.Update(func(tx *store.Tx) error {
		return errors.Join(tx.InsertRelease(release), tx.SetActiveRelease(path.Base(arn), "r"))
	})
	get := func() *api.SleepDescription {
		t.Helper()
		return invoke[api.DescribeInstancesOutput](b, &api.DescribeInstancesInput{ServiceArns: []string{arn}}).Services[0].Sleep
	}
	if s := get(); s != nil {
		t.Errorf("a service that never slept: %+v", s)
	}
	sleep = &api.SleepDescription{State: aws.String("frozen"), Since: &t0, SleptSeconds: aws.Float64(75600), FrozenWakes: aws.Int64(14)}
	if s := get(); *s.State != "frozen" || !s.Since.Equal(t0) || *s.SleptSeconds != 75600 || *s.FrozenWakes != 14 {
		t.Errorf("a frozen service: %+v", s)
	}
	b.Update(func(tx *store.Tx) error { return tx.SetSize(release, 0) })
	if s := get(); *s.State != "stopped" || *s.FrozenWakes != 14 {
		t.Errorf("a stopped service, which the router does not know yet: %+v", s)
	}
	sleep = nil
	if s := get(); *s.State != "stopped" || s.Since != nil {
		t.Errorf("a stopped service without counts: %+v", s)
	}
	if svc := invoke[apprunner.DescribeServiceOutput](b, &apprunner.DescribeServiceInput{ServiceArn: &arn}).Service; svc.Status != types.ServiceStatusRunning {
		t.Errorf("the stopped service is %s", svc.Status)
	}
	b.Update(func(tx *store.Tx) error { return tx.SetWanted(path.Base(arn), slipway.WantedPaused, t0) })
	if s := get(); s != nil {
		t.Errorf("a paused service sleeps: %+v", s)
	}
}

// DescribeInstances tells what a paused service keeps, and until when, as long as a resume
// may use it.
func TestDescribeKept(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	id := path.Base(arn)
	until := t0.Add(time.Hour)
	release := slipway.Release{ID: "r", ServiceID: id, Image: "sha256:r", Size: 2, Desired: slipway.DesiredKeep, CreatedAt: t0, KeepUntil: until}
	b.Update(func(tx *store.Tx) error {
		err := errors.Join(tx.InsertRelease(release), tx.SetActiveRelease(id, "r"), tx.SetWanted(id, slipway.WantedPaused, t0))
		for n, state := range []slipway.InstanceState{slipway.InstanceKept, slipway.InstanceKept, slipway.InstanceDraining} {
			err = errors.Join(err, tx.PutInstance(slipway.Instance{ID: fmt.Sprint("i", n), ServiceID: id, ReleaseID: "r", State: state, CreatedAt: t0}))
		}
		return err
	})
	get := func() *api.KeptDescription {
		t.Helper()
		return invoke[api.DescribeInstancesOutput](b, &api.DescribeInstancesInput{ServiceArns: []string{arn}}).Services[0].Kept
	}
	if k := get(); k == nil || *k.Instances != 2 || !k.Until.Equal(until) {
		t.Errorf("a paused service with two kept instances: %+v", k)
	}
	b.Update(func(tx *store.Tx) error { return tx.SetKeepUntil("r", t0.Add(-time.Second)) })
	if k := get(); k != nil {
		t.Errorf("their time is over: %+v", k)
	}
	b.Update(func(tx *store.Tx) error {
		return errors.Join(tx.SetKeepUntil("r", until), tx.SetDesired(release, slipway.DesiredRun))
	})
	if k := get(); k != nil {
		t.Errorf("the service runs again: %+v", k)
	}
}
