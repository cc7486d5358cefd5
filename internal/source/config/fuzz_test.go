package config_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/source/config"
)

func addCorpus(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(withCredentials(string(data))))
	}
}

// FuzzParse looks for texts that Parse fails on, and findings outside of the text.
func FuzzParse(f *testing.F) {
	addCorpus(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		file, findings := config.Parse(config.FileName, data)
		lines := bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")) + bytes.Count(data, []byte("\u0085")) + bytes.Count(data, []byte("\u2028")) + bytes.Count(data, []byte("\u2029")) + 1
		for _, finding := range findings {
			if finding.Line < 1 || finding.Line > lines || finding.Column < 1 || finding.Message == "" || finding.Code == "" || !utf8.ValidString(finding.Message) {
				t.Errorf("%d lines: %+v", lines, finding)
			}
			if finding.Fix != nil {
				for _, e := range finding.Fix.Edits {
					if e.Start < 0 || e.End < e.Start || e.End > len(data) {
						t.Errorf("edit %+v of %+v", e, finding)
					}
				}
			}
		}
		noTokens(t, data, findings)
		if config.HasErrors(findings) {
			return
		}
		if _, ok := config.RuntimeNamed(file.Runtime); !ok {
			t.Errorf("no findings, but the runtime is %q", file.Runtime)
		}
		if file.Command == "" && file.Runtime != config.Docker || file.Port < 0 || file.Port > 65535 {
			t.Errorf("no findings, but %+v", file)
		}
	})
}

// noTokens fails if a finding holds a credential whose form shows it, and that stands
// by itself wherever it is in the text: parts of one, and ones that other characters
// became a part of, are none.
func noTokens(t *testing.T, data []byte, findings []config.Finding) {
	t.Helper()
	for _, c := range credentials {
		switch c.word {
		case "@AWSSECRET@", "@WORD@", "@RANDOM@", "@KEYLINE@", "@BEGINKEY@", "@ENDKEY@":
			continue
		}
		whole := regexp.MustCompile(`(?:^|[\s"'])` + regexp.QuoteMeta(c.value) + `(?:$|[\s"'])`)
		if len(whole.FindAll(data, -1)) != bytes.Count(data, []byte(c.value)) {
			continue
		}
		for _, f := range findings {
			if strings.Contains(f.Message, c.value) {
				t.Errorf("a finding holds the credential %s: %d:%d [%s]", c.word, f.Line, f.Column, f.Code)
			}
		}
	}
}

// FuzzApplyFixes looks for texts that a repair makes worse, that it changes the
// meaning of, or that a second repair changes again.
func FuzzApplyFixes(f *testing.F) {
	addCorpus(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		before, findings := config.Parse(config.FileName, data)
		fixed := config.ApplyFixes(config.FileName, data)
		after, left := config.Parse(fixed.Name, fixed.Data)
		if !hidden(findings) && errors(left) > errors(findings) {
			t.Errorf("%d errors became %d:\n%s", errors(findings), errors(left), fixed.Data)
		}
		if len(fixed.Applied) == 0 && !bytes.Equal(fixed.Data, data) {
			t.Error("the text changed without a repair")
		}
		if again := config.ApplyFixes(fixed.Name, fixed.Data); len(again.Applied) > 0 {
			t.Errorf("a second repair finds %+v", again.Applied)
		}
		if config.HasErrors(findings) {
			return
		}
		// A file that could be used says the same after its repair, but for what the
		// repairs of commands are about.
		for _, f := range []*config.File{&before, &after} {
			f.PreRun, f.PreBuild, f.Build, f.PostBuild, f.Command = nil, nil, nil, nil, ""
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("the repair changed the meaning:\n%s\n%s", diff, fixed.Data)
		}
	})
}

func errors(findings []config.Finding) int {
	n := 0
	for _, f := range findings {
		if f.Severity == config.Error {
			n++
		}
	}
	return n
}

// hidden reports whether a finding kept others from being found.
func hidden(findings []config.Finding) bool {
	for _, f := range findings {
		switch f.Code {
		case config.CodeSyntax, config.CodeEncoding, config.CodeOtherFormat, config.CodeEmpty, config.CodeTooMany:
			return true
		}
	}
	return false
}
