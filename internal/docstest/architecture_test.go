package docstest

import (
	"context"
	"fmt"
	"go/ast"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/deploy"
	"github.com/openslipway/slipway/internal/operation"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/store"
)

// noResolver lets plans be made; none is executed.
type noResolver struct{}

func (noResolver) Resolve(context.Context, types.SourceConfiguration, func(string)) (source.Artifact, error) {
	return source.Artifact{}, nil
}

//nolint:paralleltest // blocks of one page
func TestPlans(t *testing.T) {
	plans, err := deploy.New(deploy.Config{Store: &store.Store{}, Resolver: noResolver{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	type row struct{ kinds, forward, back string }
	var all []row
	for _, kind := range []slipway.OperationKind{
		slipway.CreateService, slipway.UpdateService, slipway.StartDeployment,
		slipway.PauseService, slipway.ResumeService, slipway.DeleteService,
	} {
		p, ok := plans.Plan(kind)
		if !ok {
			t.Fatalf("there is no plan for %s", kind)
		}
		r := row{string(kind), steps(p.Forward), steps(p.Rollback)}
		if r.back == "" {
			r.back = "none: the step is retried to its limit"
		}
		if n := len(all); n > 0 && all[n-1].forward == r.forward && all[n-1].back == r.back {
			all[n-1].kinds += ", " + r.kinds
			continue
		}
		all = append(all, r)
	}
	b := newTable("kind", "forward", "when it rolls back")
	for _, r := range all {
		b.row(r.kinds, r.forward, r.back)
	}
	checkBlock(t, "ARCHITECTURE.md", "plans", b.String())
}

// steps lists steps with their kind and limit.
func steps(list []operation.Step) string {
	var all []string
	for _, s := range list {
		what := "edit"
		switch {
		case s.Work != nil:
			what = "work"
		case s.Wait != nil:
			what = "wait"
		}
		if s.Limit > 0 {
			what += fmt.Sprintf(" %.0f min", s.Limit.Minutes())
		}
		all = append(all, fmt.Sprintf("%s (%s)", s.Name, what))
	}
	return strings.Join(all, ", ")
}

//nolint:paralleltest // blocks of one page
func TestPackages(t *testing.T) {
	b := newTable("package", "what it is for")
	for _, p := range packages(t) {
		if p.Doc == "" || p.path() == "" {
			continue
		}
		b.row("`"+p.path()+"`", sentence(p))
	}
	checkBlock(t, "ARCHITECTURE.md", "packages", b.String())
}

// sentence returns the first sentence of a package's comment without its name.
func sentence(p pkg) string {
	s := p.Doc
	for _, prefix := range []string{"Package " + p.Name + " ", "Command " + filepath.Base(p.ImportPath) + " "} {
		s = strings.TrimPrefix(s, prefix)
	}
	s = strings.TrimPrefix(s, "is ")
	return strings.TrimRight(s, ".:")
}

// TestImportRules writes the table of who may import whom from deptest's rules.
//
//nolint:paralleltest // blocks of one page
func TestImportRules(t *testing.T) {
	f := parse(t, filepath.Join(root, "internal/deptest/rules_test.go"), "internal/deptest")
	rules := map[string][]string{} // targets -> parts
	var leaves []string
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range g.Specs {
			v, ok := spec.(*ast.ValueSpec)
			if !ok || len(v.Values) != 1 {
				continue
			}
			lit, ok := v.Values[0].(*ast.CompositeLit)
			if !ok {
				continue
			}
			switch v.Names[0].Name {
			case "imports":
				for _, e := range lit.Elts {
					kv := e.(*ast.KeyValueExpr)
					part, _ := text(kv.Key)
					targets := strings.Join(elements(kv.Value), ", ")
					rules[targets] = append(rules[targets], part)
				}
			case "leaves":
				leaves = elements(lit)
			}
		}
	}
	if len(rules) < 5 || len(leaves) == 0 {
		t.Fatal("internal/deptest/rules_test.go has no imports or leaves: adapt this test")
	}
	b := newTable("packages below internal", "may import")
	b.row("all", "the root package, "+strings.Join(leaves, ", "))
	var lines [][2]string
	for targets, parts := range rules {
		slices.Sort(parts)
		parts = slices.DeleteFunc(parts, func(p string) bool { return slices.Contains(leaves, p) })
		if targets == "" {
			targets = "nothing else"
		}
		if len(parts) > 0 {
			lines = append(lines, [2]string{strings.Join(parts, ", "), targets})
		}
	}
	slices.SortFunc(lines, func(x, y [2]string) int { return strings.Compare(x[0], y[0]) })
	for _, l := range lines {
		b.row(l[0], l[1])
	}
	checkBlock(t, "ARCHITECTURE.md", "import rules", b.String())
}

// elements returns the strings of a composite literal.
func elements(e ast.Expr) (all []string) {
	if lit, ok := e.(*ast.CompositeLit); ok {
		for _, x := range lit.Elts {
			if s, ok := text(x); ok {
				all = append(all, s)
			}
		}
	}
	return all
}
