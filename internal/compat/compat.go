// Package compat says what Slipway does with each operation and member of App
// Runner's API, and where it differs on purpose and why. docs/compatibility.md
// is written from it.
//
// It is only a table: no code consults it, and the binary does not contain it. Its
// test fails while a member of the model has no row, or a row no member.
//
// # Adding a row
//
// A row of members.go describes a member of one structure, "Structure.Member", or
// all members of a name without a row of their own, "Member". Rows of
// operations.go describe operations, rows of differences.go differences.
// Then: go test ./internal/compat -update
package compat

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/openslipway/slipway/internal/wire"
)

// Difference is a deliberate difference from App Runner.
type Difference struct {
	Topic  string
	Theirs string // what App Runner does
	Ours   string // what Slipway does
	Reason string
}

// Write writes the page.
func Write(w io.Writer) error {
	p := page{w: w}
	p.line("# Compatibility with App Runner")
	p.line("")
	p.line("<!-- Written by `go test ./internal/compat -update` from internal/compat. -->")
	p.line("")
	p.line("What Slipway does with every operation and member of App Runner's API (version")
	p.line("2020-05-15), and every deliberate difference with its reason. Any other difference")
	p.line("from App Runner is a bug.")
	p.line("")
	p.differences()
	p.operations()
	p.structures()
	return p.err
}

// page is the page being written; err is the first error.
type page struct {
	w   io.Writer
	err error
}

func (p *page) line(text string) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, text)
	}
}

// cells writes a row of a table.
func (p *page) cells(texts ...string) {
	for i, t := range texts {
		texts[i] = strings.ReplaceAll(t, "|", `\|`)
	}
	p.line("| " + strings.Join(texts, " | ") + " |")
}

func (p *page) head(texts ...string) {
	p.cells(texts...)
	p.line("|" + strings.Repeat("---|", len(texts)))
}

func (p *page) differences() {
	p.line("## Deliberate differences")
	p.line("")
	p.head("topic", "App Runner", "Slipway", "reason")
	for _, d := range differences {
		p.cells(d.Topic, d.Theirs, d.Ours, d.Reason)
	}
	p.line("")
}

func (p *page) operations() {
	p.line("## Operations")
	for _, name := range slices.Sorted(maps.Keys(operations)) {
		op, ok := wire.OperationNamed(name)
		if !ok {
			continue // the test reports it
		}
		p.line("")
		p.line("### " + name)
		p.line("")
		p.line(operations[name])
		p.members("input", op.Input)
		p.members("output", op.Output)
	}
	p.line("")
}

func (p *page) members(title string, s *wire.Shape) {
	if len(s.Members) == 0 {
		return
	}
	p.line("")
	p.head(title, "behaviour")
	for _, m := range s.Members {
		p.cells(label(m), row(s, m))
	}
}

// label is a member's name, with a link to its structure's table if it has one,
// and a mark if it is required.
func label(m wire.Member) string {
	text := "`" + m.Name + "`"
	if m.Required {
		text += " (required)"
	}
	if s := structure(m.Shape); s != nil {
		text += fmt.Sprintf(" → [%s](#%s)", s.Name, strings.ToLower(s.Name))
	}
	return text
}

// structure returns the shape itself, or its elements' shape, if it is a structure.
func structure(s *wire.Shape) *wire.Shape {
	switch s.Kind {
	case wire.Structure:
		return s
	case wire.List:
		return structure(s.Elem)
	}
	return nil
}

func (p *page) structures() {
	p.line("## Structures")
	all := nested()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p.line("")
		p.line("### " + name)
		p.members("member", all[name])
	}
}

// nested returns the structures within inputs and outputs.
func nested() map[string]*wire.Shape {
	all := map[string]*wire.Shape{}
	var visit func(*wire.Shape)
	visit = func(s *wire.Shape) {
		for _, m := range s.Members {
			if n := structure(m.Shape); n != nil && all[n.Name] == nil {
				all[n.Name] = n
				visit(n)
			}
		}
	}
	for _, op := range wire.Operations() {
		visit(op.Input)
		visit(op.Output)
	}
	return all
}

// row returns the row of a structure's member, "" if there is none.
func row(s *wire.Shape, m wire.Member) string {
	if text, ok := members[s.Name+"."+m.Name]; ok {
		return text
	}
	return members[m.Name]
}
