package deptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/openslipway/slipway"

// pkg is the output of `go list` for a package.
type pkg struct {
	ImportPath   string
	Name         string
	Dir          string
	Doc          string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Standard     bool
}

// inside returns the package's path below internal; "" for the root package,
// the whole path for a package elsewhere.
func (p pkg) inside() string { return inside(p.ImportPath) }

func inside(importPath string) string {
	if importPath == module {
		return ""
	}
	return strings.TrimPrefix(importPath, module+"/internal/")
}

func ours(importPath string) bool {
	return importPath == module || strings.HasPrefix(importPath, module+"/")
}

// packages returns all packages of the module.
var packages = sync.OnceValues(func() ([]pkg, error) { return list("./...") })

func list(args ...string) ([]pkg, error) {
	cmd := exec.Command("go", append([]string{"list", "-e", "-json"}, args...)...)
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.New(err.Error() + "\n" + stderr.String())
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
}

// mustPackages returns all packages of the module, and fails if there are
// suspiciously few: a rule checked against nothing always holds.
func mustPackages(t *testing.T) []pkg {
	t.Helper()
	all, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 5 {
		t.Fatalf("go list found only %d packages", len(all))
	}
	return all
}

// part returns the part of the product that a package belongs to: the package
// itself or its nearest parent with a rule.
func part(p string) (name string, ok bool) {
	for ; p != "."; p = path.Dir(p) {
		if _, ok := imports[p]; ok {
			return p, true
		}
	}
	return "", false
}

func TestImports(t *testing.T) {
	t.Parallel()
	for _, p := range mustPackages(t) {
		self := p.inside()
		for _, target := range p.Imports {
			if !ours(target) {
				continue
			}
			if reason := refuse(p.ImportPath, self, target); reason != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, target, reason)
			}
		}
	}
}

func TestWithout(t *testing.T) {
	t.Parallel()
	all := mustPackages(t)
	for _, rule := range without {
		i := slices.IndexFunc(all, func(p pkg) bool { return p.inside() == rule.part })
		if i < 0 {
			t.Errorf("the rule about %s: there is no such package", rule.part)
		} else if slices.Contains(all[i].Imports, rule.imports) {
			t.Errorf("%s imports %s: %s", all[i].ImportPath, rule.imports, rule.why)
		}
	}
}

// refuse says why a package must not import target; "" if it may.
func refuse(importPath, self, target string) string {
	if strings.HasPrefix(target, module+"/cmd/") {
		return "nothing imports a command"
	}
	if strings.HasPrefix(importPath, module+"/cmd/") {
		return ""
	}
	if importPath == module {
		return "the root package imports nothing of this module"
	}
	if strings.HasPrefix(importPath, module+"/e2e/") && (strings.HasPrefix(target, module+"/e2e/") || target == module+"/internal/sdkhttp" || strings.HasSuffix(target, "test")) {
		return ""
	}
	if self == importPath { // outside internal: examples, e2e, bench
		return "a program beside the product uses it from outside"
	}
	if target == module {
		return ""
	}
	from, ok := part(self)
	if !ok {
		return "the package has no import rule yet: add one to rules_test.go and run make docs"
	}
	to, ok := part(inside(target))
	switch {
	case !ok:
		return "its part has no rule"
	case from == to, slices.Contains(imports[from], "everything"), slices.Contains(leaves, to), slices.Contains(imports[from], to):
		return ""
	}
	return "not allowed by its import rule (internal/deptest/rules_test.go)"
}

// TestRefuse tests the checker with imports that the rules must refuse.
func TestRefuse(t *testing.T) {
	t.Parallel()
	for _, r := range []struct {
		from, to string
		ok       bool
	}{
		{"api", "store", true},
		{"api", "metrics", true},
		{"api", "operation", false},
		{"api", "store/storetest", true},
		{"metrics", "store", false},
		{"runtime/embedded", "runtime", true},
		{"runtime/embedded/netns", "runtime/embedded", true},
		{"runtime/embedded", "runtime/embedded/netns", true},
		{"runtime/embedded", "runtime/docker", false},
		{"runtime/embedded", "store", false},
		{"fleet", "runtime", true},
		{"fleet", "runtime/embedded", false},
		{"sigv4", "wire", false},
		{"daemon", "runtime/embedded", true},
		{"daemon", "nowhere", false},
		{"api", "daemon", false},
		{"nowhere", "store", false},
		{"api", "nowhere", false},
		{"image/imagetest", "image", false},
	} {
		got := refuse(module+"/internal/"+r.from, r.from, module+"/internal/"+r.to)
		if (got == "") != r.ok {
			t.Errorf("%s may import %s: %v, want %v (%q)", r.from, r.to, got == "", r.ok, got)
		}
	}
	if refuse(module+"/internal/cli", "cli", module+"/cmd/slipway") == "" {
		t.Error("a package may import a command")
	}
	if refuse(module+"/e2e/harness", module+"/e2e/harness", module+"/internal/store") == "" {
		t.Error("end-to-end tests may import what they test")
	}
	if reason := refuse(module+"/e2e/harness", module+"/e2e/harness", module+"/internal/image/imagetest"); reason != "" {
		t.Error("end-to-end tests may not import a package of test code: ", reason)
	}
	if refuse(module, "", module+"/internal/wire") == "" {
		t.Error("the vocabulary may import an internal package")
	}
}

// TestCommandsAreSmall keeps the server out of package main.
func TestCommandsAreSmall(t *testing.T) {
	t.Parallel()
	for _, p := range mustPackages(t) {
		if !strings.HasPrefix(p.ImportPath, module+"/cmd/") {
			continue
		}
		n := 0
		for _, target := range p.Imports {
			if ours(target) {
				n++
			}
		}
		if n > mostOfCommand {
			t.Errorf("%s imports %d packages of this module, %d at most", p.ImportPath, n, mostOfCommand)
		}
	}
}

// TestTestOnly keeps test suites and fakes out of the product.
func TestTestOnly(t *testing.T) {
	t.Parallel()
	for _, p := range mustPackages(t) {
		for _, target := range p.Imports {
			if ours(target) && strings.HasSuffix(target, "test") && !strings.HasSuffix(p.ImportPath, "test") && !strings.HasPrefix(p.ImportPath, module+"/e2e/") {
				t.Errorf("%s imports %s outside tests", p.ImportPath, target)
			}
		}
	}
}

func TestBinary(t *testing.T) {
	t.Parallel()
	all, err := list("-deps", "./cmd/...")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no packages below cmd")
	}
	for _, p := range all {
		for prefix, what := range forbidden {
			if p.ImportPath == prefix || strings.HasPrefix(p.ImportPath, prefix+"/") {
				t.Errorf("the binary holds %s: %s", p.ImportPath, what)
			}
		}
	}
}

// TestWithoutNetHTTP keeps net/http in the engine that is built on it.
func TestWithoutNetHTTP(t *testing.T) {
	t.Parallel()
	all, err := list("-deps", "./internal/router/http1")
	if err != nil {
		t.Fatal(err)
	}
	direct, err := list("./internal/router")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 5 || len(direct) != 1 {
		t.Fatalf("go list found %d and %d packages", len(all), len(direct))
	}
	for _, p := range all {
		if p.ImportPath == "net/http" {
			t.Error("router/http1 depends on net/http")
		}
	}
	if slices.Contains(direct[0].Imports, "net/http") {
		t.Error("router imports net/http: only router/proxy may")
	}
}

func TestPackageNames(t *testing.T) {
	t.Parallel()
	for _, p := range mustPackages(t) {
		for _, element := range strings.Split(strings.TrimPrefix(p.ImportPath, module), "/") {
			if slices.Contains(buckets, element) {
				t.Errorf("%s: %q says where code was put, not what it is", p.ImportPath, element)
			}
		}
	}
}

func TestPackageComments(t *testing.T) {
	t.Parallel()
	for _, p := range mustPackages(t) {
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
