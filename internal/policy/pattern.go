package policy

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// pattern is a compiled text with wildcards and policy variables.
type pattern []token

// token is a piece of a pattern.
type token struct {
	kind     tokenKind
	text     string // of a literal; of a variable, its key in lower case
	fallback string // of a variable that has one
	defaults bool   // it has one
	expanded bool   // a literal that is a variable's value
}

type tokenKind uint8

const (
	literal  tokenKind = iota
	any1               // ?
	anyRun             // *
	variable           // ${key} or ${key, 'default'}
)

// syntax says which special elements a pattern has.
type syntax struct{ wildcards, variables bool }

// compile compiles a text to a pattern.
func compile(s string, x syntax) (pattern, error) {
	var p pattern
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			p = append(p, token{kind: literal, text: lit.String()})
			lit.Reset()
		}
	}
	for s != "" {
		switch {
		case x.variables && strings.HasPrefix(s, "${"):
			end := strings.IndexByte(s, '}')
			if end < 0 {
				return nil, fmt.Errorf("has a variable that is not closed: %q", s)
			}
			name := s[2:end]
			s = s[end+1:]
			if name == "*" || name == "?" || name == "$" { // the escapes
				lit.WriteString(name)
				continue
			}
			v, err := parseVariable(name)
			if err != nil {
				return nil, err
			}
			flush()
			p = append(p, v)
			continue
		case x.wildcards && s[0] == '*':
			flush()
			if n := len(p); n == 0 || p[n-1].kind != anyRun {
				p = append(p, token{kind: anyRun})
			}
		case x.wildcards && s[0] == '?':
			flush()
			p = append(p, token{kind: any1})
		default:
			lit.WriteByte(s[0])
		}
		s = s[1:]
	}
	flush()
	return p, nil
}

// parseVariable parses the text between the braces of a variable.
func parseVariable(s string) (token, error) {
	key, fallback, defaults := strings.Cut(s, ",")
	key = strings.TrimSpace(key)
	t := token{kind: variable, text: strings.ToLower(key), defaults: defaults}
	if err := checkKey(key); err != nil {
		return t, fmt.Errorf("has the variable ${%s}, whose name %w", s, err)
	}
	if !defaults {
		return t, nil
	}
	fallback = strings.TrimSpace(fallback)
	if len(fallback) < 2 || fallback[0] != '\'' || fallback[len(fallback)-1] != '\'' {
		return t, fmt.Errorf("has the variable ${%s}, whose default value must be in single quotes", s)
	}
	t.fallback = fallback[1 : len(fallback)-1]
	return t, nil
}

// outcome is the result of matching a value.
type outcome uint8

const (
	differs    outcome = iota
	matched            // the value matches
	unresolved         // a variable of the pattern has no value: nothing matches
)

// reach says what a * may match.
type reach uint8

const (
	// all: any characters.
	all reach = iota
	// segments: within the segments of an ARN, which colons part, unless the *
	// ends its segment: "If the * wildcard character is the last character of a
	// resource ARN segment, it can expand to match beyond the colon boundaries."
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
	segments
)

// match matches a whole value. The value of a variable is literal: a * in it is
// no wildcard.
func (p pattern) match(s string, c Context, r reach) outcome {
	resolved, ok := p.resolve(c)
	if !ok {
		return unresolved
	}
	if resolved.fits(s, r) {
		return matched
	}
	return differs
}

// resolve replaces variables by their values. A key with no value or several
// values cannot replace one.
func (p pattern) resolve(c Context) (pattern, bool) {
	out := p
	for i, t := range p {
		if t.kind != variable {
			continue
		}
		value := t.fallback
		if v, ok := c.lookup(t.text); ok && len(v) == 1 {
			value = v[0]
		} else if !t.defaults {
			return nil, false
		}
		if &out[0] == &p[0] {
			out = append(pattern{}, p...)
		}
		out[i] = token{kind: literal, text: value, expanded: true}
	}
	return out, true
}

// fits matches with one backtracking point, the last * passed. One is enough
// because an earlier * that could match no further cannot help, so the time is
// bounded by the product of both lengths. A * that may not pass a colon gives up
// at the colon; an earlier * that may pass it continues instead.
func (p pattern) fits(s string, r reach) bool {
	type retry struct {
		token int // behind the *
		at    int // where in s the text of the * ends so far
	}
	var free, bound retry // the last * of each kind that was passed
	free.token, bound.token = -1, -1
	i, at := 0, 0
	for {
		if i == len(p) && at == len(s) {
			return true
		}
		if i < len(p) {
			switch t := p[i]; t.kind {
			case anyRun:
				i++
				if r == all || p.endsSegment(i) {
					free, bound = retry{i, at}, retry{-1, 0}
				} else {
					bound = retry{i, at}
				}
				continue
			case any1:
				if at < len(s) && (r == all || s[at] != ':') {
					_, n := utf8.DecodeRuneInString(s[at:])
					i, at = i+1, at+n
					continue
				}
			case literal:
				if strings.HasPrefix(s[at:], t.text) {
					i, at = i+1, at+len(t.text)
					continue
				}
			}
		}
		switch { // backtrack to the last * that can match one more character
		case bound.token >= 0 && bound.at < len(s) && s[bound.at] != ':':
			bound.at++
			i, at = bound.token, bound.at
		case free.token >= 0 && free.at < len(s):
			free.at++
			i, at, bound.token = free.token, free.at, -1
		default:
			return false
		}
	}
}

// endsSegment reports whether the token at i begins a new segment of an ARN, or
// is none.
func (p pattern) endsSegment(i int) bool {
	return i == len(p) || p[i].kind == literal && !p[i].expanded && strings.HasPrefix(p[i].text, ":")
}

// matchesAction matches an action regardless of letter case; the patterns are in
// lower case.
func matchesAction(patterns []pattern, action string) bool {
	action = strings.ToLower(action)
	for _, p := range patterns {
		if p.fits(action, all) {
			return true
		}
	}
	return false
}
