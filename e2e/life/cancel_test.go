package life

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestCancel cancels operations that would go on for minutes.
func TestCancel(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	image := s.Push(harness.WebImage(t, "1"), "web:1")

	t.Run("an update that never becomes healthy", func(t *testing.T) {
		svc := s.RunningService("shop", harness.Spec{Image: image, Env: map[string]string{"GREETING": "one"}, Health: harness.QuickHealthCheck()})
		l := newLoad(s, svc)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { l.run(ctx) })
		ill := harness.Spec{Image: image, Env: map[string]string{"MODE": "ill"}}
		out, err := s.Client().UpdateService(t.Context(), &apprunner.UpdateServiceInput{ServiceArn: svc.ServiceArn, SourceConfiguration: ill.Source()})
		if err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "both versions run", func() (bool, string) {
			n := len(s.InstanceProcesses("app"))
			return n == 2, strings.Join(names(s.InstanceProcesses("app")), " ")
		})
		said := s.MustSlipway(t, "ops", "cancel", "shop", "--operation", *out.OperationId)
		if !strings.Contains(said, "UPDATE_SERVICE of shop is cancelled; the service is RUNNING") {
			t.Errorf("ops cancel said:\n%s", said)
		}
		assertCancelled(t, s, svc, *out.OperationId, types.OperationStatusRollbackSucceeded)
		harness.Eventually(t, "only the previous version runs", func() (bool, string) {
			n := len(s.InstanceProcesses("app"))
			return n == 1, strings.Join(names(s.InstanceProcesses("app")), " ")
		})
		stop()
		running.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.wrong) > 0 || l.sent.Load() == 0 {
			t.Errorf("of %d requests: %v", l.sent.Load(), l.wrong)
		}
		s.AskMany(svc, 3, "one")
	})
	t.Run("a creation", func(t *testing.T) {
		svc, op := s.Create("mute", harness.Spec{Image: image, Env: map[string]string{"MODE": "mute"}})
		harness.Eventually(t, "an instance runs", func() (bool, string) {
			text := s.Events(svc)
			return strings.Contains(text, "Performing health check"), text
		})
		s.MustSlipway(t, "ops", "cancel", "mute")
		assertCancelled(t, s, svc, op, types.OperationStatusFailed)
		if got := s.Status(svc); got != types.ServiceStatusCreateFailed {
			t.Errorf("the service is %s", got)
		}
	})
	t.Run("a pull that stalls", func(t *testing.T) {
		asked, ended := make(chan struct{}, 1), make(chan struct{}, 1)
		registry := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			asked <- struct{}{}
			<-r.Context().Done()
			ended <- struct{}{}
		}))
		defer registry.Close()
		svc, op := s.Create("stalled", harness.Spec{Image: strings.TrimPrefix(registry.URL, "http://") + "/app:1"})
		<-asked
		s.MustSlipway(t, "ops", "cancel", "stalled")
		<-ended // the request to the registry
		assertCancelled(t, s, svc, op, types.OperationStatusFailed)
	})
	t.Run("a request that a crash follows", func(t *testing.T) {
		svc, op := s.Create("killed", harness.Spec{Image: image, Env: map[string]string{"MODE": "mute"}})
		s.MustSlipway(t, "ops", "cancel", "killed", "--wait=false")
		s.Kill()
		s.Start()
		if got := s.WaitOperation(svc, op); got != types.OperationStatusFailed {
			t.Errorf("the operation ended %s", got)
		}
		assertCancelled(t, s, svc, op, types.OperationStatusFailed)
	})
	if text := s.MustSlipway(t, "audit", "--json"); strings.Count(text, `"eventName": "CancelOperation"`) != 4 {
		t.Errorf("the audit records: %s", text)
	}
}

// assertCancelled checks how a cancelled operation ended, and that the events and
// `slipway ops` say who cancelled it.
func assertCancelled(t *testing.T, s *harness.Server, svc *types.Service, id string, want types.OperationStatus) {
	t.Helper()
	const root = "arn:aws:iam::000000000000:root"
	op, err := s.Operation(*svc.ServiceArn, id)
	if err != nil || op.Status != want || op.EndedAt == nil {
		t.Errorf("the operation: %+v, %v, want %s", op, err, want)
	}
	if text := s.Events(svc); !strings.Contains(text, "The deployment was cancelled by "+root+"; ") {
		t.Errorf("the events do not say who cancelled it:\n%s", text)
	}
	if text := s.MustSlipway(t, "ops", aws.ToString(svc.ServiceName)); !strings.Contains(text, root) {
		t.Errorf("ops does not say who cancelled it:\n%s", text)
	}
}
