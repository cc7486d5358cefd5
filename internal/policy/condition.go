package policy

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// condition is one key under one operator of a Condition block. All conditions of
// a statement must hold.
type condition struct {
	operator operator
	set      quantifier
	ifExists bool
	key      string    // in lower case
	values   []operand // one must match
}

// quantifier is how a key with several values is compared.
type quantifier uint8

const (
	single quantifier = iota
	forAll            // ForAllValues: every value matches; true without values
	forAny            // ForAnyValue: at least one value matches
)

// conditions reads a Condition block.
func (p parser) conditions(at string, v any) (list []condition, err error) {
	if v == nil {
		return nil, nil
	}
	block, ok := v.(map[string]any)
	if !ok {
		return nil, malformed(at, "Syntax errors in policy. It must be a JSON object of operators.")
	}
	for _, name := range slices.Sorted(maps.Keys(block)) {
		c, err := p.condition(at+"."+name, name)
		if err != nil {
			return nil, err
		}
		keys, ok := block[name].(map[string]any)
		if !ok {
			return nil, malformed(at+"."+name, "Syntax errors in policy. It must be a JSON object of condition keys.")
		}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			c, err := p.comparison(c, at+"."+name+"."+key, key, keys[key])
			if err != nil {
				return nil, err
			}
			list = append(list, c)
		}
	}
	return list, nil
}

// condition reads the name of an operator with its prefix and suffix.
func (p parser) condition(at, name string) (c condition, err error) {
	base := name
	for prefix, set := range map[string]quantifier{"ForAllValues:": forAll, "ForAnyValue:": forAny} {
		if rest, ok := strings.CutPrefix(base, prefix); ok {
			base, c.set = rest, set
		}
	}
	base, c.ifExists = strings.CutSuffix(base, "IfExists")
	op, ok := p.operators[base]
	if !ok {
		return c, malformed(at, "Invalid Condition type : %s.", name)
	}
	if op.presence && (c.ifExists || c.set != single) {
		return c, malformed(at, "Invalid Condition type : %s; Null stands alone.", name)
	}
	c.operator = op
	return c, nil
}

// comparison reads the values that a key is compared with.
func (p parser) comparison(c condition, at, key string, v any) (condition, error) {
	if err := checkKey(key); err != nil {
		return c, malformed(at, "The condition key %v.", err)
	}
	c.key = strings.ToLower(key)
	err := each(at, v, func(at string, v any) error {
		text, ok := scalar(v)
		if !ok {
			return malformed(at, "Syntax errors in policy. A value is a string, a number or a boolean.")
		}
		o, err := c.operator.parse(text, p.variables)
		if err != nil {
			return malformed(at, "The value %q %v.", text, err)
		}
		c.values = append(c.values, o)
		return nil
	})
	if err == nil && len(c.values) == 0 {
		err = malformed(at, "Syntax errors in policy. A condition key must have at least one value.")
	}
	return c, err
}

// scalar returns a JSON value as the text that IAM compares.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return "", false
}

// holds reports whether the condition holds for a request. Doubt never allows: a
// negated comparison with a variable that has no value holds only for a Deny.
func (c condition) holds(ctx Context, effect Effect) bool {
	have, there := ctx.lookup(c.key)
	if c.operator.presence {
		return slices.ContainsFunc(c.values, func(o operand) bool { return o.truth != (there && len(have) > 0) })
	}
	if !there || len(have) == 0 {
		return c.withoutKey()
	}
	fits := func(v string) bool { return c.fits(v, ctx, effect) }
	switch {
	case c.set == forAll:
		// "It also returns true if the key values resolve to a null data set,
		// such as an empty string."
		return len(have) == 1 && have[0] == "" || !slices.ContainsFunc(have, func(v string) bool { return !fits(v) })
	case c.set == forAny, !c.operator.negated:
		return slices.ContainsFunc(have, fits)
	}
	// Several values where the condition expects one: a negation denies them all.
	return !slices.ContainsFunc(have, func(v string) bool { return !fits(v) })
}

// withoutKey reports whether the condition holds if the request does not have the
// key.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
func (c condition) withoutKey() bool {
	switch {
	case c.ifExists, c.set == forAll:
		return true
	case c.set == forAny:
		return false
	}
	return c.operator.negated
}

// fits compares one value of the key: with any of the condition's, or with none
// of them under a negated operator.
func (c condition) fits(v string, ctx Context, effect Effect) bool {
	for _, o := range c.values {
		switch c.operator.compare(o, v, ctx) {
		case matched:
			return !c.operator.negated
		case unresolved:
			if c.operator.negated && effect == Allow {
				return false
			}
		}
	}
	return c.operator.negated
}
