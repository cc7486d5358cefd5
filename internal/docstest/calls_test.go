package docstest

import (
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// service is the operations of an AWS service, by the action's prefix.
type service struct {
	dir             string
	mutating, reads []string
}

var (
	operationRE = regexp.MustCompile(`^[A-Z][a-z]+[A-Z][A-Za-z]+$`)
	wordRE      = regexp.MustCompile(`\b[A-Z][a-z]+[A-Z][A-Za-z]+\b`)
)

// services reads the operations that packages declare: the elements of lists of
// gateway.Operation, made by gateway.Read, gateway.Mutate or a wrapper of one.
func services(t *testing.T) map[string]*service {
	t.Helper()
	all := map[string]*service{} // by directory
	for _, f := range product(t) {
		ast.Inspect(f.File, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok || !isOperations(lit.Type) {
				return true
			}
			s := all[f.dir]
			if s == nil {
				s = &service{dir: f.dir}
				all[f.dir] = s
			}
			for _, e := range lit.Elts {
				s.add(e)
			}
			return false
		})
	}
	if len(all) < 5 {
		t.Fatalf("found operations in %d packages only: adapt this test to how they are declared now", len(all))
	}
	return all
}

// isOperations reports whether a type is []gateway.Operation.
func isOperations(e ast.Expr) bool {
	list, ok := e.(*ast.ArrayType)
	if !ok {
		return false
	}
	sel, ok := list.Elt.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "Operation"
}

// add adds the operation that an expression makes: its name is the first literal
// of that form, and it changes something if it is made by Mutate.
func (s *service) add(e ast.Expr) {
	name, mutates := "", false
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			mutates = mutates || (n.Name == "Mutate" && name == "")
		case *ast.BasicLit:
			if v, ok := text(n); ok && name == "" && operationRE.MatchString(v) {
				name = v
			}
		}
		return true
	})
	switch {
	case name == "":
	case mutates:
		s.mutating = append(s.mutating, name)
	default:
		s.reads = append(s.reads, name)
	}
}

func (s *service) names() map[string]bool {
	all := map[string]bool{}
	for _, n := range slices.Concat(s.mutating, s.reads) {
		all[n] = true
	}
	return all
}

// TestCalls writes the list of the calls that the endpoint answers.
//
//nolint:paralleltest // a block of a page
func TestCalls(t *testing.T) {
	all := services(t)
	b := newTable("package", "calls that change something", "calls that only read")
	for _, dir := range slices.Sorted(maps.Keys(all)) {
		s := all[dir]
		slices.Sort(s.mutating)
		slices.Sort(s.reads)
		b.row("`"+dir+"`", strings.Join(s.mutating, ", "), strings.Join(s.reads, ", "))
	}
	checkBlock(t, "docs/calls.md", "calls", b.String())
}

// TestListedCalls compares the lists of calls in prose with the code.
func TestListedCalls(t *testing.T) {
	t.Parallel()
	all := services(t)
	page := readPage(t, "docs/secrets.md")
	for prefix, dir := range map[string]string{"- of Secrets Manager:": "internal/secretsmanager", "- of Parameter Store:": "internal/ssm"} {
		_, list, ok := strings.Cut(page, prefix)
		if !ok || all[dir] == nil {
			t.Errorf("docs/secrets.md has no list %q, or %s has no operations", prefix, dir)
			continue
		}
		list = list[:strings.IndexAny(list, ";.")]
		listed := map[string]bool{}
		for _, name := range wordRE.FindAllString(list, -1) {
			listed[name] = true
		}
		compare(t, "docs/secrets.md, "+prefix, listed, all[dir].names())
	}
	listed := map[string]bool{}
	for _, r := range rows(t, "docs/ecr.md", "## Supported calls") {
		for _, name := range wordRE.FindAllString(r[0], -1) {
			listed[name] = true
		}
	}
	compare(t, "docs/ecr.md, supported calls", listed, all["internal/ecr"].names())
}
