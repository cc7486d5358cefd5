package api

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// refusals are all refusals that are not simply wrong requests, by the beginning of
// their message: what is wrong is the state of a resource, a missing resource or a
// quota. https://docs.aws.amazon.com/apprunner/latest/api/API_Operations.html
var refusals = map[string][]string{
	"InvalidState": {
		"%s is being disassociated from %s.",
		"A VPC ingress connection cannot be created for a service in the current state",
		"Connection %s was deleted and created anew meanwhile.",
		"Operation %s (%s) can't be cancelled",
		"Service %s can't be deleted while it has VPC ingress connections",
		"Service %s has no operation in progress",
		"Service %s runs no version yet",
		"Service cannot be %s in the current state",
		"VPC ingress connection cannot be %s in the current state",
	},
	"NotFound": {
		"%s not found: %s", // configurations
		"Connection %s has no webhook.",
		"Connection not found",
		"No custom domain %s found for the provided service",
		"Operation not found",
		"Resource not found",
		"Service not found",
		"VPC connector not found",
		"VPC ingress connection not found",
	},
	"QuotaExceeded": {
		"The service has reached the limit of %d VPC ingress connections",
		"You have reached the limit of %d %ss.", // names of configurations
		"You have reached the limit of %d VPC connectors.",
		"You have reached the limit of %d connections.",
		"You have reached the limit of %d revisions",
		"You have reached the limit of %d services.",
		"%s", // a share of a user, in the words of gateway/share
	},
}

// despite are refusals about a resource's state that are wrong requests all the same:
// the model gives their operations no InvalidStateException, nor
// ServiceQuotaExceededException.
var despite = map[string]string{
	"%s is already associated with %s":                                  "clients read App Runner's message, which has this exception",
	"%s is already associated with another service.":                    "the same",
	"AuthenticationConfiguration: connection %s is %s; it must be":      "CreateService has no InvalidStateException",
	"Can't start a deployment on the specified service":                 "StartDeployment has none",
	"Connection with the provided name already exists":                  "a name is a member of the request",
	"Service with the provided name already exists":                     "the same",
	"VPC connector with the provided name already exists":               "the same",
	"VPC ingress connection with the provided name already exists":      "the same",
	"Service %s is publicly accessible.":                                "its configuration is wrong, which waiting does not change",
	"Service %s runs an image that was not built here.":                 "the same",
	"The service has the %d custom domains that it may have.":           "AssociateCustomDomain has no ServiceQuotaExceededException",
	"You can't delete %s: a service uses it.":                           "no operation that deletes a configuration, connector or connection has one",
	"You can't delete %s: it is the default auto scaling configuration": "the same",
}

// Each refusal has been decided: a new one about a state, a missing resource or a quota
// fails here until it is in one of the tables.
func TestEveryRefusalIsDecided(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	for _, r := range refusalsOf(t) {
		begins := func(prefix string) bool {
			if strings.HasPrefix(r.message, prefix) {
				found[prefix] = true
				return true
			}
			return false
		}
		if r.code != "InvalidRequest" {
			if !slices.ContainsFunc(refusals[r.code], begins) {
				t.Errorf("%s %q is in no table: is this its exception?", r.code, r.message)
			}
			continue
		}
		decided := false
		for prefix := range despite {
			decided = begins(prefix) || decided
		}
		for _, word := range []string{"current state", " uses it", "already exists", "already associated", "it must be AVAILABLE", "in progress", "limit of"} {
			if !decided && strings.Contains(r.message, word) {
				t.Errorf("InvalidRequest %q is about a state or a quota: give it that exception, or say in the table despite why not", r.message)
			}
		}
	}
	for _, list := range refusals {
		for _, prefix := range list {
			if !found[prefix] {
				t.Errorf("no refusal begins with %q", prefix)
			}
		}
	}
	for prefix := range despite {
		if !found[prefix] {
			t.Errorf("no refusal begins with %q", prefix)
		}
	}
}

type refusal struct{ code, message string }

// refusalsOf returns the calls of slipway.Errorf in this package.
func refusalsOf(t *testing.T) (list []refusal) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			c, ok := n.(*ast.CallExpr)
			if !ok || len(c.Args) < 2 {
				return true
			}
			of, isCall := c.Fun.(*ast.SelectorExpr)
			code, isCode := c.Args[0].(*ast.SelectorExpr)
			if isCall && isCode && of.Sel.Name == "Errorf" {
				list = append(list, refusal{code.Sel.Name, literal(c.Args[1])})
			}
			return true
		})
	}
	return list
}

// literal returns the text of a constant that is written out.
func literal(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.BasicLit:
		s, _ := strconv.Unquote(x.Value)
		return s
	case *ast.BinaryExpr:
		return literal(x.X) + literal(x.Y)
	}
	return ""
}
