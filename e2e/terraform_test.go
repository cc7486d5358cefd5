package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
)

// mirrors are where a Terraform provider may lie on a machine that cannot
// fetch one; the first is for whoever keeps it elsewhere.
var mirrors = []string{os.Getenv("TF_PLUGIN_MIRROR"), "/opt/*", "/usr/share/terraform/*", "/usr/local/share/terraform/plugins", "/root/.terraform.d/plugins"}

// terraform runs Terraform in a directory of its own.
type terraform struct {
	t   testing.TB
	dir string
	env []string
}

// newTerraform lays out a directory with main.tf and further files of
// testdata/terraform.
func newTerraform(t testing.TB, s *server, image string, further ...string) *terraform {
	t.Helper()
	return newTerraformIn(t, s, image, "testdata/terraform", further...)
}

// newTerraformIn is newTerraform with the files of another directory.
func newTerraformIn(t testing.TB, s *server, image, from string, further ...string) *terraform {
	t.Helper()
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("no terraform")
	}
	mirror := ""
	for _, m := range mirrors {
		if found, _ := filepath.Glob(m + "/registry.terraform.io/hashicorp/aws/*/linux_*"); m != "" && len(found) > 0 {
			mirror = strings.SplitN(found[0], "/registry.terraform.io/", 2)[0]
		}
	}
	if mirror == "" {
		t.Skip("no Terraform AWS provider in a local mirror (TF_PLUGIN_MIRROR names one)")
	}
	dir := t.TempDir()
	files := map[string]string{"cli.tfrc": fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", mirror)}
	for _, name := range append(further, "main.tf") {
		body, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(body)
	}
	for name, body := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &terraform{t, dir, append(s.clientEnv(),
		"TF_CLI_CONFIG_FILE="+filepath.Join(dir, "cli.tfrc"), "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1",
		"TF_VAR_endpoint="+s.API, "TF_VAR_image="+image)}
}

// run runs a command and fails the test unless it exits with code.
func (f *terraform) run(code int, greeting string, args ...string) string {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), "terraform", args...)
	cmd.Dir, cmd.Env = f.dir, append(f.env, "TF_VAR_greeting="+greeting)
	out, err := cmd.CombinedOutput()
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		f.t.Fatal(err)
	}
	if got != code {
		f.t.Fatalf("terraform %s exited with %d, want %d\n%s", args[0], got, code, out)
	}
	return string(out)
}

func (f *terraform) apply(greeting string) {
	f.t.Helper()
	f.run(0, greeting, "apply", "-auto-approve", "-input=false", "-no-color")
}

// plan's exit code is 0 when nothing is to be changed and 2 otherwise.
func (f *terraform) plan(code int, greeting string) {
	f.t.Helper()
	f.run(code, greeting, "plan", "-detailed-exitcode", "-input=false", "-no-color")
}

func (f *terraform) outputs() map[string]string {
	f.t.Helper()
	var values map[string]struct{ Value string }
	if err := json.Unmarshal([]byte(f.run(0, "", "output", "-json")), &values); err != nil {
		f.t.Fatal(err)
	}
	out := map[string]string{}
	for name, v := range values {
		out[name] = v.Value
	}
	return out
}

// TestTerraform applies a service, finds no drift, changes it, lets it be
// paused and resumed in between, and destroys it.
func TestTerraform(t *testing.T) {
	t.Parallel()
	s := serve(t)
	f := newTerraform(t, s, s.push(web(t, "1"), "terraform:latest"))
	f.run(0, "", "init", "-input=false", "-no-color")
	f.apply("one")
	out := f.outputs()
	arn, url, name := out["arn"], out["url"], "from-terraform"
	svc := &types.Service{ServiceArn: &arn, ServiceUrl: &url, ServiceName: &name}
	s.spread(svc, 2, "one")
	f.plan(0, "one")

	f.plan(2, "two")
	f.apply("two")
	s.spread(svc, 2, "two")

	pause, err := s.client().PauseService(t.Context(), &apprunner.PauseServiceInput{ServiceArn: &arn})
	if err != nil {
		t.Fatal(err)
	}
	s.succeeds(svc, *pause.OperationId)
	f.plan(0, "two") // being paused is no drift
	s.assertPaused(svc)
	resume, err := s.client().ResumeService(t.Context(), &apprunner.ResumeServiceInput{ServiceArn: &arn})
	if err != nil {
		t.Fatal(err)
	}
	s.succeeds(svc, *resume.OperationId)
	s.spread(svc, 2, "two")

	f.run(0, "two", "destroy", "-auto-approve", "-input=false", "-no-color")
	s.assertDeleted(svc)
}
