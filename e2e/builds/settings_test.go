package builds

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// Tags of a service are settings of its builds: variables, secrets, and what of a build
// is deployed. The secret is in no log and in no file of the server.
func TestSettings(t *testing.T) {
	t.Parallel()
	s := serveCode(t)
	secrets := harness.NewServiceSecrets(s.Server)
	secrets.Put("of-the-build")
	config := strings.NewReplacer("'version one'", "'built'", "test -f built.txt &&", "cat /usr/local/outside >> built.txt;").Replace(configFile)
	config = strings.Replace(config, "    build:\n", "    build:\n      - echo ${CI:-inside} > /usr/local/outside; echo the token is $TOKEN\n      - test -z \"$TOKEN\" || test \"$TOKEN\" = "+harness.SecretValue("of-the-build")+"\n", 1)
	config = strings.Replace(config, harness.SecretValue("of-the-build"), "secret-value-of-the''-build", 1) // not as it is
	r := s.repository(t, "shop", map[string]string{"app.py": app, "apprunner.yaml": config})
	svc, _ := s.create(t, "shop", s.source(r, "", fromFile))
	s.answers(t, svc, "built from the file")

	s.Set(svc, "build-mode", "keep", "build-env.CI", "by-tag")
	update := func(memory string, role *string) string {
		t.Helper()
		out, err := s.Client().UpdateService(t.Context(), &apprunner.UpdateServiceInput{ServiceArn: svc.ServiceArn, InstanceConfiguration: &types.InstanceConfiguration{Memory: &memory, InstanceRoleArn: role}})
		if err != nil {
			t.Fatal(err)
		}
		return *out.OperationId
	}
	// An update that changes nothing of the build builds, since the settings have changed.
	s.WaitSucceeded(svc, update("3072", nil))
	s.answers(t, svc, "built\nby-tag from the file")

	s.Set(svc, "build-secret.TOKEN", secrets.ARN+":greeting::")
	id := update("4096", nil)
	if status := s.WaitOperation(svc, id); status != types.OperationStatusRollbackSucceeded {
		t.Errorf("a secret without a role: %s", status)
	}
	if events := s.Events(svc); !strings.Contains(events, "The settings slipway:build-secret.NAME need an Instance Role") {
		t.Errorf("the events do not say why:\n%s", events)
	}
	id = update("4096", aws.String("arn:aws:iam::000000000000:role/shop"))
	s.WaitSucceeded(svc, id)
	log := s.MustSlipway(t, "logs", "shop", "--deployment", id)
	if !strings.Contains(log, "the token is ***") || strings.Contains(log, harness.SecretValue("of-the-build")) {
		t.Errorf("the log of the build:\n%s", log)
	}
	s.Stop()
	for _, dir := range []string{"images", "build", "logs", "runtime"} {
		assertWithout(t, filepath.Join(s.DataDir, dir), harness.SecretValue("of-the-build"))
	}
	s.Start()
}

// assertWithout fails if a file below a directory has a text.
func assertWithout(t *testing.T, dir, text string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, fi os.FileInfo, err error) error {
		if err != nil || !fi.Mode().IsRegular() || fi.Size() > 64<<20 {
			return nil //nolint:nilerr // removed meanwhile
		}
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), text) {
			t.Errorf("%s has the secret", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
