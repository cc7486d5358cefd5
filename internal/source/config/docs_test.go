package config_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/source/config"
)

const page = "../../../docs/apprunner-yaml.md"

// TestPageListsRuntimes keeps the table of runtimes what the code says; -update writes
// it anew.
func TestPageListsRuntimes(t *testing.T) {
	t.Parallel()
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| runtime | is | App Runner's API | build |\n|---|---|---|---|\n")
	for _, r := range config.Runtimes() {
		api := "beyond App Runner"
		if r.AppRunner() {
			api = "`" + r.API + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.Name, r.Title, api, r.Build)
	}
	block := regexp.MustCompile(`(?s)(<!-- runtimes: [^>]*-->\n).*(<!-- end -->)`)
	want := block.ReplaceAllString(string(have), "${1}"+b.String()+"${2}")
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(have), want); diff != "" {
		t.Errorf("%s is not current (-update writes it anew):\n%s", page, diff)
	}
}

// TestPageListsCodes keeps the list of codes complete.
func TestPageListsCodes(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("file.go")
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile(`(?m)^\tCode\w+\s+= "([a-z-]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(codes) < 25 {
		t.Fatalf("only %d codes found", len(codes))
	}
	for _, c := range codes {
		if !strings.Contains(string(have), "| `"+c[1]+"` |") {
			t.Errorf("%s lacks the code %s", page, c[1])
		}
	}
}
