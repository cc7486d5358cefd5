package images

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"

	"github.com/openslipway/slipway/e2e/harness"
)

// A tag of another registry, here another server's, is deployed when it has another
// image. Polling uses the credentials of pulls.
func TestImageOfAnotherRegistry(t *testing.T) {
	t.Parallel()
	other := harness.Serve(t)
	other.Push(harness.WebImage(t, "1"), "web:live")
	keys, dir := other.Keys(), t.TempDir()
	login := base64.StdEncoding.EncodeToString([]byte(keys.AccessKeyID + ":" + keys.SecretAccessKey))
	config := `{"auths":{"` + other.RegistryHost() + `":{"auth":"` + login + `"}}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s := harness.Prepare(t, nil, "--api-addr", harness.FreeAddr(t), "--http-addr", harness.FreeAddr(t), "--image-poll", "1s")
	s.Env = append(os.Environ(), "DOCKER_CONFIG="+dir)
	s.Start()
	source := harness.Spec{Image: other.RegistryHost() + "/web:live"}.Source()
	source.AutoDeploymentsEnabled = aws.Bool(true)
	out, err := s.Client().CreateService(t.Context(), &apprunner.CreateServiceInput{ServiceName: aws.String("follows"), SourceConfiguration: source, HealthCheckConfiguration: harness.QuickHealthCheck()})
	if err != nil {
		t.Fatal(err)
	}
	s.WaitSucceeded(out.Service, *out.OperationId)
	other.Push(harness.WebImage(t, "2"), "web:live")
	harness.Eventually(t, "version 2 answers", func() (bool, string) {
		r, err := s.Ask(out.Service, "/")
		if err != nil {
			return false, err.Error()
		}
		return r.Version == "2", r.Version
	})
}
