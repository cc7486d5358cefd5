package policy_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/openslipway/slipway/internal/policy"
)

// generators of policies and requests over a small world, so that they meet.
var (
	actions   = rapid.SampledFrom([]string{"*", "a:*", "a:Get*", "a:GetX", "a:?etX", "b:Put", "b:*"})
	resources = rapid.SampledFrom([]string{"*", "arn:aws:a:::x/*", "arn:aws:a:::x/1", "arn:aws:a:::${aws:username}/*", "arn:aws:b:*"})
	requests  = rapid.Custom(func(t *rapid.T) policy.Request {
		c := policy.NewContext()
		if rapid.Bool().Draw(t, "named") {
			c.Set("aws:username", rapid.SampledFrom([]string{"x", "*", "y"}).Draw(t, "user"))
		}
		if rapid.Bool().Draw(t, "tagged") {
			c.Set("aws:TagKeys", rapid.SliceOfN(rapid.SampledFrom([]string{"k", "l", ""}), 0, 3).Draw(t, "tags")...)
		}
		return policy.Request{
			Action:   rapid.SampledFrom([]string{"a:GetX", "a:GetY", "b:Put", "c:Z"}).Draw(t, "action"),
			Resource: rapid.SampledFrom([]string{"*", "arn:aws:a:::x/1", "arn:aws:a:::y/1", "arn:aws:b:::q"}).Draw(t, "resource"),
			Context:  c,
		}
	})
	operators = rapid.SampledFrom([]string{
		"StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIfExists",
		"ForAllValues:StringEquals", "ForAnyValue:StringLike", "ForAllValues:StringNotLike", "ForAnyValue:StringNotEquals",
	})
)

func drawStatement(t *rapid.T, effect string) map[string]any {
	s := map[string]any{"Effect": effect}
	s[rapid.SampledFrom([]string{"Action", "NotAction"}).Draw(t, "a")] = rapid.SliceOfN(actions, 1, 3).Draw(t, "actions")
	s[rapid.SampledFrom([]string{"Resource", "NotResource"}).Draw(t, "r")] = rapid.SliceOfN(resources, 1, 3).Draw(t, "resources")
	if rapid.Bool().Draw(t, "conditional") {
		key := rapid.SampledFrom([]string{"aws:username", "aws:TagKeys"}).Draw(t, "key")
		values := rapid.SliceOfN(rapid.SampledFrom([]string{"x", "k*", "l", "${aws:username}"}), 1, 2).Draw(t, "values")
		s["Condition"] = map[string]any{operators.Draw(t, "operator"): map[string]any{key: values}}
	}
	return s
}

func drawPolicy(t *rapid.T, effects ...string) policy.Policy {
	var list []any
	for range rapid.IntRange(1, 3).Draw(t, "statements") {
		list = append(list, drawStatement(t, rapid.SampledFrom(effects).Draw(t, "effect")))
	}
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": list})
	if err != nil {
		t.Fatal(err)
	}
	d, err := policy.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return policy.Policy{Name: string(text), Document: d}
}

func drawPolicies(t *rapid.T) []policy.Policy {
	var list []policy.Policy
	for range rapid.IntRange(0, 3).Draw(t, "policies") {
		list = append(list, drawPolicy(t, "Allow", "Deny"))
	}
	return list
}

func TestDenyNeverAllowsMore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list, r := drawPolicies(t), requests.Draw(t, "request")
		before := policy.Decide(r, list)
		after := policy.Decide(r, append(list, drawPolicy(t, "Deny")))
		if after.Allowed() && !before.Allowed() || before.Effect == policy.Deny && after.Effect != policy.Deny {
			t.Fatalf("%v became %v", before, after)
		}
	})
}

func TestAllowNeverAllowsLess(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list, r := drawPolicies(t), requests.Draw(t, "request")
		before := policy.Decide(r, list)
		after := policy.Decide(r, append(list, drawPolicy(t, "Allow")))
		if before.Effect != "" && after.Effect != before.Effect || after.Effect == policy.Deny && before.Effect != policy.Deny {
			t.Fatalf("%v became %v", before, after)
		}
	})
}

func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list, r := drawPolicies(t), requests.Draw(t, "request")
		want := policy.Decide(r, list)
		got := policy.Decide(r, rapid.Permutation(list).Draw(t, "order"))
		if got.Effect != want.Effect {
			t.Fatalf("%v became %v", want, got)
		}
	})
}

// Wildcards without colons are those of a regular expression.
func TestWildcardsAgreeWithRegexp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOfN(rapid.RuneFrom([]rune("ab*?é")), 1, 8, -1).Draw(t, "pattern")
		s := rapid.StringOfN(rapid.RuneFrom([]rune("abé:")), 0, 10, -1).Draw(t, "text")
		expr := regexp.MustCompile(`(?s)^` + strings.NewReplacer("*", ".*", "?", ".").Replace(pattern) + `$`)
		d, err := policy.Parse([]byte(statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringLike":{"k:v":"` + pattern + `"}}`)))
		if err != nil {
			t.Fatal(err)
		}
		r := policy.Request{Action: "a:b", Resource: "*", Context: context(map[string][]string{"k:v": {s}})}
		if got := policy.Decide(r, []policy.Policy{{Document: d}}); got.Allowed() != expr.MatchString(s) {
			t.Fatalf("%q like %q: %v", s, pattern, got)
		}
	})
}

// In an ARN a * spans colons only at the end of its segment.
func TestResourceWildcardsAgreeWithRegexp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pattern := "arn:aws:s:::" + rapid.StringOfN(rapid.RuneFrom([]rune("ab*?::")), 1, 10, -1).Draw(t, "pattern")
		s := "arn:aws:s:::" + rapid.StringOfN(rapid.RuneFrom([]rune("ab:")), 1, 12, -1).Draw(t, "text")
		var expr strings.Builder
		for i := range len(pattern) {
			switch c := pattern[i]; {
			case c == '?':
				expr.WriteString("[^:]")
			case c != '*':
				expr.WriteString(regexp.QuoteMeta(string(c)))
			case strings.HasPrefix(strings.TrimLeft(pattern[i:], "*"), ":") || strings.Trim(pattern[i:], "*") == "":
				expr.WriteString(".*")
			default:
				expr.WriteString("[^:]*")
			}
		}
		want := regexp.MustCompile(`^` + expr.String() + `$`).MatchString(s)
		d, err := policy.Parse([]byte(statement(`"Effect":"Allow","Action":"*","Resource":"` + pattern + `"`)))
		if err != nil {
			t.Fatal(err)
		}
		got := policy.Decide(policy.Request{Action: "a:b", Resource: s}, []policy.Policy{{Document: d}})
		if got.Allowed() != want {
			t.Fatalf("%q like %q (%s): %v", s, pattern, &expr, got)
		}
	})
}

// FuzzParse: any bytes give a document that decides, or a *MalformedError.
func FuzzParse(f *testing.F) {
	for _, doc := range []string{
		statement(`"Sid":"A","Effect":"Allow","Action":["a:b","a:*"],"Resource":"arn:aws:s3:::${aws:username}/*"`),
		statement(`"Effect":"Deny","NotAction":"a:b","NotResource":"*","Condition":{"StringLike":{"aws:username":["${*}","x?"]}}`),
		statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"ForAllValues:DateLessThanIfExists":{"aws:CurrentTime":"2026-01-01"},"Null":{"a:b":true}}`),
		statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"},"ArnLike":{"a:b":"arn:*"},"BinaryEquals":{"a:c":"AAAA"}}`),
		`{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${"}}`,
		`{`, `[]`, `{"Statement":[{"Effect":{}}]}`,
	} {
		f.Add([]byte(doc), "a:b", "arn:aws:s3:::ann/x")
	}
	f.Fuzz(func(t *testing.T, doc []byte, action, resource string) {
		d, err := policy.Parse(doc)
		if err != nil {
			if m, ok := err.(*policy.MalformedError); !ok || m.Problem == "" {
				t.Fatalf("%v is no *MalformedError", err)
			}
			return
		}
		c := policy.NewContext()
		c.Set("aws:username", resource)
		c.Set("aws:TagKeys", action, resource)
		r := policy.Request{Action: action, Resource: resource, Context: c}
		first := policy.Decide(r, []policy.Policy{{Name: "p", Document: d}})
		if again := policy.Decide(r, []policy.Policy{{Name: "p", Document: d}}); again != first {
			t.Fatalf("%v, then %v", first, again)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	d := mustParse(b, statement(`"Effect":"Allow","Action":["apprunner:List*","apprunner:DescribeService"],"Resource":"arn:aws:apprunner:*:*:service/${aws:username}-*/*",
		"Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`))
	r := policy.Request{
		Action: "apprunner:DescribeService", Resource: "arn:aws:apprunner:us-east-1:000000000000:service/ann-shop/0f3c",
		Context: context(map[string][]string{"aws:SourceIp": {"10.1.1.1"}, "aws:username": {"ann"}}),
	}
	list := []policy.Policy{{Document: d}}
	for b.Loop() {
		if !policy.Decide(r, list).Allowed() {
			b.Fatal("refused")
		}
	}
}
