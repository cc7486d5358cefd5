package deptest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	maxFile = 800 // lines
	maxFunc = 60  // lines; tests and functions of one statement are exempt: tables are long
)

// source is one parsed Go file of the module.
type source struct {
	pkg  pkg
	name string // path below the module's root
	test bool
	fset *token.FileSet
	file *ast.File
}

// sources returns all of the module's Go files.
func sources(t *testing.T) []source {
	t.Helper()
	mustPackages(t)
	all, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var parsed = sync.OnceValues(func() (all []source, err error) {
	packages, err := packages()
	if err != nil {
		return nil, err
	}
	for _, p := range packages {
		for i, names := range [][]string{p.GoFiles, p.TestGoFiles, p.XTestGoFiles} {
			for _, name := range names {
				fset := token.NewFileSet()
				f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
				if err != nil {
					return nil, err
				}
				short := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") + "/" + name
				all = append(all, source{pkg: p, name: strings.TrimPrefix(short, "/"), test: i > 0, fset: fset, file: f})
			}
		}
	}
	return all, nil
})

func (s source) line(p token.Pos) int { return s.fset.Position(p).Line }

// lines returns how many lines a node spans.
func (s source) lines(n ast.Node) int { return s.line(n.End()) - s.line(n.Pos()) + 1 }

// below reports whether the file is of the package internal/p or one below it.
func (s source) below(p string) bool {
	in := s.pkg.inside()
	return in == p || strings.HasPrefix(in, p+"/")
}

func (s source) command() bool { return strings.HasPrefix(s.pkg.ImportPath, module+"/cmd/") }

// product reports whether the file is part of the product and not of a test
// or of a program beside it (examples, bench, e2e).
func (s source) product() bool {
	in := strings.HasPrefix(s.pkg.ImportPath, module+"/internal/") || s.pkg.ImportPath == module
	return !s.test && (in || s.command()) && !strings.HasSuffix(s.pkg.Name, "test") && !strings.Contains(s.pkg.ImportPath, "test/")
}

// calls returns the positions at which the file calls pkg.name, by the
// package's import path.
func (s source) calls(path, name string) []token.Pos {
	local := ""
	for _, i := range s.file.Imports {
		if p, err := strconv.Unquote(i.Path.Value); err == nil && p == path {
			local = path[strings.LastIndex(path, "/")+1:]
			if i.Name != nil {
				local = i.Name.Name
			}
		}
	}
	if local == "" {
		return nil
	}
	var at []token.Pos
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == name {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == local {
				at = append(at, sel.Pos())
			}
		}
		return true
	})
	return at
}

func (s source) imports(path string) bool {
	return slices.ContainsFunc(s.file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == strconv.Quote(path) })
}

// statement matches a text that begins like an SQL statement.
var statement = regexp.MustCompile(`(?is)^\s*(select\s.+\sfrom\s|insert\s+into\s|update\s+\w+\s+set\s|delete\s+from\s|create\s+(unique\s+)?(table|index)\s|pragma\s)`)

func TestStatement(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"SELECT id FROM service WHERE id=$1":       true,
		"\n\tinsert into service (id) values ($1)": true,
		"UPDATE service SET name=$1":               true,
		"DELETE FROM service":                      true,
		"select a service":                         false,
		"Update the service":                       false,
		"delete from the":                          true,
	} {
		if statement.MatchString(text) != want {
			t.Errorf("%q is taken for SQL: %v", text, !want)
		}
	}
}

func TestSQLStaysInStore(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.below("store") || s.below("deptest") {
			continue
		}
		if s.imports("database/sql") {
			t.Errorf("%s imports database/sql: SQL stays in internal/store", s.name)
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && statement.MatchString(text) {
					t.Errorf("%s:%d holds SQL: %.40q", s.name, s.line(lit.Pos()), text)
				}
			}
			return true
		})
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if ast.IsGenerated(s.file) {
			continue
		}
		if n := s.line(s.file.FileEnd); n > maxFile {
			t.Errorf("%s has %d lines, %d at most: look for the noun that wants out", s.name, n, maxFile)
		}
		if s.test {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.lines(f) > maxFunc && len(f.Body.List) > 1 {
				t.Errorf("%s:%d: %s has %d lines, %d at most", s.name, s.line(f.Pos()), f.Name.Name, s.lines(f), maxFunc)
			}
		}
	}
}

// TestNoHiddenState refuses what would act without main's knowledge: init
// functions, reading the environment or flags outside the command line, and the
// global logger.
func TestNoHiddenState(t *testing.T) {
	t.Parallel()
	banned := map[string][]string{
		"os":       {"Getenv", "LookupEnv", "Environ", "Setenv"},
		"flag":     {"String", "Int", "Bool", "Duration", "Parse", "Var"},
		"log":      {"Print", "Printf", "Println", "Fatal", "Fatalf", "Fatalln", "Panic", "Panicf"},
		"log/slog": {"Debug", "Info", "Warn", "Error", "Default", "SetDefault", "DebugContext", "InfoContext", "WarnContext", "ErrorContext"},
	}
	for _, s := range sources(t) {
		if !s.product() {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s:%d: no init functions", s.name, s.line(f.Pos()))
			}
		}
		if s.pkg.Name == "main" || s.below("cli") {
			continue
		}
		for path, names := range banned {
			for _, name := range names {
				for _, at := range s.calls(path, name) {
					t.Errorf("%s:%d: %s.%s outside cmd", s.name, s.line(at), path, name)
				}
			}
		}
	}
}

// TestNoSleep refuses time.Sleep in tests, except under synctest, whose clock
// is not real: a test that waits polls a condition.
func TestNoSleep(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if !s.test || s.imports("testing/synctest") {
			continue
		}
		for _, at := range s.calls("time", "Sleep") {
			t.Errorf("%s:%d: time.Sleep in a test", s.name, s.line(at))
		}
	}
}

// TestPlain refuses goroutines in the packages whose tests run without the race detector
// (PLAIN in the Makefile), and what guards memory that goroutines share.
func TestPlain(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	var plain []string
	for line := range strings.Lines(string(makefile)) {
		if list, ok := strings.CutPrefix(line, "PLAIN := "); ok {
			plain = strings.Fields(list)
		}
	}
	missing := slices.Clone(plain)
	for _, s := range sources(t) {
		if in := "internal/" + s.pkg.inside(); !slices.Contains(plain, in) {
			continue
		} else if i := slices.Index(missing, in); i >= 0 {
			missing = slices.Delete(missing, i, i+1)
		}
		if !s.test && (s.imports("sync") || s.imports("sync/atomic")) {
			t.Errorf("%s imports sync: test its package with the race detector", s.name)
		}
		for _, at := range s.goroutines() {
			t.Errorf("%s:%d starts a goroutine: test its package with the race detector", s.name, s.line(at))
		}
	}
	if len(plain) == 0 || len(missing) > 0 {
		t.Errorf("the Makefile has PLAIN := %v; there is no package %v", plain, missing)
	}
}

// goroutines returns where the file starts goroutines: go statements, and calls of a
// method Go.
func (s source) goroutines() (at []token.Pos) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			at = append(at, n.Pos())
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Go" {
				at = append(at, n.Pos())
			}
		}
		return true
	})
	return at
}

// TestImageRepository keeps the knowledge that a service may be deployed from an
// image to the packages that tell sources apart. Everybody else asks package source,
// which also knows code. compat and wire name the member as text.
func TestImageRepository(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if !s.product() || s.command() || s.below("api") || s.below("source") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && id.Name == "ImageRepository" {
				t.Errorf("%s:%d names ImageRepository: use source.RuntimeOf or source.ImageIdentifier", s.name, s.line(id.Pos()))
			}
			return true
		})
	}
}

// TestDocumented requires a comment on every exported function, method and type
// of the product.
func TestDocumented(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if !s.product() {
			continue
		}
		for _, d := range s.file.Decls {
			if what := undocumented(d); what != "" {
				t.Errorf("%s:%d: %s has no comment", s.name, s.line(d.Pos()), what)
			}
		}
	}
}

// undocumented names the exported function or type that lacks a comment.
// Methods that an interface of the standard library prescribes and methods of
// unexported types need none.
func undocumented(d ast.Decl) string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc != nil || !d.Name.IsExported() || (d.Recv != nil && (prescribed[d.Name.Name] || !exportedReceiver(d))) {
			return ""
		}
		return d.Name.Name
	case *ast.GenDecl:
		if d.Tok != token.TYPE {
			return ""
		}
		for _, spec := range d.Specs {
			if ts, ok := spec.(*ast.TypeSpec); ok && ts.Name.IsExported() && d.Doc == nil && ts.Doc == nil && ts.Comment == nil {
				return fmt.Sprintf("type %s", ts.Name.Name)
			}
		}
	}
	return ""
}

var prescribed = map[string]bool{
	"Error": true, "Unwrap": true, "Is": true, "String": true, "Close": true, "Read": true, "Write": true, "ServeHTTP": true,
	"Len": true, "Less": true, "Swap": true, "MarshalJSON": true, "UnmarshalJSON": true, "MarshalText": true, "UnmarshalText": true,
	"LogValue": true, "Network": true, "Addr": true,
}

func exportedReceiver(d *ast.FuncDecl) bool {
	x := d.Recv.List[0].Type
	if star, ok := x.(*ast.StarExpr); ok {
		x = star.X
	}
	if idx, ok := x.(*ast.IndexExpr); ok {
		x = idx.X
	}
	id, ok := x.(*ast.Ident)
	return ok && id.IsExported()
}
