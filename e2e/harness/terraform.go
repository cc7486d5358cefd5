package harness

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mirrors are directories that may hold Terraform's AWS provider, so that it need
// not be downloaded. TF_PLUGIN_MIRROR names another one.
var mirrors = []string{os.Getenv("TF_PLUGIN_MIRROR"), "/opt/*", "/usr/share/terraform/*", "/usr/local/share/terraform/plugins", "/root/.terraform.d/plugins"}

// Terraform runs Terraform in a directory of its own.
type Terraform struct {
	T   testing.TB
	Dir string
	Env []string
}

// NewTerraform makes a directory with main.tf and further files of
// testdata/service.
func NewTerraform(t testing.TB, s *Server, image string, further ...string) *Terraform {
	t.Helper()
	return NewTerraformIn(t, s, image, "testdata/service", further...)
}

// NewTerraformIn is NewTerraform with the files of another directory.
func NewTerraformIn(t testing.TB, s *Server, image, from string, further ...string) *Terraform {
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
	return &Terraform{t, dir, append(s.ClientEnv(),
		"TF_CLI_CONFIG_FILE="+filepath.Join(dir, "cli.tfrc"), "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1",
		"TF_VAR_endpoint="+s.API, "TF_VAR_image="+image)}
}

// Run runs a command and fails the test unless it exits with code.
func (f *Terraform) Run(code int, greeting string, args ...string) string {
	f.T.Helper()
	cmd := exec.CommandContext(f.T.Context(), "terraform", args...)
	cmd.Dir, cmd.Env = f.Dir, append(f.Env, "TF_VAR_greeting="+greeting)
	out, err := cmd.CombinedOutput()
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		f.T.Fatal(err)
	}
	if got != code {
		f.T.Fatalf("terraform %s exited with %d, want %d\n%s", args[0], got, code, out)
	}
	return string(out)
}

// Apply applies the configuration.
func (f *Terraform) Apply(greeting string) {
	f.T.Helper()
	f.Run(0, greeting, "apply", "-auto-approve", "-input=false", "-no-color")
}

// Plan plans and checks the exit code: 0 when there is nothing to change, 2
// otherwise.
func (f *Terraform) Plan(code int, greeting string) {
	f.T.Helper()
	f.Run(code, greeting, "plan", "-detailed-exitcode", "-input=false", "-no-color")
}

// Outputs returns the outputs.
func (f *Terraform) Outputs() map[string]string {
	f.T.Helper()
	var values map[string]struct{ Value string }
	if err := json.Unmarshal([]byte(f.Run(0, "", "output", "-json")), &values); err != nil {
		f.T.Fatal(err)
	}
	out := map[string]string{}
	for name, v := range values {
		out[name] = v.Value
	}
	return out
}
