package harness

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// NewTerraform makes a directory with the configuration files of another directory.
func NewTerraform(t testing.TB, s *Server, from string) *Terraform {
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
	sources, err := filepath.Glob(filepath.Join(from, "*.tf"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("no configuration in %s: %v", from, err)
	}
	for _, source := range sources {
		body, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(source)] = string(body)
	}
	for name, body := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &Terraform{t, dir, append(s.ClientEnv(),
		"TF_CLI_CONFIG_FILE="+filepath.Join(dir, "cli.tfrc"), "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1",
		"TF_VAR_endpoint="+s.API)}
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

// Apply applies the configuration and returns Terraform's output.
func (f *Terraform) Apply(greeting string) string {
	f.T.Helper()
	return f.Run(0, greeting, "apply", "-auto-approve", "-input=false", "-no-color")
}

// Change applies the configuration and fails if nothing changed.
func (f *Terraform) Change(greeting string) {
	f.T.Helper()
	out := f.Apply(greeting)
	if !strings.Contains(out, "Apply complete! Resources: ") || strings.Contains(out, "0 added, 0 changed, 0 destroyed") {
		f.T.Fatalf("terraform apply changed nothing\n%s", out)
	}
}

// Reimport removes resources from the state and imports them by their ids, all in
// one run, since each run loads the provider for some ten seconds. It fails unless
// exactly so many imported resources differ from their configuration: those with
// members that only Terraform knows. ids is by address.
func (f *Terraform) Reimport(greeting string, ids map[string]string, differ int) {
	f.T.Helper()
	f.Run(0, greeting, append([]string{"state", "rm"}, slices.Sorted(maps.Keys(ids))...)...)
	var imports strings.Builder
	for address, id := range ids {
		fmt.Fprintf(&imports, "import {\n  to = %s\n  id = %q\n}\n", address, id)
	}
	file := filepath.Join(f.Dir, "import.tf")
	if err := os.WriteFile(file, []byte(imports.String()), 0o600); err != nil {
		f.T.Fatal(err)
	}
	out := f.Apply(greeting)
	if want := fmt.Sprintf("Apply complete! Resources: %d imported, 0 added, %d changed, 0 destroyed.", len(ids), differ); !strings.Contains(out, want) {
		f.T.Errorf("importing %v: want %q\n%s", ids, want, out)
	}
	if err := os.Remove(file); err != nil { // of resources that another run destroys
		f.T.Fatal(err)
	}
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
