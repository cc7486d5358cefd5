package crash

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

const kills = 30

// target is the service whose operations are interrupted by crashes.
type target struct {
	s     *harness.Server
	image string
	svc   *types.Service // nil while there is none
	round int
}

// changes are the operations of one round, in order.
var changes = []types.OperationType{
	types.OperationTypeCreateService, types.OperationTypeUpdateService, types.OperationTypePauseService,
	types.OperationTypeResumeService, types.OperationTypeDeleteService,
}

// change starts an operation and returns its id. The server may die before it
// answers, so an error does not mean that the operation was not started.
func (v *target) change(kind types.OperationType) (id string, err error) {
	ctx, client := v.s.T.Context(), v.s.Client()
	switch kind {
	case types.OperationTypeCreateService:
		out, err := client.CreateService(ctx, &apprunner.CreateServiceInput{
			ServiceName: aws.String("victim"), SourceConfiguration: v.spec().Source(), HealthCheckConfiguration: harness.QuickHealthCheck(),
		})
		if err != nil {
			return "", err
		}
		v.svc = out.Service
		return *out.OperationId, nil
	case types.OperationTypeUpdateService:
		out, err := client.UpdateService(ctx, &apprunner.UpdateServiceInput{ServiceArn: v.svc.ServiceArn, SourceConfiguration: v.spec().Source()})
		if err != nil {
			return "", err
		}
		return *out.OperationId, nil
	case types.OperationTypePauseService:
		out, err := client.PauseService(ctx, &apprunner.PauseServiceInput{ServiceArn: v.svc.ServiceArn})
		if err != nil {
			return "", err
		}
		return aws.ToString(out.OperationId), nil
	case types.OperationTypeResumeService:
		out, err := client.ResumeService(ctx, &apprunner.ResumeServiceInput{ServiceArn: v.svc.ServiceArn})
		if err != nil {
			return "", err
		}
		return aws.ToString(out.OperationId), nil
	default:
		out, err := client.DeleteService(ctx, &apprunner.DeleteServiceInput{ServiceArn: v.svc.ServiceArn})
		if err != nil {
			return "", err
		}
		return *out.OperationId, nil
	}
}

func (v *target) spec() harness.Spec {
	return harness.Spec{Image: v.image, Env: map[string]string{"GREETING": strconv.Itoa(v.round)}}
}

// findStarted returns the newest operation if it is of the kind: the server may have
// died between its commit and its answer. ok is false when the call was not
// committed.
func (v *target) findStarted(kind types.OperationType) (id string, ok bool) {
	v.s.T.Helper()
	client, ctx := v.s.Client(), v.s.T.Context()
	if v.svc == nil {
		list, err := client.ListServices(ctx, &apprunner.ListServicesInput{})
		if err != nil {
			v.s.T.Fatal(err)
		}
		for _, sum := range list.ServiceSummaryList {
			if *sum.ServiceName == "victim" {
				v.svc = &types.Service{ServiceArn: sum.ServiceArn, ServiceUrl: sum.ServiceUrl, ServiceName: sum.ServiceName}
			}
		}
		if v.svc == nil {
			return "", false
		}
	}
	list, err := client.ListOperations(ctx, &apprunner.ListOperationsInput{ServiceArn: v.svc.ServiceArn})
	if err != nil {
		v.s.T.Fatal(err)
	}
	newest := list.OperationSummaryList[0]
	return *newest.Id, newest.Type == kind // the one before was of another kind
}

// TestCrash kills the server at random moments of every kind of operation.
// Each operation must end well all the same, an instance that has nothing to
// do with it must never notice, and its requests must succeed as soon as the
// server is back.
func TestCrash(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(harness.Seed(t), 0))

	s := harness.Serve(t)
	v := &target{s: s, image: s.Push(harness.WebImage(t, "1"), "web:1")}
	anchor := s.RunningService("anchor", harness.Spec{Image: v.image, Env: map[string]string{"GREETING": "anchor"}, Scaling: s.CreateAutoScaling("pair", 100, 2, 2)})
	before := s.BootIDs(anchor, 2)
	processes := s.InstanceProcesses("app")

	took := v.runUninterrupted() // how long each operation takes without a crash
	for i := range kills {
		kind := changes[i%len(changes)]
		v.round = i
		delay := time.Duration(random.Int64N(int64(took[kind] + took[kind]/5 + time.Millisecond)))
		v.interrupt(kind, delay)

		for _, p := range processes {
			if !p.Alive() {
				t.Fatalf("kill %d (%v into %s): process %d of another service is gone", i, delay, kind, p.Pid)
			}
		}
		if after := s.BootIDs(anchor, 2); !slices.Equal(before, after) {
			t.Fatalf("kill %d (%v into %s): other processes answer: %v, before %v", i, delay, kind, after, before)
		}
	}
}

// runUninterrupted runs one round without crashes and returns how long each
// operation took.
func (v *target) runUninterrupted() map[types.OperationType]time.Duration {
	v.s.T.Helper()
	took := map[types.OperationType]time.Duration{}
	for _, kind := range changes {
		began := time.Now()
		id, err := v.change(kind)
		if err != nil {
			v.s.T.Fatalf("%s: %v", kind, err)
		}
		v.s.WaitSucceeded(v.svc, id)
		took[kind] = time.Since(began)
	}
	v.svc = nil
	v.s.T.Logf("undisturbed: %v", took)
	return took
}

// interrupt starts an operation, kills the server after the delay, starts it again
// and waits until the operation has succeeded.
func (v *target) interrupt(kind types.OperationType, delay time.Duration) {
	t := v.s.T
	t.Helper()
	type result struct {
		id  string
		err error
	}
	answered := make(chan result, 1)
	target := *v // the call sets its own service, for it may outlive the kill
	go func() {
		id, err := target.change(kind)
		answered <- result{id, err}
	}()
	<-time.After(delay)
	v.s.Kill()
	v.s.Start()
	got := <-answered
	if target.svc != nil {
		v.svc = target.svc
	}
	if got.err != nil {
		// The call's own retries may have reached the new process, or the old
		// one may have died between its commit and its answer.
		if id, ok := v.findStarted(kind); ok {
			got = result{id: id}
		} else if got.id, got.err = v.change(kind); got.err != nil {
			t.Fatalf("%s after a crash: %v", kind, got.err)
		}
	}
	if got.id == "" { // the answer of a retried pause or resume that found nothing to do
		got.id, _ = v.findStarted(kind)
	}
	v.s.WaitSucceeded(v.svc, got.id)
	v.assertAtRest(kind)
	if kind == types.OperationTypeDeleteService {
		v.svc = nil
	}
}

// assertAtRest checks the service after an operation of the kind.
func (v *target) assertAtRest(kind types.OperationType) {
	t := v.s.T
	t.Helper()
	switch kind {
	case types.OperationTypePauseService:
		if code, _, err := v.s.Request(v.svc, "/"); err != nil || code != 503 {
			t.Errorf("a paused service answers %d (%v), want 503", code, err)
		}
	case types.OperationTypeDeleteService:
		if code, _, err := v.s.Request(v.svc, "/"); err != nil || code != 404 {
			t.Errorf("a deleted service answers %d (%v), want 404", code, err)
		}
	case types.OperationTypeResumeService:
		v.s.AskMany(v.svc, 1, strconv.Itoa(v.round-2)) // that of the update, two rounds before
	default:
		v.s.AskMany(v.svc, 1, strconv.Itoa(v.round))
	}
}
