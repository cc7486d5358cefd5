package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
)

const kills = 30

// victim is the service whose operations are cut by crashes.
type victim struct {
	s     *server
	image string
	svc   *types.Service // nil while there is none
	round int
}

// changes is the life that the victim leads again and again.
var changes = []types.OperationType{
	types.OperationTypeCreateService, types.OperationTypeUpdateService, types.OperationTypePauseService,
	types.OperationTypeResumeService, types.OperationTypeDeleteService,
}

// change asks for an operation and returns its id. Whether the server dies
// before it answers is the point: an error may mean anything.
func (v *victim) change(kind types.OperationType) (id string, err error) {
	ctx, client := v.s.t.Context(), v.s.client()
	switch kind {
	case types.OperationTypeCreateService:
		out, err := client.CreateService(ctx, &apprunner.CreateServiceInput{
			ServiceName: aws.String("victim"), SourceConfiguration: v.spec().source(), HealthCheckConfiguration: quick(),
		})
		if err != nil {
			return "", err
		}
		v.svc = out.Service
		return *out.OperationId, nil
	case types.OperationTypeUpdateService:
		out, err := client.UpdateService(ctx, &apprunner.UpdateServiceInput{ServiceArn: v.svc.ServiceArn, SourceConfiguration: v.spec().source()})
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

func (v *victim) spec() spec {
	return spec{image: v.image, env: map[string]string{"GREETING": strconv.Itoa(v.round)}}
}

// begun finds the newest operation of a kind, when the server died before it
// told of it; ok is false when the call never reached the store.
func (v *victim) begun(kind types.OperationType) (id string, ok bool) {
	v.s.t.Helper()
	client, ctx := v.s.client(), v.s.t.Context()
	if v.svc == nil {
		list, err := client.ListServices(ctx, &apprunner.ListServicesInput{})
		if err != nil {
			v.s.t.Fatal(err)
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
		v.s.t.Fatal(err)
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
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SLIPWAY_E2E_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SLIPWAY_E2E_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	s := serve(t)
	v := &victim{s: s, image: s.push(web(t, "1"), "web:1")}
	anchor := s.runningService("anchor", spec{image: v.image, env: map[string]string{"GREETING": "anchor"}, scaling: s.size("pair", 100, 2, 2)})
	before := s.boots(anchor, 2)
	processes := s.instanceProcesses("app")

	took := v.calm() // how long each operation takes when nothing dies
	for i := range kills {
		kind := changes[i%len(changes)]
		v.round = i
		delay := time.Duration(random.Int64N(int64(took[kind] + took[kind]/5 + time.Millisecond)))
		v.cut(kind, delay)

		for _, p := range processes {
			if !p.alive() {
				t.Fatalf("kill %d (%v into %s): process %d of another service is gone", i, delay, kind, p.pid)
			}
		}
		if after := s.boots(anchor, 2); !slices.Equal(before, after) {
			t.Fatalf("kill %d (%v into %s): other processes answer: %v, before %v", i, delay, kind, after, before)
		}
	}
}

// boots returns the boot ids of a service's n instances, sorted.
func (s *server) boots(svc *types.Service, n int) []string {
	s.t.Helper()
	seen := map[string]bool{}
	var ids []string
	eventually(s.t, fmt.Sprintf("%d instances of %s answer", n, *svc.ServiceName), func() (bool, string) {
		r, err := s.ask(svc, "/")
		if err != nil {
			s.t.Fatalf("%s: %v", *svc.ServiceName, err)
		}
		if !seen[r.Boot] {
			seen[r.Boot] = true
			ids = append(ids, r.Boot)
		}
		return len(ids) >= n, fmt.Sprint(ids)
	})
	slices.Sort(ids)
	return ids
}

// calm leads the victim through one life without crashes and returns how long
// each operation took.
func (v *victim) calm() map[types.OperationType]time.Duration {
	v.s.t.Helper()
	took := map[types.OperationType]time.Duration{}
	for _, kind := range changes {
		began := time.Now()
		id, err := v.change(kind)
		if err != nil {
			v.s.t.Fatalf("%s: %v", kind, err)
		}
		v.s.succeeds(v.svc, id)
		took[kind] = time.Since(began)
	}
	v.svc = nil
	v.s.t.Logf("undisturbed: %v", took)
	return took
}

// cut asks for an operation, kills the server after the delay, starts it again
// and sees the operation to its end.
func (v *victim) cut(kind types.OperationType, delay time.Duration) {
	t := v.s.t
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
	v.s.kill()
	v.s.start()
	got := <-answered
	if target.svc != nil {
		v.svc = target.svc
	}
	if got.err != nil {
		// The call's own retries may have reached the new process, or the old
		// one may have died between its commit and its answer.
		if id, ok := v.begun(kind); ok {
			got = result{id: id}
		} else if got.id, got.err = v.change(kind); got.err != nil {
			t.Fatalf("%s after a crash: %v", kind, got.err)
		}
	}
	if got.id == "" { // pause and resume answer so when a retry found it done
		got.id, _ = v.begun(kind)
	}
	v.s.succeeds(v.svc, got.id)
	v.assertAtRest(kind)
	if kind == types.OperationTypeDeleteService {
		v.svc = nil
	}
}

// assertAtRest checks that the service is what the operation was to make it.
func (v *victim) assertAtRest(kind types.OperationType) {
	t := v.s.t
	t.Helper()
	switch kind {
	case types.OperationTypePauseService:
		if code, _, err := v.s.request(v.svc, "/"); err != nil || code != 503 {
			t.Errorf("a paused service answers %d (%v), want 503", code, err)
		}
	case types.OperationTypeDeleteService:
		if code, _, err := v.s.request(v.svc, "/"); err != nil || code != 404 {
			t.Errorf("a deleted service answers %d (%v), want 404", code, err)
		}
	case types.OperationTypeResumeService:
		v.s.replies(v.svc, 1, strconv.Itoa(v.round-2)) // that of the update, two rounds before
	default:
		v.s.replies(v.svc, 1, strconv.Itoa(v.round))
	}
}
