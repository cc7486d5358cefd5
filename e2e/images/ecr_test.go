package images

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/image/imagetest"
)

// TestPushAndDeploy does what deployment scripts do with ECR: it logs in with a
// token, pushes, deploys by the repository's URI, and moves a tag, which triggers an
// automatic deployment.
func TestPushAndDeploy(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("skopeo"); err != nil {
		t.Skip("no skopeo (apt-get install skopeo)")
	}
	s := harness.Serve(t)
	sh := s.Shell(t)
	host := s.RegistryHost()

	var made struct {
		Repository struct {
			URI string `json:"repositoryUri"`
		} `json:"repository"`
	}
	if err := json.Unmarshal([]byte(sh.ECR("create-repository", "--repository-name", "team/web", "--output", "json")), &made); err != nil {
		t.Fatal(err)
	}
	password := sh.ECR("get-login-password")
	if _, err := exec.LookPath("docker"); err == nil {
		if out := sh.Must(password, "docker", "login", "--username", "AWS", "--password-stdin", host); !strings.Contains(out, "Login Succeeded") {
			t.Errorf("docker login: %s", out)
		}
		if out, err := sh.Run("wrong", "docker", "login", "--username", "AWS", "--password-stdin", host); err == nil {
			t.Errorf("docker login with a wrong token: %s", out)
		}
	}
	sh.Must(password, "skopeo", "login", "--tls-verify=false", "--username", "AWS", "--password-stdin", host)
	push := func(version string) {
		t.Helper()
		layout := imagetest.SaveLayout(t, harness.WebImage(t, version), "web:"+version)
		sh.Must("", "skopeo", "copy", "--dest-tls-verify=false", "oci:"+layout+":web:"+version, "docker://"+host+"/team/web:"+version)
	}
	push("1")

	p := harness.Spec{Image: made.Repository.URI + ":live", Env: map[string]string{"GREETING": "hi"}}
	retag := func(from string) {
		t.Helper()
		manifest := sh.ECR("batch-get-image", "--repository-name", "team/web", "--image-ids", "imageTag="+from, "--query", "images[].imageManifest", "--output", "text")
		sh.ECR("put-image", "--repository-name", "team/web", "--image-tag", "live", "--image-manifest", strings.TrimSuffix(manifest, "\n"))
	}
	retag("1")
	source := p.Source()
	source.AutoDeploymentsEnabled = aws.Bool(true)
	out, err := s.Client().CreateService(t.Context(), &apprunner.CreateServiceInput{ServiceName: aws.String("follows"), SourceConfiguration: source, HealthCheckConfiguration: harness.QuickHealthCheck()})
	if err != nil {
		t.Fatal(err)
	}
	s.WaitSucceeded(out.Service, *out.OperationId)
	version := func(want string) {
		t.Helper()
		harness.Eventually(t, "version "+want+" answers", func() (bool, string) {
			r, err := s.Ask(out.Service, "/")
			if err != nil {
				return false, err.Error()
			}
			return r.Version == want, r.Version
		})
	}
	version("1")
	push("2")
	retag("2")
	version("2")

	sh.ECR("put-image-tag-mutability", "--repository-name", "team/web", "--image-tag-mutability", "IMMUTABLE")
	layout := imagetest.SaveLayout(t, harness.WebImage(t, "3"), "web:3")
	if out, err := sh.Run("", "skopeo", "copy", "--dest-tls-verify=false", "oci:"+layout+":web:3", "docker://"+host+"/team/web:live"); err == nil || !strings.Contains(out, "immutable") {
		t.Errorf("an immutable tag was pushed to: %v %s", err, out)
	}
	var images struct {
		Details []struct {
			Tags []string `json:"imageTags"`
		} `json:"imageDetails"`
	}
	if err := json.Unmarshal([]byte(sh.ECR("describe-images", "--repository-name", "team/web", "--output", "json")), &images); err != nil {
		t.Fatal(err)
	}
	if len(images.Details) != 2 {
		t.Errorf("images %+v, want two", images.Details)
	}
	sh.ECR("delete-repository", "--repository-name", "team/web", "--force")
	version("2") // running instances don't need the repository
}

// TestBoto3ECR makes ECR's calls with Debian's boto3. The script holds the
// expectations.
func TestBoto3ECR(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	s.Push(harness.WebImage(t, "1"), "pushed:v1")
	s.Boto3("ecr.py", s.API)
}
