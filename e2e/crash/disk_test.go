package crash

import (
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// A sync of the database to disk that fails ends the server: nothing that it would still
// change could be promised. The instance runs on, and the next server finds it.
func TestFailedSync(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace, which makes a system call fail, is not installed")
	}
	s := harness.Serve(t)
	svc := s.RunningService("steady", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "steady:1"), Health: harness.QuickHealthCheck()})
	before := s.BootIDs(svc, 1)

	cmd := exec.CommandContext(t.Context(), strace, "-f", "-qq", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO", "-p", strconv.Itoa(s.PID))
	trace := &strings.Builder{}
	cmd.Stderr = trace
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tags := []types.Tag{{Key: aws.String("changed"), Value: aws.String("yes")}}
	harness.Eventually(t, "strace makes syncs fail", func() (bool, string) {
		_, err := s.Client().TagResource(t.Context(), &apprunner.TagResourceInput{ResourceArn: svc.ServiceArn, Tags: tags})
		return err != nil, "a change was promised"
	})
	status := s.Ended()
	if err := cmd.Wait(); err != nil && !strings.Contains(trace.String(), "INJECTED") {
		t.Fatalf("strace: %v\n%s", err, trace)
	}
	if status == nil || !s.Output.Contains("it is not known what the disk has of the database") || !s.Output.Contains("input/output error") {
		t.Errorf("the server ended with %v, want an error that tells of the disk\n%s", status, s.Output)
	}

	s.Start()
	if code, body, err := s.Request(svc, "/"); err != nil || code != http.StatusOK {
		t.Errorf("after the next start the service answers %d %q, %v", code, body, err)
	}
	if after := s.BootIDs(svc, 1); len(after) != 1 || after[0] != before[0] {
		t.Errorf("the instance was %v and is %v", before, after)
	}
	if _, err := s.Client().TagResource(t.Context(), &apprunner.TagResourceInput{ResourceArn: svc.ServiceArn, Tags: tags}); err != nil {
		t.Errorf("a change after the next start: %v", err)
	}
}
