package life

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestSupersede takes the place of operations that would go on for minutes.
func TestSupersede(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	image := s.Push(harness.WebImage(t, "1"), "web:1")
	mute := harness.Spec{Image: image, Env: map[string]string{"MODE": "mute"}}
	update := func(svc *types.Service) string {
		out, err := s.Client().UpdateService(t.Context(), &apprunner.UpdateServiceInput{ServiceArn: svc.ServiceArn, SourceConfiguration: mute.Source()})
		if err != nil {
			t.Fatal(err)
		}
		return *out.OperationId
	}
	ended := func(svc *types.Service, id string, want types.OperationStatus) {
		t.Helper()
		if op, err := s.Operation(*svc.ServiceArn, id); err != nil || op.Status != want {
			t.Errorf("the operation in progress: %+v, %v, want %s", op, err, want)
		}
	}
	t.Run("a creation by the mended flag", func(t *testing.T) {
		svc, op := s.Create("mended", mute)
		s.MustSlipway(t, "up", "web:1", "--name", "mended", "--env", "MODE=", "--env", "GREETING=well", "--replace")
		ended(svc, op, types.OperationStatusFailed)
		s.AskMany(svc, 3, "well")
	})
	t.Run("an update by a pause", func(t *testing.T) {
		svc := s.RunningService("pausing", harness.Spec{Image: image})
		op := update(svc)
		code, _, said := s.ExecSlipway(t, "pause", "pausing") // nobody is there to ask
		if code == 0 || !strings.Contains(said, "UPDATE_SERVICE is in progress; with --replace it is cancelled first.") {
			t.Errorf("pause exited with %d: %s", code, said)
		}
		s.MustSlipway(t, "pause", "pausing", "--replace")
		ended(svc, op, types.OperationStatusRollbackSucceeded)
		if got := s.Status(svc); got != types.ServiceStatusPaused {
			t.Errorf("the service is %s", got)
		}
	})
	t.Run("an update by a deletion", func(t *testing.T) {
		svc := s.RunningService("doomed", harness.Spec{Image: image})
		op := update(svc)
		s.MustSlipway(t, "rm", "doomed", "--yes")
		ended(svc, op, types.OperationStatusRollbackSucceeded)
		if got := s.Status(svc); got != types.ServiceStatusDeleted {
			t.Errorf("the service is %s", got)
		}
	})
	t.Run("no deletion", func(t *testing.T) {
		svc := s.RunningService("gone", harness.Spec{Image: image})
		s.MustSlipway(t, "rm", "gone", "--yes", "--wait=false")
		if code, _, said := s.ExecSlipway(t, "pause", "gone", "--replace"); code == 0 {
			t.Errorf("a deletion was replaced: %s", said)
		}
		harness.Eventually(t, "it is deleted", func() (bool, string) {
			got := s.Status(svc)
			return got == types.ServiceStatusDeleted, string(got)
		})
	})
}
