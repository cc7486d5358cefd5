package policy

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// operator is a condition operator without its prefix and suffix.
type operator struct {
	// parse reads a value of a policy once; its error completes the sentence
	// "the value ...".
	parse func(text string, variables bool) (operand, error)

	// compare says whether a value of a request fits the operand of the
	// operator that this one negates, or is.
	compare func(o operand, value string, c Context) outcome

	negated  bool
	presence bool // Null, which asks for the key and not its value
}

// operand is a value of a policy, as the operator reads it.
type operand struct {
	pattern pattern   // of strings
	arn     []pattern // of ARNs: the six parts
	number  float64
	time    time.Time
	truth   bool
	bytes   []byte
	prefix  netip.Prefix
}

// operators returns the condition operators by name.
func operators() map[string]operator {
	text := operator{parse: parseText(variablesOnly), compare: compareText}
	fold := operator{parse: parseText(foldedVariables), compare: compareFolded}
	like := operator{parse: parseText(wildcardsToo), compare: compareText}
	arn := operator{parse: parseARN, compare: compareARN}
	date := operator{parse: parseDate}
	number := operator{parse: parseNumber}
	address := operator{parse: parsePrefix, compare: compareAddress}
	m := map[string]operator{
		"StringEquals":              text,
		"StringNotEquals":           text.not(),
		"StringEqualsIgnoreCase":    fold,
		"StringNotEqualsIgnoreCase": fold.not(),
		"StringLike":                like,
		"StringNotLike":             like.not(),
		"ArnEquals":                 arn, // the two pairs are the same, says IAM
		"ArnLike":                   arn,
		"ArnNotEquals":              arn.not(),
		"ArnNotLike":                arn.not(),
		"IpAddress":                 address,
		"NotIpAddress":              address.not(),
		"Bool":                      {parse: parseTruth, compare: compareTruth},
		"BinaryEquals":              {parse: parseBinary, compare: compareBinary},
		"Null":                      {parse: parseTruth, presence: true},
	}
	for suffix, holds := range map[string]func(order int) bool{
		"Equals":            func(o int) bool { return o == 0 },
		"LessThan":          func(o int) bool { return o < 0 },
		"LessThanEquals":    func(o int) bool { return o <= 0 },
		"GreaterThan":       func(o int) bool { return o > 0 },
		"GreaterThanEquals": func(o int) bool { return o >= 0 },
	} {
		number.compare, date.compare = compareNumber(holds), compareDate(holds)
		m["Numeric"+suffix], m["Date"+suffix] = number, date
	}
	m["NumericNotEquals"], m["DateNotEquals"] = m["NumericEquals"].not(), m["DateEquals"].not()
	return m
}

func (o operator) not() operator {
	o.negated = true
	return o
}

func outcomeOf(fits bool) outcome {
	if fits {
		return matched
	}
	return differs
}

// The ways to read a string.
type textSyntax struct{ wildcards, folded bool }

var (
	variablesOnly   = textSyntax{}
	foldedVariables = textSyntax{folded: true}
	wildcardsToo    = textSyntax{wildcards: true}
)

func parseText(x textSyntax) func(string, bool) (operand, error) {
	return func(s string, variables bool) (operand, error) {
		p, err := compile(s, syntax{wildcards: x.wildcards, variables: variables})
		return operand{pattern: p}, err
	}
}

func compareText(o operand, v string, c Context) outcome { return o.pattern.match(v, c, all) }

func compareFolded(o operand, v string, c Context) outcome {
	p, ok := o.pattern.resolve(c)
	if !ok {
		return unresolved
	}
	var b strings.Builder
	for _, t := range p {
		b.WriteString(t.text)
	}
	return outcomeOf(strings.EqualFold(b.String(), v))
}

// arnParts is how many parts an ARN has; the last may hold colons.
const arnParts = 6

func parseARN(s string, variables bool) (o operand, err error) {
	p, err := compile(s, syntax{wildcards: true, variables: variables})
	if err != nil {
		return o, err
	}
	o.arn = p.split()
	if len(o.arn) < arnParts && (len(p) == 0 || p[len(p)-1].kind != anyRun) {
		return o, errors.New("is not an ARN (arn:partition:service:region:account:resource)")
	}
	for len(o.arn) < arnParts { // a * at the end stands for all further parts
		o.arn = append(o.arn, pattern{{kind: anyRun}})
	}
	return o, nil
}

// split cuts a pattern at the first colons of its literals into the parts of an
// ARN.
func (p pattern) split() []pattern {
	parts := []pattern{nil}
	for _, t := range p {
		if t.kind != literal {
			parts[len(parts)-1] = append(parts[len(parts)-1], t)
			continue
		}
		for i, piece := range strings.SplitN(t.text, ":", arnParts-len(parts)+1) {
			if i > 0 {
				parts = append(parts, nil)
			}
			if piece != "" {
				parts[len(parts)-1] = append(parts[len(parts)-1], token{kind: literal, text: piece})
			}
		}
	}
	return parts
}

// compareARN compares part by part: "Each of the six colon-delimited components
// of the ARN is checked separately".
func compareARN(o operand, v string, c Context) outcome {
	have := strings.SplitN(v, ":", arnParts)
	if len(have) != arnParts {
		return differs
	}
	for i, p := range o.arn {
		if got := p.match(have[i], c, all); got != matched {
			return got
		}
	}
	return matched
}

func parseNumber(s string, _ bool) (operand, error) {
	n, ok := number(s)
	if !ok {
		return operand{}, errors.New("is not a number")
	}
	return operand{number: n}, nil
}

func number(s string) (float64, bool) {
	if strings.Trim(s, "+-.0123456789eE") != "" { // ParseFloat also reads hex, underscores, Inf
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil && !math.IsInf(n, 0)
}

func compareNumber(holds func(int) bool) func(operand, string, Context) outcome {
	return func(o operand, v string, _ Context) outcome {
		n, ok := number(v)
		switch {
		case !ok:
			return differs
		case n < o.number:
			return outcomeOf(holds(-1))
		case n > o.number:
			return outcomeOf(holds(1))
		}
		return outcomeOf(holds(0))
	}
}

func parseDate(s string, _ bool) (operand, error) {
	t, ok := instant(s)
	if !ok {
		return operand{}, errors.New("is not a date of ISO 8601 (2026-01-31T15:04:05Z) nor seconds since 1970")
	}
	return operand{time: t}, nil
}

// instant reads the W3C's profile of ISO 8601, or seconds since 1970.
func instant(s string) (time.Time, bool) {
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05.999999999-0700", "2006-01-02", "2006-01", "2006",
	} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	n, ok := number(s)
	if !ok || math.Abs(n) > 1e11 {
		return time.Time{}, false
	}
	whole, part := math.Modf(n)
	return time.Unix(int64(whole), int64(part*1e9)), true
}

func compareDate(holds func(int) bool) func(operand, string, Context) outcome {
	return func(o operand, v string, _ Context) outcome {
		t, ok := instant(v)
		return outcomeOf(ok && holds(t.Compare(o.time)))
	}
}

func parseTruth(s string, _ bool) (o operand, err error) {
	var ok bool
	if o.truth, ok = truth(s); !ok {
		return o, errors.New("is neither true nor false")
	}
	return o, nil
}

func truth(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

func compareTruth(o operand, v string, _ Context) outcome {
	t, ok := truth(v)
	return outcomeOf(ok && t == o.truth)
}

func parseBinary(s string, _ bool) (operand, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return operand{}, errors.New("is not base64")
	}
	return operand{bytes: b}, nil
}

func compareBinary(o operand, v string, _ Context) outcome {
	b, err := base64.StdEncoding.DecodeString(v)
	return outcomeOf(err == nil && bytes.Equal(b, o.bytes))
}

func parsePrefix(s string, _ bool) (operand, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return operand{prefix: netip.PrefixFrom(a, a.BitLen())}, nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return operand{}, errors.New("is neither an IP address nor a range as 203.0.113.0/24")
	}
	return operand{prefix: p.Masked()}, nil
}

func compareAddress(o operand, v string, _ Context) outcome {
	a, err := netip.ParseAddr(v)
	return outcomeOf(err == nil && o.prefix.Contains(a.Unmap().WithZone("")))
}
