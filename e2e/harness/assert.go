package harness

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
)

// AssertPaused checks that a paused service runs nothing, and that it answers 503
// with JSON to programs and with a page to browsers.
func (s *Server) AssertPaused(svc *types.Service) {
	s.T.Helper()
	if got := s.Status(svc); got != types.ServiceStatusPaused {
		s.T.Errorf("status %s, want PAUSED", got)
	}
	if left := s.InstanceProcesses("app"); len(left) > 0 {
		s.T.Errorf("a paused service runs %v", left)
	}
	code, body, err := s.Request(svc, "/", "Accept", "application/json")
	if err != nil {
		s.T.Fatal(err)
	}
	if code != http.StatusServiceUnavailable || !json.Valid([]byte(body)) || !strings.Contains(body, "paused") {
		s.T.Errorf("a paused service answers %d %q, want 503 and JSON that says so", code, body)
	}
	code, body, err = s.Request(svc, "/", "Accept", "text/html")
	if err != nil {
		s.T.Fatal(err)
	}
	if code != http.StatusServiceUnavailable || !strings.Contains(body, "<html") || !strings.Contains(body, "paused") {
		s.T.Errorf("a paused service answers a browser %d %q, want 503 and a page that says so", code, body)
	}
}

// AssertDeleted checks that a deleted service is described as DELETED, is not
// listed and has no host.
func (s *Server) AssertDeleted(svc *types.Service) {
	s.T.Helper()
	if got := s.Status(svc); got != types.ServiceStatusDeleted {
		s.T.Errorf("status %s, want DELETED", got)
	}
	out, err := s.Client().ListServices(s.T.Context(), &apprunner.ListServicesInput{})
	if err != nil {
		s.T.Fatal(err)
	}
	if len(out.ServiceSummaryList) != 0 {
		s.T.Errorf("ListServices still shows %s", *out.ServiceSummaryList[0].ServiceName)
	}
	if code, _, err := s.Request(svc, "/"); err != nil || code != http.StatusNotFound {
		s.T.Errorf("the deleted service's host answers %d (%v), want 404", code, err)
	}
}
