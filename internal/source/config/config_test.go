package config_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/source/config"
)

const minimal = "version: 1.0\nruntime: nodejs22\nbuild:\n  commands:\n    build:\n      - npm ci\nrun:\n  command: node server.js\n"

// TestRuntimesAreTheModels compares the table with the enum of the service model.
func TestRuntimesAreTheModels(t *testing.T) {
	t.Parallel()
	known := map[types.Runtime]bool{}
	for _, r := range config.Runtimes() {
		if r.AppRunner() {
			known[types.Runtime(r.API)] = true
		}
		if got := config.GuessRuntime(r.Name); got.Runtime.Name != r.Name || !got.Certain {
			t.Errorf("%s is taken for %+v", r.Name, got)
		}
		for _, line := range r.Lines {
			if form, has := r.Accepts(line); !form || !has {
				t.Errorf("%s does not accept its own version %s", r.Name, line)
			}
		}
	}
	for _, v := range types.Runtime("").Values() {
		if !known[v] {
			t.Errorf("the table lacks %s", v)
		}
		delete(known, v)
	}
	if len(known) > 0 {
		t.Errorf("the model does not have %v", known)
	}
}

func TestGuessRuntime(t *testing.T) {
	t.Parallel()
	for _, r := range []struct {
		text, name, version string
		certain             bool
	}{
		{"python3.11", "python311", "", true},
		{"Python 3.12", "python312", "", true},
		{"python-3.13.1", "python313", "3.13.1", true},
		{"python38", "python3", "", true},
		{"python3.7", "python3", "3.7", true},
		{"PYTHON_3", "python3", "", true},
		{"python", "python311", "", false},
		{"node", "nodejs22", "", false},
		{"node.js 20", "nodejs20", "", true},
		{"nodejs18.x", "nodejs18", "", true},
		{"node:18-alpine", "nodejs18", "", true},
		{"Node 18.17.0", "nodejs18", "18.17.0", true},
		{"nodejs10", "nodejs22", "", false},
		{"java", "corretto11", "", false},
		{"java 17", "corretto17", "", true},
		{"openjdk-11", "corretto11", "", true},
		{"go", "go1", "", true},
		{"golang:1.22", "go1", "1.22", true},
		{"go122", "go1", "1.22", true},
		{".NET 8", "dotnet8", "", true},
		{"dotnetcore3.1", "dotnet6", "", false},
		{"php8.3", "php83", "", true},
		{"php 8", "php81", "", false},
		{"Ruby 3.1", "ruby31", "", true},
		{"docker", "docker", "", true},
		{"Dockerfile", "docker", "", true},
		{"cobol", "", "", false},
		{"", "", "", false},
		{"!!", "", "", false},
		{strings.Repeat("9", 5000), "", "", false},
	} {
		if got := config.GuessRuntime(r.text); got.Runtime.Name != r.name || got.Version != r.version || got.Certain != r.certain {
			t.Errorf("%q is taken for %s, version %q, certain %v", r.text, got.Runtime.Name, got.Version, got.Certain)
		}
	}
}

func TestAccepts(t *testing.T) {
	t.Parallel()
	for _, r := range []struct {
		runtime, version string
		form, has        bool
	}{
		{"python311", "3", true, true},
		{"python311", "3.11", true, true},
		{"python311", "3.11.14", true, true},
		{"python311", "3.11.14.1", true, false},
		{"python311", "3.1", true, false},
		{"python3", "3.7", true, true},
		{"corretto11", "11.0.28.6.1", true, true},
		{"corretto11", "11", true, true},
		{"corretto8", "8.472.08.1", true, true},
		{"go1", "1.26", true, true},
		{"go1", "2", true, false},
		{"nodejs22", "v22", false, false},
		{"nodejs22", "", false, false},
		{"nodejs22", "22.", false, false},
		{"nodejs22", "22.99999999999999999999", false, false},
	} {
		runtime, _ := config.RuntimeNamed(r.runtime)
		if form, has := runtime.Accepts(r.version); form != r.form || has != r.has {
			t.Errorf("%s accepts %q: %v, %v", r.runtime, r.version, form, has)
		}
	}
}

func TestFileNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"apprunner.yaml", "/src/apprunner.yaml", "case-17.yaml", "config.yml"} {
		if _, findings := config.Parse(name, []byte(minimal)); len(findings) > 0 {
			t.Errorf("%s: %+v", name, findings)
		}
	}
	for _, name := range []string{"apprunner.yml", "a/b/apprunner.yml", "AppRunner.yaml", "app-runner.yaml", ".apprunner.yaml", "apprunner.yaml.txt", "apprunner"} {
		_, findings := config.Parse(name, []byte(minimal))
		if len(findings) != 1 || findings[0].Code != config.CodeFileName || findings[0].Severity != config.Warning {
			t.Errorf("%s: %+v", name, findings)
		}
		dir := name[:strings.LastIndex(name, "/")+1]
		if fixed := config.ApplyFixes(name, []byte(minimal)); fixed.Name != dir+config.FileName || string(fixed.Data) != minimal {
			t.Errorf("%s is renamed to %s", name, fixed.Name)
		}
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	_, findings := config.Parse(config.FileName, []byte(minimal+strings.Repeat("#", config.MaxSize)))
	if len(findings) != 1 || findings[0].Code != config.CodeTooLarge || findings[0].Severity != config.Error {
		t.Errorf("%+v", findings)
	}
}

// TestManyFindings bounds the findings, and repairs all the same.
func TestManyFindings(t *testing.T) {
	t.Parallel()
	text := minimal + "  env:\n" + strings.Repeat("    - =x\n", 250)
	_, findings := config.Parse(config.FileName, []byte(text))
	if n := len(findings); n != 201 || findings[200].Code != config.CodeTooMany || findings[200].Severity != config.Error {
		t.Errorf("%d findings, the last is %+v", n, findings[n-1])
	}
	var b strings.Builder
	b.WriteString(minimal + "  env:\n")
	for i := range 250 {
		b.WriteString("    - V" + strings.Repeat("I", i+1) + "=x\n")
	}
	fixed := config.ApplyFixes(config.FileName, []byte(b.String()))
	if _, left := config.Parse(config.FileName, fixed.Data); len(left) > 0 || len(fixed.Applied) != 250 {
		t.Errorf("%d repairs, %d findings left", len(fixed.Applied), len(left))
	}
}

func TestFromAPI(t *testing.T) {
	t.Parallel()
	got, findings := config.FromAPI(&types.CodeConfigurationValues{
		Runtime:      types.RuntimePython311,
		BuildCommand: aws.String("pip3 install -t lib flask && echo done"),
		StartCommand: aws.String(" python3 app.py "),
		Port:         aws.String("9000"),
		RuntimeEnvironmentVariables: map[string]string{
			"B": "2", "A": "1", "PORT": "80",
		},
		RuntimeEnvironmentSecrets: map[string]string{"S": "/shop/s"},
	})
	want := config.File{
		Runtime: "python311", Build: []string{"pip3 install -t lib flask && echo done"}, Command: "python3 app.py", Port: 9000,
		Env: []config.Variable{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}}, Secrets: []config.Variable{{Name: "S", Value: "/shop/s"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if config.HasErrors(findings) || len(findings) != 1 || findings[0].Code != config.CodePortVariable {
		t.Errorf("%+v", findings)
	}

	_, findings = config.FromAPI(&types.CodeConfigurationValues{
		Runtime: "COBOL_1", Port: aws.String("none"), RuntimeEnvironmentSecrets: map[string]string{"S": "hunter2 is the word"},
	})
	var codes []string
	for _, f := range findings {
		codes = append(codes, f.Code)
		if strings.Contains(f.Message, "hunter2") {
			t.Errorf("the message repeats a secret: %s", f.Message)
		}
	}
	if diff := cmp.Diff([]string{config.CodeRuntime, config.CodeMissing, config.CodePort, config.CodeSecret}, codes); diff != "" {
		t.Error(diff)
	}
	if _, findings = config.FromAPI(nil); !config.HasErrors(findings) {
		t.Error("nothing is accepted")
	}
}

// TestAPIAndFileAgree reads the same service from both.
func TestAPIAndFileAgree(t *testing.T) {
	t.Parallel()
	file, findings := config.Parse(config.FileName, []byte(minimal))
	api, more := config.FromAPI(&types.CodeConfigurationValues{
		Runtime: types.RuntimeNodejs22, BuildCommand: aws.String("npm ci"), StartCommand: aws.String("node server.js"),
	})
	if diff := cmp.Diff(file, api); diff != "" || len(findings)+len(more) > 0 {
		t.Errorf("%s%+v%+v", diff, findings, more)
	}
}

func TestRedactor(t *testing.T) {
	t.Parallel()
	r := config.NewRedactor([]byte(withCredentials("a: @GITHUB@\nDB_PASSWORD: '@WORD@'\n")))
	if got := r.Redact(withCredentials("x @GITHUB@ y @WORD@ z")); got != "x [redacted] y [redacted] z" {
		t.Error(withoutCredentials(got))
	}
}
