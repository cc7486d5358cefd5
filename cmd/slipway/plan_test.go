package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sourceTree writes files into a new directory.
func sourceTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const flaskApp = "from flask import Flask\n\napp = Flask(__name__)\n"

func TestPlan(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	dir := sourceTree(t, map[string]string{"requirements.txt": "flask==3.0.3\ngunicorn==22.0.0\n", "app.py": flaskApp})
	s.runAs("plan shop", "plan", dir)
	s.runAs("plan shop --json", "plan", dir, "--json")
	s.runAs("plan nowhere", "plan", filepath.Join(dir, "nowhere"))
	s.runAs("plan shop --choose colour=red", "plan", dir, "--choose", "colour=red")
	s.runAs("plan empty", "plan", t.TempDir())
	s.golden()
	if len(s.server.calls) != 0 {
		t.Errorf("the server was called: %v", s.server.calls)
	}
}

// The values of variables in a configuration are never printed.
func TestPlanHidesValues(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	dir := sourceTree(t, map[string]string{"apprunner.yaml": `version: 1.0
runtime: nodejs22
build:
  commands:
    build: [npm ci]
  env:
    - {name: MODE, value: "hidden-one"}
run:
  command: node server.js
  env:
    - {name: STAGE, value: "hidden-two"}
  secrets:
    - {name: DB, value-from: "arn:aws:secretsmanager:eu-west-1:111122223333:secret:hidden-three"}
`})
	for _, args := range [][]string{{"plan", dir}, {"plan", dir, "--json"}} {
		code, out, errs := s.quietly(t.Context(), args...)
		if code != 0 || strings.Contains(out+errs, "hidden") {
			t.Errorf("%v: exit %d\n%s%s", args, code, out, errs)
		}
		for _, name := range []string{"MODE", "STAGE", "DB", "apprunner.yaml is there and wins"} {
			if !strings.Contains(out, name) {
				t.Errorf("%v does not print %s:\n%s", args, name, out)
			}
		}
	}
}

func TestInit(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	dir := sourceTree(t, map[string]string{
		"go.mod": "module example.com/shop\n\ngo 1.22\n", "cmd/shop/main.go": "package main\n\nfunc main() {}\n", "cmd/admin/main.go": "package main\n\nfunc main() {}\n",
	})
	s.runAs("init shop", "init", dir)
	if _, err := os.Stat(filepath.Join(dir, "apprunner.yaml")); err == nil {
		t.Error("a file was written although the choice is open")
	}
	s.runAs("init shop --choose main=./cmd/shop", "init", dir, "--choose", "main=./cmd/shop")
	first, err := os.ReadFile(filepath.Join(dir, "apprunner.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.transcript.Write(first)
	s.transcript.WriteString("\n")
	s.runAs("init shop", "init", dir)
	s.runAs("lint shop", "lint", dir)
	s.runAs("init shop --force --choose main=./cmd/admin", "init", dir, "--force", "--choose", "main=./cmd/admin")
	second, err := os.ReadFile(filepath.Join(dir, "apprunner.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.ReplaceAll(string(first), "./cmd/shop", "./cmd/admin"); want != string(second) {
		t.Error(cmp.Diff(want, string(second)))
	}
	text := strings.ReplaceAll(s.transcript.String(), dir, "shop")
	s.transcript.Reset()
	s.transcript.WriteString(text)
	s.golden()
}
