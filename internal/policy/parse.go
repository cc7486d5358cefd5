package policy

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Document is a parsed policy document. It never changes.
type Document struct {
	statements []statement
}

// statement is one parsed statement.
type statement struct {
	sid         string
	effect      Effect
	actions     []pattern // in lower case
	notAction   bool      // actions are those it does not speak of
	resources   []pattern
	notResource bool
	conditions  []condition
}

// MalformedError says what IAM would not accept in a document. IAM's name for it
// is MalformedPolicyDocument.
type MalformedError struct {
	Element string // "Statement[1].Effect", counted from 0; "" for the whole
	Problem string // a sentence
}

func (e *MalformedError) Error() string {
	if e.Element == "" {
		return e.Problem
	}
	return e.Element + ": " + e.Problem
}

func malformed(element, format string, args ...any) error {
	return &MalformedError{Element: element, Problem: fmt.Sprintf(format, args...)}
}

// The versions of the language. Variables exist since the second.
const (
	version2008 = "2008-10-17"
	version2012 = "2012-10-17"
)

// Parse reads the document of an identity-based policy. It refuses with a
// *MalformedError what IAM refuses, unknown elements among it.
func Parse(text []byte) (*Document, error) {
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, malformed("", "This policy contains invalid Json: %s", complaint(err))
	}
	top, ok := doc.(map[string]any)
	if !ok {
		return nil, malformed("", "Syntax errors in policy. It must be a JSON object.")
	}
	if err := onlyKnown("", top, "Version", "Id", "Statement"); err != nil {
		return nil, err
	}
	version, err := optionalString("Version", top["Version"], version2008)
	if err != nil {
		return nil, err
	}
	if version != version2008 && version != version2012 {
		return nil, malformed("Version", "The policy must contain a valid version string, %s or %s, not %q.", version2012, version2008, version)
	}
	if _, err := optionalString("Id", top["Id"], ""); err != nil {
		return nil, err
	}
	d := &Document{}
	p := parser{variables: version == version2012, operators: operators()}
	err = each("Statement", top["Statement"], func(at string, v any) error {
		s, err := p.statement(at, v)
		d.statements = append(d.statements, s)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(d.statements) == 0 {
		return nil, malformed("Statement", "Syntax errors in policy. A policy must have at least one statement.")
	}
	return d, d.checkSids()
}

// complaint says where JSON is broken.
func complaint(err error) string {
	s, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case !ok:
		return "it is not valid JSON."
	case errors.Is(err, jsontext.ErrDuplicateName):
		return fmt.Sprintf("an object names a member twice (at byte %d).", s.ByteOffset)
	}
	return fmt.Sprintf("it is not valid JSON at byte %d.", s.ByteOffset)
}

func (d *Document) checkSids() error {
	seen := map[string]bool{}
	for i, s := range d.statements {
		if s.sid != "" && seen[s.sid] {
			return malformed(fmt.Sprintf("Statement[%d].Sid", i), "Statement IDs (SID) in a single policy must be unique; %q is there twice.", s.sid)
		}
		seen[s.sid] = true
	}
	return nil
}

// parser reads statements of one version of the language.
type parser struct {
	variables bool
	operators map[string]operator
}

var sidForm = regexp.MustCompile(`^[0-9A-Za-z]*$`)

func (p parser) statement(at string, v any) (s statement, err error) {
	m, ok := v.(map[string]any)
	if !ok {
		return s, malformed(at, "Syntax errors in policy. A statement must be a JSON object.")
	}
	for _, name := range []string{"Principal", "NotPrincipal"} {
		if _, there := m[name]; there {
			return s, malformed(at+"."+name, "Policy document should not specify a principal.")
		}
	}
	if err := onlyKnown(at, m, "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"); err != nil {
		return s, err
	}
	if s.sid, err = optionalString(at+".Sid", m["Sid"], ""); err != nil {
		return s, err
	}
	if !sidForm.MatchString(s.sid) {
		return s, malformed(at+".Sid", "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*; %q does not.", s.sid)
	}
	effect, _ := m["Effect"].(string)
	if s.effect = Effect(effect); s.effect != Allow && s.effect != Deny {
		return s, malformed(at+".Effect", "Syntax errors in policy. The effect must be Allow or Deny.")
	}
	if s.actions, s.notAction, err = p.either(at, m, "Action", p.action); err != nil {
		return s, err
	}
	if s.resources, s.notResource, err = p.either(at, m, "Resource", p.resource); err != nil {
		return s, err
	}
	s.conditions, err = p.conditions(at+".Condition", m["Condition"])
	return s, err
}

// either reads Action or NotAction, Resource or NotResource: one of the two,
// with at least one text.
func (p parser) either(at string, m map[string]any, name string, read func(string) (pattern, error)) (list []pattern, not bool, err error) {
	v, plain := m[name]
	w, not := m["Not"+name]
	switch {
	case plain && not:
		return nil, false, malformed(at+".Not"+name, "Syntax errors in policy. A statement has either %s or Not%s, not both.", name, name)
	case not:
		v, name = w, "Not"+name
	}
	what := strings.ToLower(strings.TrimPrefix(name, "Not")) + "s"
	at += "." + name
	err = each(at, v, func(at string, v any) error {
		text, ok := v.(string)
		if !ok {
			return malformed(at, "Syntax errors in policy. It must be a string.")
		}
		pat, err := read(text)
		if err != nil {
			return malformed(at, "%v", err)
		}
		list = append(list, pat)
		return nil
	})
	if err == nil && len(list) == 0 {
		err = malformed(at, "Policy statement must contain %s.", what)
	}
	return list, not, err
}

var (
	vendorForm = regexp.MustCompile(`^[0-9A-Za-z-]+$`)
	actionForm = regexp.MustCompile(`^[0-9A-Za-z*?-]+$`)
)

func (parser) action(s string) (pattern, error) {
	if s != "*" {
		vendor, name, ok := strings.Cut(s, ":")
		switch {
		case !ok || vendor == "":
			return nil, malformed("", `Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.; %q is not.`, s)
		case !vendorForm.MatchString(vendor):
			return nil, malformed("", "Vendor %s is not valid in the action %q.", vendor, s)
		case !actionForm.MatchString(name):
			return nil, malformed("", "Action %q is not valid: after the colon come letters, digits, - and the wildcards * and ?.", s)
		}
	}
	return compile(strings.ToLower(s), syntax{wildcards: true})
}

var partitionForm = regexp.MustCompile(`^(aws(-[a-z]+)*|[a-z*?-]*[*?][a-z*?-]*)$`)

func (p parser) resource(s string) (pattern, error) {
	pat, err := compile(s, syntax{wildcards: true, variables: p.variables})
	if err != nil {
		return nil, malformed("", "Resource %s %v.", s, err)
	}
	if s == "*" {
		return pat, nil
	}
	f := strings.SplitN(s, ":", 6)
	if f[0] != "arn" || len(f) < 2 {
		return nil, malformed("", `Resource %s must be in ARN format or "*".`, s)
	}
	if !partitionForm.MatchString(f[1]) {
		return nil, malformed("", "Partition %q is not valid for resource %q.", f[1], s)
	}
	// A * that ends the text stands for all further parts.
	last := f[len(f)-1]
	if len(f) < 6 && !strings.HasSuffix(last, "*") || len(f) == 6 && last == "" {
		return nil, malformed("", `Resource %s must be in ARN format or "*": arn:partition:service:region:account:resource.`, s)
	}
	return pat, nil
}

// each calls f for every element of a list. A single value is a list of one, and no
// value is an empty list.
func each(at string, v any, f func(at string, v any) error) error {
	list, ok := v.([]any)
	if !ok {
		if v == nil {
			return nil
		}
		return f(at, v)
	}
	for i, e := range list {
		if err := f(at+"["+strconv.Itoa(i)+"]", e); err != nil {
			return err
		}
	}
	return nil
}

func onlyKnown(at string, m map[string]any, known ...string) error {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if slices.Contains(known, name) {
			continue
		}
		return malformed(strings.TrimPrefix(at+"."+name, "."), "Syntax errors in policy. There is no such element; there are %s.", strings.Join(known, ", "))
	}
	return nil
}

func optionalString(at string, v any, absent string) (string, error) {
	if v == nil {
		return absent, nil
	}
	s, ok := v.(string)
	if !ok {
		return "", malformed(at, "Syntax errors in policy. It must be a string.")
	}
	return s, nil
}

var (
	keyVendor = regexp.MustCompile(`^[0-9A-Za-z-]+$`)
	keyName   = regexp.MustCompile(`^[\p{L}\p{N} +=._:/@-]+$`) // as far as tags' keys may go
)

// checkKey checks the name of a condition key. The error completes the sentence
// "the key ...".
func checkKey(s string) error {
	vendor, name, ok := strings.Cut(s, ":")
	if !ok || !keyVendor.MatchString(vendor) {
		return errors.New("must be prefaced by a vendor, as aws:SourceIp is")
	}
	if !keyName.MatchString(name) {
		return errors.New("is not valid")
	}
	return nil
}
