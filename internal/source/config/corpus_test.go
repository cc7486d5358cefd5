package config_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/source/config"
)

var update = flag.Bool("update", false, "write golden files anew")

// credentials are what the corpus names by a word, so that no file of this repository
// holds what scanners of repositories take for a live credential. All are made up.
var credentials = []struct{ word, value string }{
	{"@AWS@", "AKIA" + "Q3EGRIHNJ5VXK7WA"},
	{"@AWSSECRET@", "wJ7rXUtnFEMI" + "/K7MDENGbPxRfiCYzQkW9sTuVa"},
	{"@GITHUB@", "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"},
	{"@GITLAB@", "glpat-" + "a1B2c3D4e5F6g7H8i9J0"},
	{"@SLACK@", "xoxb-" + "2314567890-2314567890123-a1B2c3D4e5F6g7H8i9J0k1L2"},
	{"@GOOGLE@", "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q"},
	{"@STRIPE@", "sk_" + "live_51Hx8Kf2eZvKYlo2Cq9dT4mN7"},
	{"@NPM@", "npm_" + "aB3dE5gH7jK9mN1pQ3sT5vX7zA9cE1gI3kM5"},
	{"@JWT@", "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"},
	{"@WORD@", "Tr0ub4dor&3"},
	{"@RANDOM@", "8f3kd92jf7sl20dk"},
	{"@KEYLINE@", "MIIEowIBAAKCAQEAn3zVq0mYkT1"},
	{"@BEGINKEY@", "-----BEGIN RSA " + "PRIVATE KEY-----"},
	{"@ENDKEY@", "-----END RSA " + "PRIVATE KEY-----"},
}

func withCredentials(s string) string {
	for _, c := range credentials {
		s = strings.ReplaceAll(s, c.word, c.value)
	}
	return s
}

func withoutCredentials(s string) string {
	for _, c := range credentials {
		s = strings.ReplaceAll(s, c.value, c.word)
	}
	return s
}

// golden describes a file for people: its findings, what the repairs make of it, and
// what is read from it.
func golden(name string, data []byte) string {
	var b strings.Builder
	file, findings := config.Parse(name, data)
	writeFindings(&b, findings)
	fixed := config.ApplyFixes(name, data)
	if len(fixed.Applied) > 0 {
		fmt.Fprintf(&b, "\n-- repaired: %s --\n%s", filepath.Base(fixed.Name), fixed.Data)
		if !bytes.HasSuffix(fixed.Data, []byte("\n")) {
			b.WriteString("(no line break)\n")
		}
		var left []config.Finding
		file, left = config.Parse(fixed.Name, fixed.Data)
		b.WriteString("\n-- left --\n")
		writeFindings(&b, left)
		findings = left
	}
	if !config.HasErrors(findings) {
		doc, _ := json.MarshalIndent(file, "", "  ")
		fmt.Fprintf(&b, "\n-- read --\n%s\n", doc)
	}
	return b.String()
}

func writeFindings(b *strings.Builder, findings []config.Finding) {
	for _, f := range findings {
		fmt.Fprintf(b, "%d:%d: %s: %s [%s]\n", f.Line, f.Column, f.Severity, f.Message, f.Code)
		if f.Fix != nil {
			fmt.Fprintf(b, "    fix: %s\n", f.Fix.Title)
		}
	}
	if len(findings) == 0 {
		b.WriteString("no findings\n")
	}
}

// TestCorpus compares the findings and repairs of every file of the corpus with its
// golden file; -update writes them anew.
func TestCorpus(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimPrefix(file, "testdata/"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			data = []byte(withCredentials(string(data)))
			got := withoutCredentials(golden(config.FileName, data))
			_, findings := config.Parse(config.FileName, data)
			noCredentials(t, findings)
			good := strings.HasPrefix(file, "testdata/good/")
			if good && len(findings) > 0 {
				t.Errorf("findings in a file that is right:\n%s", got)
			}
			if !good && len(findings) == 0 {
				t.Error("no findings in a file with a mistake")
			}
			compare(t, strings.TrimSuffix(file, ".yaml")+".golden", got)
		})
	}
}

// noCredentials fails if a text for people holds a part of a credential.
func noCredentials(t *testing.T, findings []config.Finding) {
	t.Helper()
	for _, f := range findings {
		texts := f.Message
		if f.Fix != nil {
			texts += f.Fix.Title
		}
		for _, c := range credentials {
			if strings.Contains(texts, c.value) || c.word != "@BEGINKEY@" && strings.Contains(texts, c.value[len(c.value)/2:]) {
				t.Errorf("a finding holds the credential %s: %d:%d [%s]", c.word, f.Line, f.Column, f.Code)
			}
		}
	}
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-update writes it anew):\n%s", file, diff)
	}
}
