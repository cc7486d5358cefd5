package docstest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tableChange matches what a migration does to a table: create, drop or rename it.
var tableChange = regexp.MustCompile(`(?m)^(CREATE|DROP|ALTER) TABLE (\w+)(?: RENAME TO (\w+))?`)

// Every table of the database has a row in the list of what users can let grow, with a
// bound: a new table needs one before it can be filled.
//
//nolint:paralleltest // reads a page
func TestEveryTableHasABound(t *testing.T) {
	files, err := filepath.Glob("../store/migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	schema := map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		for _, m := range tableChange.FindAllStringSubmatch(up, -1) {
			switch {
			case m[1] == "CREATE":
				schema[m[2]] = true
			case m[1] == "DROP", m[3] != "":
				delete(schema, m[2])
			}
			if m[3] != "" {
				schema[m[3]] = true
			}
		}
	}
	if len(schema) < 30 {
		t.Fatalf("found only %d tables: adapt this test", len(schema))
	}
	bounds := map[string]string{}
	_, page, found := strings.Cut(readPage(t, operating), "| what | where | bound |\n")
	if !found {
		t.Fatal("the list is not in " + operating)
	}
	page, _, _ = strings.Cut(page, "\n\n")
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 {
			t.Fatalf("a row has %d cells: %s", len(cells), line)
		}
		for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[1], -1) {
			bounds[m[1]] = strings.TrimSpace(cells[2])
		}
	}
	for name := range schema {
		if b := bounds[name]; b == "" || strings.HasPrefix(b, "none") || strings.HasPrefix(b, "no bound") {
			t.Errorf("%s: the table %s has the bound %q; state one, or make one", operating, name, b)
		}
	}
	for name := range bounds {
		if !schema[name] && !slices.Contains([]string{"tmp"}, name) {
			t.Errorf("%s: there is no table %s", operating, name)
		}
	}
}
