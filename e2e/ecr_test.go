package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"

	"github.com/openslipway/slipway/internal/image/imagetest"
)

// shell runs the commands of people who push and deploy. Clients keep their
// logins in its directory.
type shell struct {
	*server
	t   testing.TB
	env []string
}

func (s *server) shell(t testing.TB) shell {
	t.Helper()
	dir := t.TempDir()
	return shell{s, t, append(s.clientEnv(), "DOCKER_CONFIG="+dir, "REGISTRY_AUTH_FILE="+filepath.Join(dir, "auth.json"),
		"AWS_ENDPOINT_URL="+s.API, "PYTHONDONTWRITEBYTECODE=1")}
}

// run runs a command with standard input and returns its standard output.
func (sh shell) run(stdin string, args ...string) (string, error) {
	sh.t.Helper()
	cmd := exec.CommandContext(sh.t.Context(), args[0], args[1:]...)
	cmd.Env, cmd.Stdin = sh.env, strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		out.Write(errs.Bytes())
	}
	return out.String(), err
}

// must is run for commands that succeed.
func (sh shell) must(stdin string, args ...string) string {
	sh.t.Helper()
	out, err := sh.run(stdin, args...)
	if err != nil {
		sh.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// aws runs the AWS CLI's ecr commands.
func (sh shell) aws(args ...string) string {
	sh.t.Helper()
	return sh.must("", append([]string{newAWSCLI(sh.t, sh.server).path, "--endpoint-url", sh.API, "ecr"}, args...)...)
}

// TestPushAndDeploy does what deployment scripts do with ECR: log in with a
// token, push, deploy by the repository's URI, and give an image another tag,
// which deploys by itself.
func TestPushAndDeploy(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("skopeo"); err != nil {
		t.Skip("no skopeo (apt-get install skopeo)")
	}
	s := serve(t)
	sh := s.shell(t)
	host := s.registryHost()

	var made struct {
		Repository struct {
			URI string `json:"repositoryUri"`
		} `json:"repository"`
	}
	if err := json.Unmarshal([]byte(sh.aws("create-repository", "--repository-name", "team/web", "--output", "json")), &made); err != nil {
		t.Fatal(err)
	}
	password := sh.aws("get-login-password")
	if _, err := exec.LookPath("docker"); err == nil {
		if out := sh.must(password, "docker", "login", "--username", "AWS", "--password-stdin", host); !strings.Contains(out, "Login Succeeded") {
			t.Errorf("docker login: %s", out)
		}
		if out, err := sh.run("wrong", "docker", "login", "--username", "AWS", "--password-stdin", host); err == nil {
			t.Errorf("docker login with a wrong token: %s", out)
		}
	}
	sh.must(password, "skopeo", "login", "--tls-verify=false", "--username", "AWS", "--password-stdin", host)
	push := func(version string) {
		t.Helper()
		layout := imagetest.SaveLayout(t, web(t, version), "web:"+version)
		sh.must("", "skopeo", "copy", "--dest-tls-verify=false", "oci:"+layout+":web:"+version, "docker://"+host+"/team/web:"+version)
	}
	push("1")

	p := spec{image: made.Repository.URI + ":live", env: map[string]string{"GREETING": "hi"}}
	retag := func(from string) {
		t.Helper()
		manifest := sh.aws("batch-get-image", "--repository-name", "team/web", "--image-ids", "imageTag="+from, "--query", "images[].imageManifest", "--output", "text")
		sh.aws("put-image", "--repository-name", "team/web", "--image-tag", "live", "--image-manifest", strings.TrimSuffix(manifest, "\n"))
	}
	retag("1")
	source := p.source()
	source.AutoDeploymentsEnabled = aws.Bool(true)
	out, err := s.client().CreateService(t.Context(), &apprunner.CreateServiceInput{ServiceName: aws.String("follows"), SourceConfiguration: source, HealthCheckConfiguration: quick()})
	if err != nil {
		t.Fatal(err)
	}
	s.succeeds(out.Service, *out.OperationId)
	version := func(want string) {
		t.Helper()
		eventually(t, "version "+want+" answers", func() (bool, string) {
			r, err := s.ask(out.Service, "/")
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

	sh.aws("put-image-tag-mutability", "--repository-name", "team/web", "--image-tag-mutability", "IMMUTABLE")
	layout := imagetest.SaveLayout(t, web(t, "3"), "web:3")
	if out, err := sh.run("", "skopeo", "copy", "--dest-tls-verify=false", "oci:"+layout+":web:3", "docker://"+host+"/team/web:live"); err == nil || !strings.Contains(out, "immutable") {
		t.Errorf("an immutable tag was pushed to: %v %s", err, out)
	}
	var images struct {
		Details []struct {
			Tags []string `json:"imageTags"`
		} `json:"imageDetails"`
	}
	if err := json.Unmarshal([]byte(sh.aws("describe-images", "--repository-name", "team/web", "--output", "json")), &images); err != nil {
		t.Fatal(err)
	}
	if len(images.Details) != 2 {
		t.Errorf("images %+v, want two", images.Details)
	}
	sh.aws("delete-repository", "--repository-name", "team/web", "--force")
	version("2") // what runs, runs on
}

// TestBoto3ECR walks through ECR's calls with Debian's boto3; the script says
// what it expects.
func TestBoto3ECR(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.push(web(t, "1"), "pushed:v1")
	s.boto3("ecr.py", s.API)
}

// TestTerraformECR applies repositories with their policies, finds no drift,
// changes, imports and destroys them.
func TestTerraformECR(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.push(web(t, "1"), "pushed:v1")
	f := newTerraformIn(t, s, "", "testdata/terraform-ecr")
	f.run(0, "", "init", "-input=false", "-no-color")
	f.apply("IMMUTABLE")
	out := f.outputs()
	if out["url"] != "000000000000.dkr.ecr.us-east-1.amazonaws.com/team/shop" || out["digest"] != imagetest.Digest(t, web(t, "1")) ||
		out["user"] != "AWS" || out["endpoint"] != s.API || !strings.HasSuffix(out["arn"], ":repository/pushed") {
		t.Errorf("outputs %v", out)
	}
	f.plan(0, "IMMUTABLE")
	f.apply("MUTABLE")

	f.run(0, "MUTABLE", "state", "rm", "aws_ecr_repository.shop", "aws_ecr_lifecycle_policy.shop", "aws_ecr_repository_policy.shop")
	imports := ""
	for _, kind := range []string{"aws_ecr_repository", "aws_ecr_lifecycle_policy", "aws_ecr_repository_policy"} {
		imports += "import {\n  to = " + kind + ".shop\n  id = \"team/shop\"\n}\n"
	}
	if err := os.WriteFile(filepath.Join(f.dir, "import.tf"), []byte(imports), 0o600); err != nil {
		t.Fatal(err)
	}
	f.apply("MUTABLE")
	f.plan(0, "MUTABLE")
	s.push(web(t, "2"), "team/shop:v2")
	f.run(0, "MUTABLE", "destroy", "-auto-approve", "-input=false", "-no-color")
	if out := s.shell(t).aws("describe-repositories", "--query", "repositories[].repositoryName", "--output", "text"); strings.TrimSpace(out) != "pushed" {
		t.Errorf("left are %q", out)
	}
}
