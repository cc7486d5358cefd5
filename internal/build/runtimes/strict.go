package runtimes

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxDepth is how deep a table may be nested; aliases count.
const maxDepth = 16

// checkKeys refuses keys that a table does not have, all at once.
func checkKeys(file string, doc *yaml.Node) error {
	if len(doc.Content) == 0 {
		return nil // an empty file
	}
	c := checker{file: file}
	c.check(doc.Content[0], reflect.TypeFor[table](), 0)
	return errors.Join(c.errs...)
}

type checker struct {
	file string
	errs []error
}

func (c *checker) fail(n *yaml.Node, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("%s%s: %s", c.file, position(n), fmt.Sprintf(format, args...)))
}

func position(n *yaml.Node) string { return fmt.Sprintf(":%d:%d", n.Line, n.Column) }

// check compares a node with the type that it is decoded into.
func (c *checker) check(n *yaml.Node, t reflect.Type, depth int) {
	if depth > maxDepth {
		c.fail(n, "this is nested too deep")
		return
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Tag == "!!null" {
		return
	}
	want := map[reflect.Kind]yaml.Kind{reflect.Struct: yaml.MappingNode, reflect.Map: yaml.MappingNode, reflect.Slice: yaml.SequenceNode}[t.Kind()]
	if want != 0 && n.Kind != want {
		c.fail(n, "a %s is wanted here", map[yaml.Kind]string{yaml.MappingNode: "map of keys to values", yaml.SequenceNode: "list"}[want])
		return
	}
	if want == 0 && n.Kind != yaml.ScalarNode {
		c.fail(n, "a single value is wanted here")
		return
	}
	switch t.Kind() {
	case reflect.Slice:
		for _, item := range n.Content {
			c.check(item, t.Elem(), depth+1)
		}
	case reflect.Map:
		for i := 1; i < len(n.Content); i += 2 {
			c.check(n.Content[i], t.Elem(), depth+1)
		}
	case reflect.Struct:
		c.checkStruct(n, t, depth)
	}
}

func (c *checker) checkStruct(n *yaml.Node, t reflect.Type, depth int) {
	fields := map[string]reflect.Type{}
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "" {
			fields[name] = f.Type
			names = append(names, name)
		}
	}
	var seen []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Value == "<<" {
			c.check(value, t, depth+1)
			continue
		}
		if slices.Contains(seen, key.Value) {
			c.fail(key, "%q is here twice", key.Value)
		}
		seen = append(seen, key.Value)
		if f, ok := fields[key.Value]; ok {
			c.check(value, f, depth+1)
		} else {
			c.fail(key, "there is no key %q here; the keys are %s", key.Value, strings.Join(names, ", "))
		}
	}
}

// positions returns where the parts of a table are: "runtimes.0", "bases.bookworm".
func positions(text []byte) map[string]string {
	at := map[string]string{}
	var doc yaml.Node
	if yaml.Unmarshal(text, &doc) != nil || len(doc.Content) == 0 {
		return at
	}
	top := doc.Content[0].Content
	for i := 0; i+1 < len(top); i += 2 {
		key, value := top[i].Value, top[i+1]
		for j, item := range value.Content {
			switch {
			case value.Kind == yaml.SequenceNode:
				at[fmt.Sprintf("%s.%d", key, j)] = position(item)
			case j%2 == 0:
				at[key+"."+item.Value] = position(item)
			}
		}
	}
	return at
}

var lineForm = regexp.MustCompile(`\bline (\d+)(?:, column \d+)?: `)

// located puts the place of a mistake in front of it, as compilers do.
func located(file string, err error) error {
	text := strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n", " "), "yaml: ")
	if m := lineForm.FindStringSubmatchIndex(text); m != nil {
		return fmt.Errorf("%s:%s: %s", file, text[m[2]:m[3]], strings.TrimPrefix(strings.TrimSpace(text[:m[0]]+text[m[1]:]), "construct errors: "))
	}
	return fmt.Errorf("%s: %s", file, text)
}
