// Package modeltest reads App Runner's service model (the service-2.json file of
// the AWS SDKs) as it is, for tests that measure the product by the model
// itself rather than by the table in package wire, which is made from it.
//
// The model is in internal/wire/model. The environment variable APPRUNNER_MODEL
// names another copy.
package modeltest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Model is the service model.
type Model struct {
	Operations map[string]*Operation
}

// Operation is an operation of the model.
type Operation struct {
	Name          string
	Input, Output *Shape
	Exceptions    []string // names
}

// Shape is a type of the model with its constraints, which are left unset where
// the model has none.
type Shape struct {
	Name      string
	Type      string   // "structure", "list", "map", "string", "integer", "boolean" or "timestamp"
	Members   []Member // of a structure, in the model's order
	Elem, Key *Shape   // of a list or map
	Min, Max  *int
	Pattern   string
	Enum      []string

	pattern   *regexp.Regexp // of the whole value; nil for none
	forbidden string         // what the value must not begin with
}

// Member is a member of a structure.
type Member struct {
	Name     string
	Shape    *Shape
	Required bool
}

const file = "apprunner-2020-05-15.service-2.json"

// Load returns the model.
func Load(t testing.TB) *Model {
	t.Helper()
	return parse(t, Text(t))
}

// Text returns the model's file.
func Text(t testing.TB) []byte {
	t.Helper()
	path := os.Getenv("APPRUNNER_MODEL")
	if path == "" {
		path = filepath.Join(moduleRoot(t), "internal", "wire", "model", file)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func moduleRoot(t testing.TB) string {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("no go.mod above the test: ", err)
	return ""
}

type ref struct{ Shape string }

// raw is the file.
type raw struct {
	Operations map[string]struct {
		Input, Output *ref
		Errors        []ref
	}
	Shapes map[string]struct {
		Type               string
		Required           []string
		Members            json.RawMessage
		Member, Key, Value *ref
		Min, Max           *int
		Pattern            string
		Enum               []string
	}
}

func parse(t testing.TB, text []byte) *Model {
	var r raw
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal("read the service model: ", err)
	}
	shapes := map[string]*Shape{}
	var shape func(*ref) *Shape
	shape = func(at *ref) *Shape {
		if at == nil {
			return nil
		}
		if s, ok := shapes[at.Shape]; ok {
			return s
		}
		from := r.Shapes[at.Shape]
		s := &Shape{Name: at.Shape, Type: from.Type, Min: from.Min, Max: from.Max, Pattern: from.Pattern, Enum: from.Enum}
		s.compile()
		shapes[at.Shape] = s
		for _, name := range keys(t, from.Members) {
			var members map[string]ref
			if err := json.Unmarshal(from.Members, &members); err != nil {
				t.Fatal(err)
			}
			to := members[name]
			s.Members = append(s.Members, Member{name, shape(&to), slices.Contains(from.Required, name)})
		}
		s.Key, s.Elem = shape(from.Key), shape(from.Member)
		if from.Value != nil {
			s.Elem = shape(from.Value)
		}
		return s
	}
	m := &Model{Operations: map[string]*Operation{}}
	for name, op := range r.Operations {
		o := &Operation{Name: name, Input: shape(op.Input), Output: shape(op.Output)}
		for _, e := range op.Errors {
			o.Exceptions = append(o.Exceptions, e.Shape)
		}
		m.Operations[name] = o
	}
	return m
}

// keys returns the names in a JSON object in their order.
func keys(t testing.TB, object json.RawMessage) (names []string) {
	if len(object) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name.(string))
		var skip json.RawMessage
		if err := d.Decode(&skip); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// compile makes the pattern ready. ".*" stands for any text, line breaks
// included.
func (s *Shape) compile() {
	if s.Pattern == "" || s.Pattern == ".*" {
		return
	}
	text := s.Pattern
	if rest, ok := strings.CutPrefix(text, "^(?!aws:)"); ok { // Go has no look-ahead
		text, s.forbidden = rest, "aws:"
	}
	text = strings.ReplaceAll(text, "{1,1011}", "+") // nor counts above 1000
	s.pattern = regexp.MustCompile(`^(?:` + text + `)$`)
}

// Matches reports whether the whole of a text matches the shape's pattern; true
// where there is none.
func (s *Shape) Matches(text string) bool {
	if s.pattern == nil {
		return true
	}
	return s.pattern.MatchString(text) && (s.forbidden == "" || !strings.HasPrefix(text, s.forbidden))
}

// Fits reports whether a text has a length that the shape allows.
func (s *Shape) Fits(text string) bool {
	n := utf8.RuneCountInString(text)
	return (s.Min == nil || n >= *s.Min) && (s.Max == nil || n <= *s.Max)
}
