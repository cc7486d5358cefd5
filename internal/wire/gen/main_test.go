package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/wire/modeltest"
)

func TestTableIsWhatTheModelSays(t *testing.T) {
	t.Parallel()
	want, err := generate(modeltest.Text(t))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../model_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("model_gen.go is not what go generate makes of the model (-want +got):\n%s", d)
	}
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	src, err := generate([]byte(`{
		"operations": {"Eat": {"input": {"shape": "EatRequest"}, "output": {"shape": "EatResponse"},
			"errors": [{"shape": "B"}, {"shape": "A"}]}},
		"shapes": {
			"EatRequest": {"type": "structure", "required": ["Zest"], "members":
				{"Zest": {"shape": "Word"}, "Apples": {"shape": "Words"}, "Bowl": {"shape": "Named"}}},
			"EatResponse": {"type": "structure", "members": {}},
			"Word": {"type": "string", "min": 0, "max": 9, "pattern": "a|b", "sensitive": true},
			"Words": {"type": "list", "member": {"shape": "Word"}},
			"Named": {"type": "map", "key": {"shape": "Free"}, "value": {"shape": "Choice"}},
			"Free": {"type": "string", "pattern": ".*"},
			"Choice": {"type": "string", "enum": ["X", "Y"]},
			"ImageIdentifier": {"type": "string", "pattern": "ecr"},
			"A": {"type": "structure", "exception": true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"Eat": {Name: "Eat", Input: shapeEatRequest, Output: shapeEatResponse, Exceptions: []string{"A", "B"}},`,
		"{Name: \"Zest\", Shape: shapeWord, Required: true},\n\t{Name: \"Apples\", Shape: shapeWords},\n",
		"Kind: String, Min: 0, HasMin: true, Max: 9, HasMax: true, Pattern: &Pattern{Text: `a|b`}, Sensitive: true}",
		"Kind: List, Elem: shapeWord}",
		"Kind: Map, Elem: shapeChoice, Key: shapeFree}",
		`var shapeFree = &Shape{Name: "Free", Kind: String}`,
		`Enum: []string{"X", "Y"}}`,
	} {
		if !strings.Contains(string(src), want) {
			t.Errorf("generated source lacks %q:\n%s", want, src)
		}
	}
	for _, not := range []string{"ImageIdentifier", "shapeA "} {
		if strings.Contains(string(src), not) {
			t.Errorf("generated source has %q, which no operation reaches", not)
		}
	}
}

func TestGenerateRefusesNonsense(t *testing.T) {
	t.Parallel()
	if _, err := generate([]byte("{")); err == nil {
		t.Error("a truncated model was accepted")
	}
}
