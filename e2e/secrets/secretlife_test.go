package secrets

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestSecrets takes a service with secrets through deployments, a pause, the death
// of its instances and of the server, and rotations of the master key. Its instances
// always have the values of their deployment. No file and no output of the server
// contains a value.
func TestSecrets(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	k := harness.NewServiceSecrets(s)
	k.Put("first")
	svc := s.RunningService("secretive", harness.Spec{
		Image: s.Push(harness.WebImage(t, "1"), "secretive:latest"), Scaling: s.CreateAutoScaling("secretive", 50, 2, 2), Health: harness.QuickHealthCheck(),
		Secrets: map[string]string{"GREETING": k.ARN + ":greeting::", "TOKEN": "/secretive/token"},
	})
	assertServes(k, svc, "first")
	assertReferencesOnly(k, svc)

	// A new value waits for the next deployment, whatever dies meanwhile.
	k.Put("second")
	killInstance(k)
	assertServes(k, svc, "first")
	s.Kill()
	killInstance(k)
	s.Start()
	assertServes(k, svc, "first")
	deploy(k, svc, types.OperationStatusSucceeded)
	assertServes(k, svc, "second")

	k.Put("third")
	s.Pause(svc)
	s.Resume(svc)
	assertServes(k, svc, "third")

	rotateUnderKills(k)
	killInstance(k)
	assertServes(k, svc, "third")

	if _, err := k.Secrets.DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{SecretId: &k.ARN, ForceDeleteWithoutRecovery: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	deploy(k, svc, types.OperationStatusRollbackSucceeded)
	assertServes(k, svc, "third")
	out, err := s.RunSlipway("logs", "--events", "secretive")
	if want := "The secret for environment variable GREETING could not be read from " + k.ARN; err != nil || !strings.Contains(out, want) {
		t.Errorf("the events lack %q: %v\n%s", want, err, out)
	}
	assertNowhere(k, "first", "second", "third")
}
