package deptest

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// TestRetiredWords refuses identifiers made of words that the glossary has
// retired in their package.
func TestRetiredWords(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/glossary.md")
	if err != nil {
		t.Fatal(err)
	}
	retired := retiredWords(string(text))
	if len(retired) < 5 {
		t.Fatalf("docs/glossary.md has %d rows of retired words: is the table still there?", len(retired))
	}
	for where := range retired {
		if _, err := os.Stat(filepath.Join("../..", where)); err != nil && where != "everywhere" {
			t.Errorf("docs/glossary.md retires words in %s, which does not exist: name its new place", where)
		}
	}
	for _, s := range sources(t) {
		for where, words := range retired {
			if where == "everywhere" || s.in(where) {
				s.refuseWords(t, words)
			}
		}
	}
}

// in reports whether the file is in the directory or below it.
func (s source) in(dir string) bool { return strings.HasPrefix(s.name, dir+"/") }

func (s source) refuseWords(t *testing.T, words []string) {
	t.Helper()
	for _, id := range declared(s.file) {
		for _, w := range wordsOf(id.Name) {
			if slices.Contains(words, w) {
				t.Errorf("%s:%d: identifier %s holds %q, a retired word: docs/glossary.md has the term to use",
					s.name, s.line(id.Pos()), id.Name, w)
			}
		}
	}
}

// retiredWords reads the glossary's last table: directory -> words.
func retiredWords(text string) map[string][]string {
	_, table, _ := strings.Cut(text, "\n## Retired words\n")
	retired := map[string][]string{}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 2 || strings.HasPrefix(cells[0], "---") || strings.TrimSpace(cells[0]) == "where" {
			continue
		}
		for w := range strings.SplitSeq(cells[1], ",") {
			where := strings.TrimSpace(cells[0])
			retired[where] = append(retired[where], strings.TrimSpace(w))
		}
	}
	return retired
}

// TestGlossaryNamesCode checks that what the glossary's column "in code" names
// exists: directories, and exported identifiers as package.Name.
func TestGlossaryNamesCode(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/glossary.md")
	if err != nil {
		t.Fatal(err)
	}
	exported := exportedNames(t)
	found := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 7 {
			continue
		}
		name := strings.Trim(strings.TrimSpace(cells[3]), "`")
		if name == "" || name == "in code" || strings.HasPrefix(name, "---") {
			continue
		}
		found++
		_, err := os.Stat(filepath.Join("../..", name))
		if !exported[name] && (err != nil || !strings.Contains(name, "/")) {
			t.Errorf("docs/glossary.md: there is no %s in the code: change the row of %q", name, strings.TrimSpace(cells[1]))
		}
	}
	if found < 20 {
		t.Fatalf("docs/glossary.md has %d rows that name code: is the column still there?", found)
	}
}

// exportedNames returns the product's exported types and functions as
// package.Name.
func exportedNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, s := range sources(t) {
		if !s.product() {
			continue
		}
		for _, id := range declared(s.file) {
			if id.IsExported() {
				names[s.pkg.Name+"."+id.Name] = true
			}
		}
	}
	return names
}

// declared returns the identifiers that a file declares: packages' and local
// ones, fields, parameters and methods.
func declared(f *ast.File) []*ast.Ident {
	ids := []*ast.Ident{f.Name}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			ids = append(ids, n.Name)
		case *ast.TypeSpec:
			ids = append(ids, n.Name)
		case *ast.ValueSpec:
			ids = append(ids, n.Names...)
		case *ast.Field:
			ids = append(ids, n.Names...)
		case *ast.AssignStmt:
			ids = append(ids, defined(n.Tok, n.Lhs...)...)
		case *ast.RangeStmt:
			ids = append(ids, defined(n.Tok, n.Key, n.Value)...)
		}
		return true
	})
	return ids
}

// defined returns the identifiers on the left of a := statement.
func defined(tok token.Token, left ...ast.Expr) []*ast.Ident {
	var ids []*ast.Ident
	for _, x := range left {
		if id, ok := x.(*ast.Ident); ok && tok == token.DEFINE {
			ids = append(ids, id)
		}
	}
	return ids
}

// wordsOf splits an identifier into its words, in lower case.
func wordsOf(identifier string) []string {
	var words []string
	start := 0
	runes := []rune(identifier)
	for i := 1; i <= len(runes); i++ {
		if i < len(runes) && !boundary(runes, i) {
			continue
		}
		if w := strings.Trim(string(runes[start:i]), "_"); w != "" {
			words = append(words, strings.ToLower(w))
		}
		start = i
	}
	return words
}

// boundary reports whether a new word begins at runes[i]: at an underscore, at
// a capital after a small letter, and at the last capital of an acronym that
// small letters follow.
func boundary(runes []rune, i int) bool {
	if runes[i] == '_' {
		return true
	}
	if !unicode.IsUpper(runes[i]) {
		return false
	}
	return !unicode.IsUpper(runes[i-1]) || (i+1 < len(runes) && unicode.IsLower(runes[i+1]))
}

func TestWordsOf(t *testing.T) {
	t.Parallel()
	for identifier, want := range map[string][]string{
		"yard":       {"yard"},
		"newYard":    {"new", "yard"},
		"VPCYard":    {"vpc", "yard"},
		"yardSize":   {"yard", "size"},
		"with_Yard2": {"with", "yard2"},
	} {
		if got := wordsOf(identifier); !slices.Equal(got, want) {
			t.Errorf("wordsOf(%q) = %q, want %q", identifier, got, want)
		}
	}
}
