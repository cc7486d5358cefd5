package docstest

import (
	"fmt"
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/openslipway/slipway"
)

const operating = "docs/operating.md"

//nolint:paralleltest // blocks of one page
func TestMetrics(t *testing.T) {
	all := map[string][]string{}
	for _, f := range product(t) {
		ast.Inspect(f.File, func(n ast.Node) bool {
			if cells := described(n); cells != nil {
				all[cells[0]] = cells
			}
			return true
		})
		strs(f, func(s string) {
			if metricRE.MatchString(s) && all[s] == nil {
				all[s] = []string{s, "?", "", "?"}
			}
		})
	}
	b := newTable("metric", "kind", "labels", "meaning")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		c := all[name]
		if c[1] == "?" {
			t.Errorf("%s is not declared as metrics.Desc or by metrics.New...: adapt docstest or the declaration", name)
		}
		b.row("`"+c[0]+"`", c[1], c[2], c[3])
	}
	if len(all) < 5 {
		t.Fatalf("found only %d metrics: adapt this test", len(all))
	}
	checkBlock(t, operating, "metrics", b.String())
}

var metricRE = regexp.MustCompile(`^slipway_[a-z_]+(_total|_seconds|_bytes|_in_flight|_waiting)$`)

// described returns name, kind, labels and help of a metric that a node
// declares: a metrics.Desc, or a call of a constructor like metrics.NewCounter.
func described(n ast.Node) []string {
	switch n := n.(type) {
	case *ast.CompositeLit:
		return describedLiteral(n)
	case *ast.CallExpr:
		sel, ok := n.Fun.(*ast.SelectorExpr)
		if !ok || !strings.HasPrefix(sel.Sel.Name, "New") || len(n.Args) < 2 {
			return nil
		}
		name, ok := text(n.Args[0])
		if !ok || !metricRE.MatchString(name) {
			return nil
		}
		help, _ := text(n.Args[1])
		var labels []string
		for _, a := range n.Args[2:] {
			if s, ok := text(a); ok {
				labels = append(labels, s)
			}
		}
		return []string{name, strings.ToLower(strings.TrimPrefix(sel.Sel.Name, "New")), strings.Join(labels, ", "), help}
	}
	return nil
}

func describedLiteral(lit *ast.CompositeLit) []string {
	var name, kind, help string
	var labels []string
	for _, e := range lit.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			return nil
		}
		key, _ := kv.Key.(*ast.Ident)
		switch {
		case key == nil:
			return nil
		case key.Name == "Name":
			name, _ = text(kv.Value)
		case key.Name == "Help":
			help, _ = text(kv.Value)
		case key.Name == "Labels":
			labels = elements(kv.Value)
		case key.Name == "Kind":
			if sel, ok := kv.Value.(*ast.SelectorExpr); ok {
				kind = strings.ToLower(strings.TrimPrefix(sel.Sel.Name, "Kind"))
			} else if id, ok := kv.Value.(*ast.Ident); ok {
				kind = strings.ToLower(strings.TrimPrefix(id.Name, "Kind"))
			}
		}
	}
	if !metricRE.MatchString(name) {
		return nil
	}
	return []string{name, kind, strings.Join(labels, ", "), help}
}

//nolint:paralleltest // blocks of one page
func TestQuotas(t *testing.T) {
	b := newTable("quota", "default")
	n := 0
	for _, f := range product(t) {
		if f.dir != "internal/api" {
			continue
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || fn.Name.Name != "list" {
				continue
			}
			ast.Inspect(fn, func(node ast.Node) bool {
				lit, ok := node.(*ast.CompositeLit)
				if !ok || len(lit.Elts) != 3 {
					return true
				}
				name, ok := text(lit.Elts[0])
				number, ok2 := lit.Elts[2].(*ast.BasicLit)
				if ok && ok2 {
					n++
					b.row("`"+name+"`", number.Value)
				}
				return true
			})
		}
	}
	if n < 5 {
		t.Fatalf("found only %d quotas in internal/api: adapt this test to where they are listed now", n)
	}
	checkBlock(t, operating, "quotas", b.String())
}

// TestEnvironment compares the table of environment variables with those that
// commands read. The variables of serve's flags are named for the flags and
// documented in docs/cli.md.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	read := map[string]bool{}
	for _, f := range product(t) {
		calls(f, func(name string, c *ast.CallExpr) {
			if !strings.EqualFold(name, "getenv") && name != "LookupEnv" || len(c.Args) == 0 {
				return
			}
			if s, ok := constant(f, c.Args[0]); ok {
				read[s] = true
			}
		})
	}
	documented := map[string]bool{}
	for _, r := range rows(t, operating, "## Environment variables") {
		for name := range strings.SplitSeq(r[0], ", ") {
			documented[strings.Trim(name, "`")] = true
		}
	}
	compare(t, operating+", environment variables", documented, read)
}

// constant returns the text of an expression, or of a constant of the same file.
func constant(f file, e ast.Expr) (string, bool) {
	id, ok := e.(*ast.Ident)
	if !ok {
		return text(e)
	}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, s := range g.Specs {
			if v, ok := s.(*ast.ValueSpec); ok && len(v.Names) == 1 && len(v.Values) == 1 && v.Names[0].Name == id.Name {
				return text(v.Values[0])
			}
		}
	}
	return "", false
}

// compare fails for names that only the page or only the code has.
func compare(t *testing.T, where string, page, code map[string]bool) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(code)) {
		if !page[name] {
			t.Errorf("%s lacks %s, which the code has: add a row", where, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(page)) {
		if !code[name] {
			t.Errorf("%s has %s, which the code no longer has: remove or rename the row", where, name)
		}
	}
}

// TestEvents compares the types of events in docs/events.md with the code's.
func TestEvents(t *testing.T) {
	t.Parallel()
	page := strings.Join(strings.Fields(readPage(t, "docs/events.md")), " ")
	typeRE := regexp.MustCompile(`^(AppRunner|Slipway) [A-Z][A-Za-z ]+(Change|Update|Test)$`)
	code := map[string]bool{}
	for _, f := range product(t) {
		strs(f, func(s string) {
			if typeRE.MatchString(s) {
				code[s] = true
			}
		})
	}
	if len(code) < 4 {
		t.Fatalf("found only %d types of events: adapt this test", len(code))
	}
	for name := range code {
		if !strings.Contains(page, "`"+name+"`") && !strings.Contains(page, `"`+name+`"`) {
			t.Errorf("docs/events.md lacks the type of event %q: describe it", name)
		}
	}
	for _, m := range regexp.MustCompile("`((?:AppRunner|Slipway) [A-Z][^`]*)`").FindAllStringSubmatch(page, -1) {
		if !code[m[1]] {
			t.Errorf("docs/events.md has the type of event %q, which the code no longer has", m[1])
		}
	}
	for _, s := range []slipway.DomainStatus{slipway.DomainPending, slipway.DomainBinding, slipway.DomainActive, slipway.DomainFailed} {
		if !strings.Contains(page, fmt.Sprintf("`%s`", s)) {
			t.Errorf("docs/events.md lacks the status %s", s)
		}
	}
}

// TestConditionKeys compares the condition keys in docs/iam.md with those that
// the code sets.
func TestConditionKeys(t *testing.T) {
	t.Parallel()
	keyRE := regexp.MustCompile(`^(aws|apprunner|iam):([A-Za-z]+)(/?)$`)
	code := map[string]bool{}
	var literals []string
	for _, f := range product(t) {
		strs(f, func(s string) { literals = append(literals, s) })
		calls(f, func(name string, c *ast.CallExpr) {
			if (name != "Set" && name != "Add") || len(c.Args) < 2 {
				return
			}
			first := c.Args[0]
			if sum, ok := first.(*ast.BinaryExpr); ok {
				first = sum.X
			}
			if s, ok := text(first); ok {
				if m := keyRE.FindStringSubmatch(s); m != nil {
					code[m[2]] = true
				}
			}
		})
	}
	if len(code) < 15 {
		t.Fatalf("found only %d condition keys: adapt this test", len(code))
	}
	_, para, ok := strings.Cut(readPage(t, "docs/iam.md"), "\nCondition keys:")
	if !ok {
		t.Fatal(`docs/iam.md has no paragraph "Condition keys:"`)
	}
	para, _, _ = strings.Cut(para, "\n\n")
	page := map[string]bool{}
	for _, m := range regexp.MustCompile("`(?:[a-z]+:)?([A-Za-z]+)(?:/k)?`").FindAllStringSubmatch(para, -1) {
		page[m[1]] = true
	}
	for key := range code {
		if !page[key] {
			t.Errorf("docs/iam.md lacks the condition key %s, which the code sets: add it", key)
		}
	}
	for key := range page {
		if !slices.ContainsFunc(literals, func(s string) bool { return strings.Contains(s, key) }) {
			t.Errorf("docs/iam.md has the condition key %s, which the code does not have: remove it", key)
		}
	}
}
