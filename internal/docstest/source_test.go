package docstest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/openslipway/slipway"

// pkg is the output of `go list` for a package.
type pkg struct {
	ImportPath, Dir, Name, Doc string
	GoFiles                    []string
}

// path returns the package's directory below the repository's root.
func (p pkg) path() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

// file is a parsed Go file of the product.
type file struct {
	dir, name string // directory below the root, file name
	*ast.File
}

var listed = sync.OnceValues(func() ([]pkg, error) {
	const format = "{{.ImportPath}}\t{{.Dir}}\t{{.Name}}\t{{join .GoFiles \" \"}}\t{{.Doc}}"
	cmd := exec.Command("go", "list", "-f", format, "./...")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	var all []pkg
	for line := range strings.Lines(string(out)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 5)
		all = append(all, pkg{ImportPath: f[0], Dir: f[1], Name: f[2], GoFiles: strings.Fields(f[3]), Doc: f[4]})
	}
	return all, err
})

// packages returns the module's packages.
func packages(t *testing.T) []pkg {
	t.Helper()
	all, err := listed()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("go list found only %d packages", len(all))
	}
	return all
}

// product parses the files that the binary is made of: cmd, internal and the
// root package, without tests and test packages.
func product(t *testing.T) []file {
	t.Helper()
	var all []file
	for _, p := range packages(t) {
		path := p.path()
		if strings.HasSuffix(p.Name, "test") || strings.Contains(path, "test/") {
			continue
		}
		if path == "" || strings.HasPrefix(path, "internal/") || strings.HasPrefix(path, "cmd/") {
			for _, name := range p.GoFiles {
				all = append(all, parse(t, filepath.Join(p.Dir, name), path))
			}
		}
	}
	return all
}

func parse(t *testing.T, path, dir string) file {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return file{dir, filepath.Base(path), f}
}

// text returns the value of an expression made of string literals and +.
func text(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			s, err := strconv.Unquote(e.Value)
			return s, err == nil
		}
	case *ast.BinaryExpr:
		a, ok := text(e.X)
		b, ok2 := text(e.Y)
		return a + b, ok && ok2 && e.Op == token.ADD
	case *ast.ParenExpr:
		return text(e.X)
	}
	return "", false
}

// strs calls f for every string literal of a file.
func strs(f file, visit func(string)) {
	ast.Inspect(f.File, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok {
			if s, ok := text(lit); ok {
				visit(s)
			}
		}
		return true
	})
}

// calls calls visit for every call of a file with the called function's or
// method's name.
func calls(f file, visit func(name string, c *ast.CallExpr)) {
	ast.Inspect(f.File, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch fun := c.Fun.(type) {
		case *ast.SelectorExpr:
			visit(fun.Sel.Name, c)
		case *ast.Ident:
			visit(fun.Name, c)
		}
		return true
	})
}
