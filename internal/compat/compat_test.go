package compat

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/wire"
)

var update = flag.Bool("update", false, "rewrite docs/compatibility.md")

// Every operation and every member of the model has a row, and every row has an
// operation or a member.
func TestEveryMemberHasARow(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	structures := nested()
	for name, op := range wire.Operations() {
		if operations[name] == "" {
			t.Errorf("operation %s has no row in operations.go", name)
		}
		structures[op.Input.Name], structures[op.Output.Name] = op.Input, op.Output
	}
	for _, s := range structures {
		for _, m := range s.Members {
			own, both := s.Name+"."+m.Name, row(s, m)
			if both == "" {
				t.Errorf("%s has no row in members.go", own)
			}
			if _, ok := members[own]; ok {
				used[own] = true
			} else {
				used[m.Name] = true
			}
		}
	}
	for key := range members {
		if !used[key] {
			t.Errorf("row %s in members.go is of no member, or all that it could be of have rows of their own", key)
		}
	}
	for name := range operations {
		if _, ok := wire.OperationNamed(name); !ok {
			t.Errorf("row %s in operations.go is of no operation", name)
		}
	}
}

func TestRowsAreSentences(t *testing.T) {
	t.Parallel()
	check := func(what, text string) {
		if text == "" || strings.TrimSpace(text) != text || strings.Contains(text, "\n") || !strings.ContainsAny(text[len(text)-1:], ".`") {
			t.Errorf("%s: %q is not a sentence on one line", what, text)
		}
	}
	for key, text := range members {
		check(key, text)
	}
	for key, text := range operations {
		check(key, text)
	}
	for _, d := range differences {
		for _, text := range []string{d.Theirs, d.Ours, d.Reason} {
			check(d.Topic, text)
		}
	}
}

// The page equals the table; -update rewrites it.
func TestPage(t *testing.T) {
	t.Parallel()
	const file = "../../docs/compatibility.md"
	var b bytes.Buffer
	if err := Write(&b); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(have), b.String()); d != "" {
		t.Errorf("%s is not current (go test ./internal/compat -update):\n%s", file, d)
	}
}
