package docstest

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the generated blocks of the pages")

const root = "../.."

// readPage returns a page by its path below the repository's root.
func readPage(t *testing.T, page string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// checkBlock compares a generated block of a page with content; -update replaces
// it. Tests that call it are not parallel: several blocks are in one page.
func checkBlock(t *testing.T, page, name, content string) {
	t.Helper()
	begin, end := "<!-- "+name+": written by make docs -->\n", "<!-- end of "+name+" -->\n"
	text := readPage(t, page)
	before, rest, ok := strings.Cut(text, begin)
	have, after, found := strings.Cut(rest, end)
	if !ok || !found {
		t.Fatalf("%s has no block between\n%sand\n%s", page, begin, end)
	}
	if have == content {
		return
	}
	if *update {
		if err := os.WriteFile(filepath.Join(root, page), []byte(before+begin+content+end+after), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s: the block %q differs from the code; run `make docs` to rewrite it:\n%s", page, name, cmp.Diff(have, content))
}

// table is a Markdown table.
type table struct{ strings.Builder }

func newTable(heads ...string) *table {
	t := &table{}
	t.row(heads...)
	t.WriteString(strings.Repeat("|---", len(heads)) + "|\n")
	return t
}

func (t *table) row(cells ...string) { t.WriteString("| " + strings.Join(cells, " | ") + " |\n") }

// rows returns the cells of the first table after a heading of a page, without
// the table's head.
func rows(t *testing.T, page, heading string) [][]string {
	t.Helper()
	_, rest, ok := strings.Cut(readPage(t, page), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no heading %q", page, heading)
	}
	var all [][]string
	for line := range strings.Lines(rest) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			if len(all) > 0 || strings.HasPrefix(line, "#") {
				break
			}
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), " | ")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		all = append(all, cells)
	}
	if len(all) < 3 {
		t.Fatalf("%s has no table below %q", page, heading)
	}
	return all[2:]
}
