package docstest

import (
	"go/ast"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	createRE = regexp.MustCompile(`(?i)\bCREATE TABLE (\w+)`)
	writeRE  = regexp.MustCompile(`(?i)\b(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)`)
	codeRE   = regexp.MustCompile("`([a-z/]+)`")
)

// TestWriters writes the list of the database's tables and of the packages that
// call a method of the store that writes them.
//
//nolint:paralleltest // blocks of one page
func TestWriters(t *testing.T) {
	b := newTable("table", "written by")
	all := writers(t)
	for _, table := range tables(t) {
		by := slices.Sorted(maps.Keys(all[table]))
		if len(by) == 0 {
			by = []string{"store"}
		}
		b.row("`"+table+"`", strings.Join(by, ", "))
	}
	checkBlock(t, "ARCHITECTURE.md", "tables", b.String())
}

// TestWritersAreNamed checks the table of writers, whose cells speak of columns and
// so are written by hand: every package that the generated list has for a table is
// named in it, and every package that it names exists.
func TestWritersAreNamed(t *testing.T) {
	t.Parallel()
	exists := map[string]bool{}
	for _, p := range packages(t) {
		exists[strings.TrimPrefix(p.path(), "internal/")] = true
	}
	found := map[string]bool{}
	for _, r := range rows(t, "ARCHITECTURE.md", "## Writers") {
		for _, m := range codeRE.FindAllStringSubmatch(r[1], -1) {
			found[m[1]] = true
			if !exists[m[1]] {
				t.Errorf("ARCHITECTURE.md: the writer of %q is %s, which does not exist: name its new place", r[0], m[1])
			}
		}
	}
	for table, all := range writers(t) {
		for p := range all {
			if !found[p] {
				t.Errorf("ARCHITECTURE.md: %s writes the table %s, but the table of writers does not name it", p, table)
			}
		}
	}
}

// writers returns the packages that call a method that writes a table, by table.
func writers(t *testing.T) map[string]map[string]bool {
	t.Helper()
	written := writes(t)
	all := map[string]map[string]bool{}
	for _, f := range product(t) {
		if f.dir == "internal/store" {
			continue
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && (named(sel.X, "tx") || ofTx(sel.X)) {
				for table := range written[sel.Sel.Name] {
					put(all, table, strings.TrimPrefix(f.dir, "internal/"))
				}
			}
			return true
		})
	}
	return all
}

// named reports whether the expression is the variable: transactions are called tx
// everywhere.
func named(e ast.Expr, variable string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == variable
}

// ofTx reports whether the expression is the type in a method expression such as
// (*store.Tx).SaveAutoScaling.
func ofTx(e ast.Expr) bool {
	paren, ok := e.(*ast.ParenExpr)
	if !ok {
		return false
	}
	star, ok := paren.X.(*ast.StarExpr)
	if !ok {
		return false
	}
	sel, ok := star.X.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "Tx"
}

func put(m map[string]map[string]bool, key, value string) {
	if m[key] == nil {
		m[key] = map[string]bool{}
	}
	m[key][value] = true
}

// tables returns the tables that the migrations create, in order.
func tables(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "internal/store/migrations/*.sql"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("found %d migrations: %v", len(paths), err)
	}
	var all []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range createRE.FindAllStringSubmatch(string(text), -1) {
			all = append(all, m[1])
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// writes returns which tables each exported method of the store's transactions
// writes, itself or through other functions of the store.
func writes(t *testing.T) map[string]map[string]bool {
	t.Helper()
	known := tables(t)
	bodies := map[string]*ast.FuncDecl{}
	for _, f := range product(t) {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.dir == "internal/store" {
				bodies[fn.Name.Name] = fn
			}
		}
	}
	all := map[string]map[string]bool{}
	var visit func(method, name string, seen map[string]bool)
	visit = func(method, name string, seen map[string]bool) {
		if bodies[name] == nil || seen[name] {
			return
		}
		seen[name] = true
		ast.Inspect(bodies[name], func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				s, _ := text(n)
				for _, m := range writeRE.FindAllStringSubmatch(s, -1) {
					if slices.Contains(known, m[1]) {
						put(all, method, m[1])
					}
				}
			case *ast.SelectorExpr:
				if named(n.X, "tx") {
					visit(method, n.Sel.Name, seen)
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok {
					visit(method, id.Name, seen)
				}
			}
			return true
		})
	}
	for name := range bodies {
		if ast.IsExported(name) {
			visit(name, name, map[string]bool{})
		}
	}
	if len(all) < 20 {
		t.Fatalf("found only %d methods of the store that write: adapt this test", len(all))
	}
	return all
}
