package life

import (
	"maps"
	"regexp"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestLife takes a service of three instances from its creation to its deletion with
// the Go SDK. The server runs with the race detector.
func TestLife(t *testing.T) {
	t.Parallel()
	s := harness.ServeRaced(t)
	client, ctx := s.Client(), t.Context()
	image := s.Push(harness.WebImage(t, "1"), "shop/web:prod")
	svc := s.RunningService("shop", harness.Spec{
		Image: image, Env: map[string]string{"GREETING": "one"}, Scaling: s.CreateAutoScaling("three", 50, 3, 5), Health: harness.QuickHealthCheck(),
	})
	if want := regexp.MustCompile(`^[a-z0-9]{10}\.us-east-1\.slipway\.localhost:[0-9]+$`); !want.MatchString(*svc.ServiceUrl) {
		t.Errorf("service URL %q does not match %v", *svc.ServiceUrl, want)
	}
	seen := map[string]int{}
	first := s.AskAll(svc, 3, "one")
	least := map[string]int{"mount": 0, "table": 1} // mounts are in the instances' own namespaces; a network has one table
	for kind, found := range harness.ResourcesOf(s) {
		if n, ok := least[kind]; len(found) < n || !ok && len(found) < 3 {
			t.Errorf("found %v as %s of a running server: what was leaked would not be found either", found, kind)
		}
	}
	maps.Copy(seen, first)

	update, err := client.UpdateService(ctx, &apprunner.UpdateServiceInput{
		ServiceArn: svc.ServiceArn, SourceConfiguration: harness.Spec{Image: image, Env: map[string]string{"GREETING": "two"}}.Source(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.WaitSucceeded(svc, *update.OperationId)
	second := s.AskAll(svc, 3, "two")
	for id := range second {
		if first[id] > 0 {
			t.Errorf("instance %s still serves after the update", id)
		}
	}
	maps.Copy(seen, second)

	s.Push(harness.WebImage(t, "2"), "shop/web:prod")
	deployment, err := client.StartDeployment(ctx, &apprunner.StartDeploymentInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	s.WaitSucceeded(svc, *deployment.OperationId)
	if r, err := s.Ask(svc, "/"); err != nil || r.Version != "2" {
		t.Errorf("after the deployment version %q answers (%v), want 2", r.Version, err)
	}
	maps.Copy(seen, s.AskAll(svc, 3, "two"))

	pause := s.Pause(svc)
	s.AssertPaused(svc)

	resume := s.Resume(svc)
	maps.Copy(seen, s.AskAll(svc, 3, "two"))

	deletion, err := client.DeleteService(ctx, &apprunner.DeleteServiceInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	s.WaitSucceeded(svc, *deletion.OperationId)
	s.AssertDeleted(svc)
	assertHistory(s, svc, *deletion.OperationId, resume, pause, *deployment.OperationId, *update.OperationId)
	s.AssertNoFilesNamed(append(slices.Collect(maps.Keys(seen)), *svc.ServiceId)...)
}

// assertHistory checks that ListOperations lists the operations of TestLife, newest
// first. The ids are those that the calls returned, without the creation's.
func assertHistory(s *harness.Server, svc *types.Service, ids ...string) {
	s.T.Helper()
	out, err := s.Client().ListOperations(s.T.Context(), &apprunner.ListOperationsInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		s.T.Fatal(err)
	}
	var kinds []types.OperationType
	for i, o := range out.OperationSummaryList {
		kinds = append(kinds, o.Type)
		if i < len(ids) && aws.ToString(o.Id) != ids[i] {
			s.T.Errorf("operation %d is %s, want %s", i, aws.ToString(o.Id), ids[i])
		}
		if o.StartedAt == nil || o.UpdatedAt == nil || o.EndedAt == nil || o.EndedAt.Before(*o.StartedAt) {
			s.T.Errorf("%s: started %v, updated %v, ended %v", o.Type, o.StartedAt, o.UpdatedAt, o.EndedAt)
		}
		if aws.ToString(o.TargetArn) != *svc.ServiceArn {
			s.T.Errorf("%s has target %s", o.Type, aws.ToString(o.TargetArn))
		}
	}
	want := []types.OperationType{
		types.OperationTypeDeleteService, types.OperationTypeResumeService, types.OperationTypePauseService,
		types.OperationTypeStartDeployment, types.OperationTypeUpdateService, types.OperationTypeCreateService,
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		s.T.Errorf("operations (-want +got):\n%s", diff)
	}
}
