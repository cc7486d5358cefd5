package life

import (
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestPromisedDisks: on a disk with room for the promises of two instances the third is refused,
// and its service says why. The two serve on, and can be updated.
func TestPromisedDisks(t *testing.T) {
	harness.SmallDisk(t, 9<<30)
	s := harness.Serve(t, "--disk-overcommit", "1", "--metrics-addr", harness.FreeAddr(t))
	image := s.Push(harness.WebImage(t, "1"), "web:1")
	one := s.RunningService("first", harness.Spec{Image: image, Env: map[string]string{"GREETING": "one"}})
	two := s.RunningService("second", harness.Spec{Image: image, Env: map[string]string{"GREETING": "two"}})

	three, op := s.Create("third", harness.Spec{Image: image, Env: map[string]string{"GREETING": "three"}})
	if got := s.WaitOperation(three, op); got != types.OperationStatusFailed {
		t.Fatalf("the creation of a third service ended %s, want FAILED", got)
	}
	history := s.Events(three)
	for _, part := range []string{"The server's disk has no room for another disk of 3.0 GiB", "2 other instances", "is more than the ", "--disk-overcommit"} {
		if !strings.Contains(history, part) {
			t.Errorf("the events of the third service do not say %q:\n%s", part, history)
		}
	}
	s.AskMany(one, 3, "one")
	s.AskMany(two, 3, "two")
	health(t, s, "/readyz", 503, "disk: instances and builds may still write")
	metrics, err := s.HTTPClient.Get(s.Metrics)
	if err != nil {
		t.Fatal(err)
	}
	defer metrics.Body.Close()
	text, err := io.ReadAll(metrics.Body)
	if err != nil || !regexp.MustCompile(`(?m)^slipway_disk_promised_bytes 6\.[0-9]+e\+09$`).Match(text) {
		t.Errorf("the metrics are %v\n%s", err, text)
	}

	started, err := s.Client().StartDeployment(t.Context(), &apprunner.StartDeploymentInput{ServiceArn: one.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.WaitOperation(one, *started.OperationId); got != types.OperationStatusSucceeded {
		t.Errorf("the deployment of the first service ended %s:\n%s", got, s.Events(one))
	}
	s.AskMany(one, 3, "one")
}
