package docstest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	linkRE = regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)
	pathRE = regexp.MustCompile("`((?:internal|cmd|docs|scripts|examples|e2e|bench)/[A-Za-z0-9_./-]*[A-Za-z0-9_-])`")
)

// pages returns the repository's Markdown files.
func pages(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (name == "node_modules" || name == "testdata" || name == "bin" || name == "tmp" || (strings.HasPrefix(name, ".") && name != ".github")) {
			return fs.SkipDir
		}
		if strings.HasSuffix(name, ".md") {
			rel, err := filepath.Rel(root, path)
			all = append(all, rel)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestLinks checks that relative links of the pages, and the paths that they
// name, exist.
func TestLinks(t *testing.T) {
	t.Parallel()
	all := pages(t)
	if len(all) < 10 {
		t.Fatalf("found only %d pages", len(all))
	}
	for _, page := range all {
		text := readPage(t, page)
		for _, m := range linkRE.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s, which does not exist: fix the link", page, m[1])
			}
		}
		if strings.HasPrefix(page, "docs/adr/") || page == "CHANGELOG.md" {
			continue // history
		}
		for _, m := range pathRE.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s names %s, which does not exist: name its new place", page, m[1])
			}
		}
	}
}

// TestDecisionsAreListed checks that docs/adr/README.md lists every decision, in
// order, and that no two decisions have one number.
func TestDecisionsAreListed(t *testing.T) {
	t.Parallel()
	index := readPage(t, "docs/adr/README.md")
	decisions, err := filepath.Glob(filepath.Join(root, "docs/adr/[0-9]*.md"))
	if err != nil || len(decisions) == 0 {
		t.Fatalf("found %d decisions: %v", len(decisions), err)
	}
	last, at := "", 0
	for _, path := range decisions {
		name := filepath.Base(path)
		number, _, _ := strings.Cut(name, "-")
		if number == last {
			t.Errorf("two decisions have the number %s: renumber the later one", number)
		}
		last = number
		i := strings.Index(index, "| ["+number+"]("+name+") |")
		switch {
		case i < 0:
			t.Errorf("docs/adr/README.md does not list %s: add a row", name)
		case i < at:
			t.Errorf("docs/adr/README.md lists %s too early: order the rows by number", name)
		}
		at = max(at, i)
	}
}
