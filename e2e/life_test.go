package e2e

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"
)

// TestLife leads a service of three instances through its whole life with the
// Go SDK, under the race detector.
func TestLife(t *testing.T) {
	t.Parallel()
	s := serveRaced(t)
	client, ctx := s.client(), t.Context()
	image := s.push(web(t, "1"), "shop/web:prod")
	svc := s.runningService("shop", spec{
		image: image, env: map[string]string{"GREETING": "one"}, scaling: s.size("three", 50, 3, 5), health: quick(),
	})
	if want := regexp.MustCompile(`^[a-z0-9]{10}\.us-east-1\.slipway\.localhost:[0-9]+$`); !want.MatchString(*svc.ServiceUrl) {
		t.Errorf("service URL %q does not match %v", *svc.ServiceUrl, want)
	}
	seen := map[string]int{}
	first := s.spread(svc, 3, "one")
	least := map[string]int{"mount": 0, "table": 1} // mounts are those of instances, out of our sight; a network has one table
	for kind, found := range look(s) {
		if n, ok := least[kind]; len(found) < n || !ok && len(found) < 3 {
			t.Errorf("found %v as %s of a running server: what was leaked would not be found either", found, kind)
		}
	}
	maps.Copy(seen, first)

	update, err := client.UpdateService(ctx, &apprunner.UpdateServiceInput{
		ServiceArn: svc.ServiceArn, SourceConfiguration: spec{image: image, env: map[string]string{"GREETING": "two"}}.source(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.succeeds(svc, *update.OperationId)
	second := s.spread(svc, 3, "two")
	for id := range second {
		if first[id] > 0 {
			t.Errorf("instance %s still serves after the update", id)
		}
	}
	maps.Copy(seen, second)

	s.push(web(t, "2"), "shop/web:prod")
	deployment, err := client.StartDeployment(ctx, &apprunner.StartDeploymentInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	s.succeeds(svc, *deployment.OperationId)
	if r, err := s.ask(svc, "/"); err != nil || r.Version != "2" {
		t.Errorf("after the deployment version %q answers (%v), want 2", r.Version, err)
	}
	maps.Copy(seen, s.spread(svc, 3, "two"))

	pause, err := client.PauseService(ctx, &apprunner.PauseServiceInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	s.succeeds(svc, *pause.OperationId)
	s.assertPaused(svc)

	resume, err := client.ResumeService(ctx, &apprunner.ResumeServiceInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	s.succeeds(svc, *resume.OperationId)
	maps.Copy(seen, s.spread(svc, 3, "two"))

	deletion, err := client.DeleteService(ctx, &apprunner.DeleteServiceInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	s.succeeds(svc, *deletion.OperationId)
	s.assertDeleted(svc)
	s.assertHistory(svc, *deletion.OperationId, *resume.OperationId, *pause.OperationId, *deployment.OperationId, *update.OperationId)
	s.assertNoFilesNamed(append(slices.Collect(maps.Keys(seen)), *svc.ServiceId)...)
}

// assertPaused checks that a paused service runs nothing and says so, to
// programs as JSON and to people as a page.
func (s *server) assertPaused(svc *types.Service) {
	s.t.Helper()
	if got := s.status(svc); got != types.ServiceStatusPaused {
		s.t.Errorf("status %s, want PAUSED", got)
	}
	if left := s.instanceProcesses("app"); len(left) > 0 {
		s.t.Errorf("a paused service runs %v", left)
	}
	code, body, err := s.request(svc, "/", "Accept", "application/json")
	if err != nil {
		s.t.Fatal(err)
	}
	if code != http.StatusServiceUnavailable || !json.Valid([]byte(body)) || !strings.Contains(body, "paused") {
		s.t.Errorf("a paused service answers %d %q, want 503 and JSON that says so", code, body)
	}
	code, body, err = s.request(svc, "/", "Accept", "text/html")
	if err != nil {
		s.t.Fatal(err)
	}
	if code != http.StatusServiceUnavailable || !strings.Contains(body, "<html") || !strings.Contains(body, "paused") {
		s.t.Errorf("a paused service answers a browser %d %q, want 503 and a page that says so", code, body)
	}
}

// assertDeleted checks that a deleted service is still described, as DELETED,
// and otherwise gone.
func (s *server) assertDeleted(svc *types.Service) {
	s.t.Helper()
	if got := s.status(svc); got != types.ServiceStatusDeleted {
		s.t.Errorf("status %s, want DELETED", got)
	}
	out, err := s.client().ListServices(s.t.Context(), &apprunner.ListServicesInput{})
	if err != nil {
		s.t.Fatal(err)
	}
	if len(out.ServiceSummaryList) != 0 {
		s.t.Errorf("ListServices still shows %s", *out.ServiceSummaryList[0].ServiceName)
	}
	if code, _, err := s.request(svc, "/"); err != nil || code != http.StatusNotFound {
		s.t.Errorf("the deleted service's host answers %d (%v), want 404", code, err)
	}
}

// assertHistory checks that ListOperations shows the life of TestLife, newest
// first; the ids are those the calls returned, but for the creation's.
func (s *server) assertHistory(svc *types.Service, ids ...string) {
	s.t.Helper()
	out, err := s.client().ListOperations(s.t.Context(), &apprunner.ListOperationsInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		s.t.Fatal(err)
	}
	var kinds []types.OperationType
	for i, o := range out.OperationSummaryList {
		kinds = append(kinds, o.Type)
		if i < len(ids) && aws.ToString(o.Id) != ids[i] {
			s.t.Errorf("operation %d is %s, want %s", i, aws.ToString(o.Id), ids[i])
		}
		if o.StartedAt == nil || o.UpdatedAt == nil || o.EndedAt == nil || o.EndedAt.Before(*o.StartedAt) {
			s.t.Errorf("%s: started %v, updated %v, ended %v", o.Type, o.StartedAt, o.UpdatedAt, o.EndedAt)
		}
		if aws.ToString(o.TargetArn) != *svc.ServiceArn {
			s.t.Errorf("%s has target %s", o.Type, aws.ToString(o.TargetArn))
		}
	}
	want := []types.OperationType{
		types.OperationTypeDeleteService, types.OperationTypeResumeService, types.OperationTypePauseService,
		types.OperationTypeStartDeployment, types.OperationTypeUpdateService, types.OperationTypeCreateService,
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		s.t.Errorf("operations (-want +got):\n%s", diff)
	}
}
