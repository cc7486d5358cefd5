package terraform

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestTerraform applies a service, finds no drift, changes it, lets it be
// paused and resumed in between, and destroys it.
func TestTerraform(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	f := harness.NewTerraform(t, s, s.Push(harness.WebImage(t, "1"), "terraform:latest"))
	f.Run(0, "", "init", "-input=false", "-no-color")
	f.Apply("one")
	out := f.Outputs()
	arn, url, name := out["arn"], out["url"], "from-terraform"
	svc := &types.Service{ServiceArn: &arn, ServiceUrl: &url, ServiceName: &name}
	s.AskAll(svc, 2, "one")
	f.Plan(0, "one")

	f.Plan(2, "two")
	f.Apply("two")
	s.AskAll(svc, 2, "two")

	pause, err := s.Client().PauseService(t.Context(), &apprunner.PauseServiceInput{ServiceArn: &arn})
	if err != nil {
		t.Fatal(err)
	}
	s.WaitSucceeded(svc, *pause.OperationId)
	f.Plan(0, "two") // being paused is no drift
	s.AssertPaused(svc)
	resume, err := s.Client().ResumeService(t.Context(), &apprunner.ResumeServiceInput{ServiceArn: &arn})
	if err != nil {
		t.Fatal(err)
	}
	s.WaitSucceeded(svc, *resume.OperationId)
	s.AskAll(svc, 2, "two")

	f.Run(0, "two", "destroy", "-auto-approve", "-input=false", "-no-color")
	s.AssertDeleted(svc)
}
