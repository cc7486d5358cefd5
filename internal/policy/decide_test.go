package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/policy"
)

func mustParse(t testing.TB, doc string) *policy.Document {
	t.Helper()
	d, err := policy.Parse([]byte(doc))
	if err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return d
}

func context(keys map[string][]string) policy.Context {
	c := policy.NewContext()
	for k, v := range keys {
		c.Set(k, v...)
	}
	return c
}

const shop = "arn:aws:apprunner:us-east-1:000000000000:service/shop/0f3c"

func TestActionsAndResources(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		elements, action, resource string
		want                       bool
	}{
		{`"Action":"*","Resource":"*"`, "apprunner:DeleteService", shop, true},
		{`"Action":"apprunner:DeleteService","Resource":"*"`, "apprunner:DeleteService", shop, true},
		{`"Action":"AppRunner:deleteSERVICE","Resource":"*"`, "apprunner:DeleteService", shop, true},
		{`"Action":"apprunner:Delete*","Resource":"*"`, "apprunner:DeleteService", shop, true},
		{`"Action":"apprunner:*Service","Resource":"*"`, "apprunner:DeleteService", shop, true},
		{`"Action":"apprunner:*Service","Resource":"*"`, "apprunner:ListServices", shop, false},
		{`"Action":"apprunner:?eleteService","Resource":"*"`, "apprunner:DeleteService", shop, true},
		{`"Action":"apprunner:?DeleteService","Resource":"*"`, "apprunner:DeleteService", shop, false},
		{`"Action":["ecr:*","apprunner:DeleteService"],"Resource":"*"`, "apprunner:DeleteService", shop, true},
		{`"Action":"ecr:*","Resource":"*"`, "apprunner:DeleteService", shop, false},
		{`"NotAction":"ecr:*","Resource":"*"`, "apprunner:DeleteService", shop, true},
		{`"NotAction":["ecr:*","apprunner:*"],"Resource":"*"`, "apprunner:DeleteService", shop, false},

		{`"Action":"*","Resource":"` + shop + `"`, "a:b", shop, true},
		{`"Action":"*","Resource":"arn:aws:apprunner:us-east-1:000000000000:service/shop/*"`, "a:b", shop, true},
		{`"Action":"*","Resource":"arn:aws:apprunner:us-east-1:000000000000:service/Shop/*"`, "a:b", shop, false},
		{`"Action":"*","Resource":"arn:aws:apprunner:us-east-1:000000000000:service/sho?/????"`, "a:b", shop, true},
		{`"Action":"*","Resource":"arn:aws:apprunner:us-east-1:000000000000:service/sho?/???"`, "a:b", shop, false},
		{`"Action":"*","Resource":"arn:aws:apprunner:*:*:service/shop/*"`, "a:b", shop, true},
		{`"Action":"*","Resource":"arn:aws:apprunner:*"`, "a:b", shop, true},
		{`"Action":"*","Resource":"arn:aws:apprunner:us-*-1:*:service/s*/*"`, "a:b", shop, true},
		{`"Action":"*","Resource":"arn:aws:apprunner:eu-*-1:*:service/s*/*"`, "a:b", shop, false},
		{`"Action":"*","Resource":"arn:aws:apprunner:us-east-1:000000000000:service/shop/*"`, "a:b", "*", false},
		{`"Action":"*","Resource":"*"`, "a:b", "*", true},
		{`"Action":"*","NotResource":"arn:aws:apprunner:*:*:service/prod/*"`, "a:b", shop, true},
		{`"Action":"*","NotResource":["arn:aws:apprunner:*:*:service/prod/*","arn:aws:apprunner:*:*:service/shop/*"]`, "a:b", shop, false},

		// A * within a segment keeps to it, one at its end does not.
		{`"Action":"*","Resource":"arn:aws:apprunner:us*east-1:000000000000:service/shop/0f3c"`, "a:b", shop, true},
		{`"Action":"*","Resource":"arn:aws:app*r:us-east-1:*shop/*"`, "a:b", shop, false},
		{`"Action":"*","Resource":"arn:aws:app*:000000000000:service/shop/0*"`, "a:b", shop, true},
		{`"Action":"*","Resource":"arn:aws:*:service/*p/*"`, "a:b", shop, true},
		{`"Action":"*","Resource":"arn:aws:logs:*:*:log-group:/aws/*:*"`, "a:b", "arn:aws:logs:us-east-1:0:log-group:/aws/apprunner/x:log-stream:y", true},
	} {
		d := mustParse(t, statement(`"Effect":"Allow",`+c.elements))
		got := policy.Decide(policy.Request{Action: c.action, Resource: c.resource}, []policy.Policy{{Name: "p", Document: d}})
		if got.Allowed() != c.want {
			t.Errorf("%s: %s on %s: %v, want %v", c.elements, c.action, c.resource, got, c.want)
		}
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	type keys = map[string][]string
	const gone = "\x00" // the key is not in the request
	for _, c := range []struct {
		condition string
		value     string // of the key k:v
		want      bool
	}{
		{`{"StringEquals":{"k:v":"a"}}`, "a", true},
		{`{"StringEquals":{"K:V":"a"}}`, "a", true},
		{`{"StringEquals":{"k:v":"a"}}`, "A", false},
		{`{"StringEquals":{"k:v":["b","a"]}}`, "a", true},
		{`{"StringEquals":{"k:v":"a*"}}`, "ab", false},
		{`{"StringEquals":{"k:v":"a*"}}`, "a*", true},
		{`{"StringEquals":{"k:v":"a"}}`, gone, false},
		{`{"StringNotEquals":{"k:v":"a"}}`, "b", true},
		{`{"StringNotEquals":{"k:v":"a"}}`, "a", false},
		{`{"StringNotEquals":{"k:v":["a","b"]}}`, "b", false},
		{`{"StringNotEquals":{"k:v":["a","b"]}}`, "c", true},
		{`{"StringNotEquals":{"k:v":"a"}}`, gone, true},
		{`{"StringEqualsIgnoreCase":{"k:v":"ab"}}`, "aB", true},
		{`{"StringEqualsIgnoreCase":{"k:v":"a*"}}`, "AB", false},
		{`{"StringNotEqualsIgnoreCase":{"k:v":"ab"}}`, "AB", false},
		{`{"StringNotEqualsIgnoreCase":{"k:v":"ab"}}`, "c", true},
		{`{"StringLike":{"k:v":"a*:?"}}`, "a:b:c", true},
		{`{"StringLike":{"k:v":"a?"}}`, "aé", true},
		{`{"StringLike":{"k:v":"a?"}}`, "a", false},
		{`{"StringLike":{"k:v":"*"}}`, "", true},
		{`{"StringLike":{"k:v":"*"}}`, gone, false},
		{`{"StringNotLike":{"k:v":"a*"}}`, "ab", false},
		{`{"StringNotLike":{"k:v":"a*"}}`, "b", true},
		{`{"StringNotLike":{"k:v":"a*"}}`, gone, true},

		{`{"NumericEquals":{"k:v":10}}`, "10.0", true},
		{`{"NumericEquals":{"k:v":"10"}}`, "ten", false},
		{`{"NumericNotEquals":{"k:v":10}}`, "11", true},
		{`{"NumericNotEquals":{"k:v":10}}`, "10", false},
		{`{"NumericLessThan":{"k:v":"10"}}`, "9.5", true},
		{`{"NumericLessThan":{"k:v":"10"}}`, "10", false},
		{`{"NumericLessThanEquals":{"k:v":"10"}}`, "10", true},
		{`{"NumericGreaterThan":{"k:v":"-1"}}`, "0", true},
		{`{"NumericGreaterThan":{"k:v":"9"}}`, "10", true}, // not as text
		{`{"NumericGreaterThanEquals":{"k:v":"10"}}`, "9", false},
		{`{"NumericGreaterThanEquals":{"k:v":"10"}}`, gone, false},

		{`{"DateEquals":{"k:v":"2026-01-31T10:00:00Z"}}`, "2026-01-31T11:00:00+01:00", true},
		{`{"DateEquals":{"k:v":"1769853600"}}`, "2026-01-31T10:00:00Z", true},
		{`{"DateNotEquals":{"k:v":"2026-01-31"}}`, "2026-01-31T00:00:00Z", false},
		{`{"DateLessThan":{"k:v":"2026-02"}}`, "2026-01-31T23:59:59.999Z", true},
		{`{"DateLessThan":{"k:v":"2026-02"}}`, "2026-02-01T00:00:00Z", false},
		{`{"DateLessThanEquals":{"k:v":"2026-02"}}`, "2026-02-01T00:00:00Z", true},
		{`{"DateGreaterThan":{"k:v":"2026"}}`, "2025-12-31T00:00:00Z", false},
		{`{"DateGreaterThan":{"k:v":"2026"}}`, "2026-01-01T00:00:01Z", true},
		{`{"DateGreaterThanEquals":{"k:v":"2026-01-01T00:00Z"}}`, "2026-01-01T00:00:00Z", true},
		{`{"DateGreaterThan":{"k:v":"2026"}}`, "soon", false},

		{`{"Bool":{"k:v":true}}`, "true", true},
		{`{"Bool":{"k:v":"True"}}`, "true", true},
		{`{"Bool":{"k:v":false}}`, "true", false},
		{`{"Bool":{"k:v":false}}`, gone, false},
		{`{"BoolIfExists":{"k:v":true}}`, gone, true},
		{`{"BinaryEquals":{"k:v":"QmluYXJ5"}}`, "QmluYXJ5", true},
		{`{"BinaryEquals":{"k:v":"QmluYXJ5"}}`, "QmluYXJz", false},

		{`{"IpAddress":{"k:v":"203.0.113.0/24"}}`, "203.0.113.77", true},
		{`{"IpAddress":{"k:v":"203.0.113.9/24"}}`, "203.0.113.77", true},
		{`{"IpAddress":{"k:v":"203.0.113.0/24"}}`, "203.0.114.1", false},
		{`{"IpAddress":{"k:v":"203.0.113.7"}}`, "203.0.113.7", true},
		{`{"IpAddress":{"k:v":"203.0.113.7"}}`, "::ffff:203.0.113.7", true},
		{`{"IpAddress":{"k:v":"2001:DB8::/32"}}`, "2001:db8:1::1", true},
		{`{"IpAddress":{"k:v":["10.0.0.0/8","2001:db8::/32"]}}`, "2001:db9::1", false},
		{`{"IpAddress":{"k:v":"10.0.0.0/8"}}`, gone, false},
		{`{"NotIpAddress":{"k:v":["10.0.0.0/8","192.168.0.0/16"]}}`, "192.168.1.1", false},
		{`{"NotIpAddress":{"k:v":["10.0.0.0/8","192.168.0.0/16"]}}`, "8.8.8.8", true},
		{`{"NotIpAddress":{"k:v":"10.0.0.0/8"}}`, gone, true},

		{`{"ArnEquals":{"k:v":"arn:aws:apprunner:*:*:connection/prod/*"}}`, "arn:aws:apprunner:us-east-1:000000000000:connection/prod/77", true},
		{`{"ArnLike":{"k:v":"arn:aws:apprunner:*:*:connection/prod/*"}}`, "arn:aws:apprunner:us-east-1:000000000000:connection/test/77", false},
		{`{"ArnLike":{"k:v":"arn:aws:*:connection/prod/*"}}`, "arn:aws:apprunner:us-east-1:0:connection/prod/7", false},
		{`{"ArnLike":{"k:v":"arn:aws:apprunner:*"}}`, "arn:aws:apprunner:us-east-1:0:connection/prod/7", true},
		{`{"ArnLike":{"k:v":"arn:aws:sns:*:*:*"}}`, "arn:aws:sns:us-east-1:0:topic:with:colons", true},
		{`{"ArnLike":{"k:v":"*"}}`, "no ARN", false},
		{`{"ArnNotEquals":{"k:v":"arn:aws:s3:::b"}}`, "arn:aws:s3:::b", false},
		{`{"ArnNotLike":{"k:v":"arn:aws:s3:::b*"}}`, "arn:aws:s3:::c", true},
		{`{"ArnNotLike":{"k:v":"arn:aws:s3:::b*"}}`, gone, true},

		{`{"Null":{"k:v":"true"}}`, gone, true},
		{`{"Null":{"k:v":"true"}}`, "x", false},
		{`{"Null":{"k:v":"false"}}`, "x", true},
		{`{"Null":{"k:v":false}}`, gone, false},
		{`{"Null":{"k:v":["true","false"]}}`, gone, true},

		{`{"StringEqualsIfExists":{"k:v":"a"}}`, gone, true},
		{`{"StringEqualsIfExists":{"k:v":"a"}}`, "a", true},
		{`{"StringEqualsIfExists":{"k:v":"a"}}`, "b", false},
		{`{"StringNotEqualsIfExists":{"k:v":"a"}}`, gone, true},

		// All operators and all keys must hold.
		{`{"StringLike":{"k:v":"a*"},"StringNotEquals":{"k:v":"ab"}}`, "ac", true},
		{`{"StringLike":{"k:v":"a*"},"StringNotEquals":{"k:v":"ab"}}`, "ab", false},
		{`{"StringLike":{"k:v":"a*","k:w":"*"}}`, "ac", false},
	} {
		k := keys{}
		if c.value != gone {
			k["k:v"] = []string{c.value}
		}
		if got := allowedIf(t, c.condition, k); got != c.want {
			t.Errorf("%s with %q: %v, want %v", c.condition, c.value, got, c.want)
		}
	}
}

// allowedIf reports whether a statement under the condition allows.
func allowedIf(t testing.TB, condition string, keys map[string][]string) bool {
	t.Helper()
	d := mustParse(t, statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":`+condition))
	return policy.Decide(policy.Request{Action: "a:b", Resource: "*", Context: context(keys)}, []policy.Policy{{Document: d}}).Allowed()
}

func TestSetsOfValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		condition string
		values    []string // of the key k:v; nil when it is not in the request
		want      bool
	}{
		{`{"ForAllValues:StringEquals":{"k:v":["a","b"]}}`, []string{"a", "b"}, true},
		{`{"ForAllValues:StringEquals":{"k:v":["a","b"]}}`, []string{"b"}, true},
		{`{"ForAllValues:StringEquals":{"k:v":["a","b"]}}`, []string{"a", "c"}, false},
		{`{"ForAllValues:StringEquals":{"k:v":["a","b"]}}`, []string{}, true},
		{`{"ForAllValues:StringEquals":{"k:v":["a","b"]}}`, []string{""}, true},
		{`{"ForAllValues:StringEquals":{"k:v":["a","b"]}}`, nil, true},
		{`{"ForAllValues:StringNotEquals":{"k:v":["a","b"]}}`, []string{"c", "d"}, true},
		{`{"ForAllValues:StringNotEquals":{"k:v":["a","b"]}}`, []string{"c", "a"}, false},
		{`{"ForAllValues:StringNotEquals":{"k:v":["a","b"]}}`, nil, true},
		{`{"ForAnyValue:StringEquals":{"k:v":["a","b"]}}`, []string{"c", "a"}, true},
		{`{"ForAnyValue:StringEquals":{"k:v":["a","b"]}}`, []string{"c"}, false},
		{`{"ForAnyValue:StringEquals":{"k:v":["a","b"]}}`, []string{}, false},
		{`{"ForAnyValue:StringEquals":{"k:v":["a","b"]}}`, nil, false},
		{`{"ForAnyValue:StringNotEquals":{"k:v":["a","b"]}}`, []string{"a", "c"}, true},
		{`{"ForAnyValue:StringNotEquals":{"k:v":["a","b"]}}`, []string{"a", "b"}, false},
		{`{"ForAnyValue:StringNotEquals":{"k:v":["a","b"]}}`, nil, false},
		{`{"ForAnyValue:StringLike":{"k:v":"x*"}}`, []string{"a", "xy"}, true},
		{`{"ForAnyValue:StringLikeIfExists":{"k:v":"x*"}}`, nil, true},
		{`{"ForAllValues:StringLikeIfExists":{"k:v":"x*"}}`, []string{"y"}, false},
		{`{"ForAllValues:NumericLessThan":{"k:v":10}}`, []string{"1", "9"}, true},
		{`{"ForAnyValue:IpAddress":{"k:v":"10.0.0.0/8"}}`, []string{"1.1.1.1", "10.1.1.1"}, true},
		// Without a quantifier: one value suffices, and a negation denies all.
		{`{"StringEquals":{"k:v":"a"}}`, []string{"b", "a"}, true},
		{`{"StringNotEquals":{"k:v":"a"}}`, []string{"b", "a"}, false},
		{`{"StringNotEquals":{"k:v":"a"}}`, []string{"b", "c"}, true},
		{`{"Null":{"k:v":"true"}}`, []string{}, true},
	} {
		keys := map[string][]string{}
		if c.values != nil {
			keys["k:v"] = c.values
		}
		if got := allowedIf(t, c.condition, keys); got != c.want {
			t.Errorf("%s with %q: %v, want %v", c.condition, c.values, got, c.want)
		}
	}
}

func TestVariables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version, elements, resource string
		keys                        map[string][]string
		want                        bool
	}{
		{"2012-10-17", `"Resource":"arn:aws:s3:::home/${aws:username}/*"`, "arn:aws:s3:::home/ann/x", map[string][]string{"aws:username": {"ann"}}, true},
		{"2012-10-17", `"Resource":"arn:aws:s3:::home/${AWS:UserName}/*"`, "arn:aws:s3:::home/ann/x", map[string][]string{"aws:username": {"ann"}}, true},
		{"2012-10-17", `"Resource":"arn:aws:s3:::home/${aws:username}/*"`, "arn:aws:s3:::home/bob/x", map[string][]string{"aws:username": {"ann"}}, false},
		{"2012-10-17", `"Resource":"arn:aws:s3:::home/${aws:username}/*"`, "arn:aws:s3:::home//x", nil, false},
		{"2008-10-17", `"Resource":"arn:aws:s3:::home/${aws:username}/*"`, "arn:aws:s3:::home/ann/x", map[string][]string{"aws:username": {"ann"}}, false},
		{"2008-10-17", `"Resource":"arn:aws:s3:::home/${aws:username}/*"`, "arn:aws:s3:::home/${aws:username}/x", nil, true},
		// The value of a variable is no pattern.
		{"2012-10-17", `"Resource":"arn:aws:s3:::home/${aws:username}/x"`, "arn:aws:s3:::home/bob/x", map[string][]string{"aws:username": {"*"}}, false},
		{"2012-10-17", `"Resource":"arn:aws:s3:::home/${aws:username}/x"`, "arn:aws:s3:::home/bob/x", map[string][]string{"aws:username": {"b?b"}}, false},
		{"2012-10-17", `"Resource":"arn:aws:s3:::home/${aws:username}/x"`, "arn:aws:s3:::home/*/x", map[string][]string{"aws:username": {"*"}}, true},
		{"2012-10-17", `"Resource":"arn:aws:s3:::home/${aws:username}/x"`, "arn:aws:s3:::home/ann/x", map[string][]string{"aws:username": {"${aws:userid}"}, "aws:userid": {"ann"}}, false},
		{"2012-10-17", `"Resource":"arn:aws:s*${aws:username}:::b"`, "arn:aws:s3:x:::b", map[string][]string{"aws:username": {":x"}}, true},
		{"2012-10-17", `"Resource":"arn:aws:s*${aws:username}:::b"`, "arn:aws:s3:y:x:::b", map[string][]string{"aws:username": {":x"}}, false},
		// The escapes.
		{"2012-10-17", `"Resource":"arn:aws:s3:::${*}"`, "arn:aws:s3:::abc", nil, false},
		{"2012-10-17", `"Resource":"arn:aws:s3:::${*}${?}${$}{x}"`, "arn:aws:s3:::*?${x}", nil, true},
		// Default values.
		{"2012-10-17", `"Resource":"arn:aws:s3:::${aws:PrincipalTag/team, 'none'}"`, "arn:aws:s3:::none", nil, true},
		{"2012-10-17", `"Resource":"arn:aws:s3:::${aws:PrincipalTag/team,'no*'}"`, "arn:aws:s3:::none", nil, false},
		{"2012-10-17", `"Resource":"arn:aws:s3:::${aws:PrincipalTag/team, 'none'}"`, "arn:aws:s3:::red", map[string][]string{"aws:PrincipalTag/Team": {"red"}}, true},
		{"2012-10-17", `"Resource":"arn:aws:s3:::${aws:PrincipalTag/team, ''}x"`, "arn:aws:s3:::x", nil, true},
		// Without a value, nothing fits, and a negation allows nothing.
		{"2012-10-17", `"Resource":["arn:aws:s3:::${aws:username}","arn:aws:s3:::b"]`, "arn:aws:s3:::b", nil, true},
		{"2012-10-17", `"NotResource":"arn:aws:s3:::${aws:username}"`, "arn:aws:s3:::b", nil, false},
		{"2012-10-17", `"NotResource":"arn:aws:s3:::${aws:username}"`, "arn:aws:s3:::b", map[string][]string{"aws:username": {"c"}}, true},
		{"2012-10-17", `"Resource":"*","Condition":{"StringEquals":{"k:v":"${aws:username}"}}`, "*", map[string][]string{"k:v": {""}}, false},
		{"2012-10-17", `"Resource":"*","Condition":{"StringNotEquals":{"k:v":"${aws:username}"}}`, "*", map[string][]string{"k:v": {"x"}}, false},
		{"2012-10-17", `"Resource":"*","Condition":{"StringEquals":{"k:v":["${aws:username}","x"]}}`, "*", map[string][]string{"k:v": {"x"}}, true},
		// A key of several values is none.
		{"2012-10-17", `"Resource":"arn:aws:s3:::${aws:TagKeys}"`, "arn:aws:s3:::a", map[string][]string{"aws:TagKeys": {"a", "b"}}, false},
		// In conditions.
		{"2012-10-17", `"Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/owner":"${aws:username}"}}`, "*", map[string][]string{"aws:ResourceTag/owner": {"ann"}, "aws:username": {"ann"}}, true},
		{"2012-10-17", `"Resource":"*","Condition":{"StringLike":{"aws:ResourceTag/owner":"${aws:username}"}}`, "*", map[string][]string{"aws:ResourceTag/owner": {"ann"}, "aws:username": {"*"}}, false},
		{"2012-10-17", `"Resource":"*","Condition":{"StringEqualsIgnoreCase":{"k:v":"${aws:username}-x"}}`, "*", map[string][]string{"k:v": {"ANN-X"}, "aws:username": {"ann"}}, true},
		{"2012-10-17", `"Resource":"*","Condition":{"ArnLike":{"k:v":"arn:aws:s3:::${aws:username}/*"}}`, "*", map[string][]string{"k:v": {"arn:aws:s3:::a:b/c"}, "aws:username": {"a:b"}}, true},
	} {
		d := mustParse(t, fmt.Sprintf(`{"Version":%q,"Statement":{"Effect":"Allow","Action":"*",%s}}`, c.version, c.elements))
		got := policy.Decide(policy.Request{Action: "a:b", Resource: c.resource, Context: context(c.keys)}, []policy.Policy{{Document: d}})
		if got.Allowed() != c.want {
			t.Errorf("%s %s: %s with %v: %v, want %v", c.version, c.elements, c.resource, c.keys, got.Allowed(), c.want)
		}
	}
}

// A Deny stays one when a variable of its negation has no value.
func TestUnresolvedNegationDenies(t *testing.T) {
	t.Parallel()
	for _, elements := range []string{
		`"Resource":"*","Condition":{"StringNotEquals":{"aws:ResourceTag/owner":"${aws:username}"}}`,
		`"NotResource":"arn:aws:s3:::${aws:username}"`,
	} {
		d := mustParse(t, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*",`+elements+`}]}`)
		r := policy.Request{Action: "a:b", Resource: "arn:aws:s3:::b", Context: context(map[string][]string{"aws:ResourceTag/owner": {"ann"}})}
		if got := policy.Decide(r, []policy.Policy{{Document: d}}); got.Effect != policy.Deny {
			t.Errorf("%s: %v", elements, got)
		}
	}
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	docs := map[string]string{
		"read":  `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*"},{"Sid":"Look","Effect":"Allow","Action":["apprunner:List*","apprunner:Describe*"],"Resource":"*"}]}`,
		"all":   `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"apprunner:*","Resource":"*"}}`,
		"fence": `{"Version":"2012-10-17","Statement":{"Sid":"NoProd","Effect":"Deny","NotAction":"apprunner:Describe*","Resource":"arn:aws:apprunner:*:*:service/prod/*"}}`,
	}
	prod := "arn:aws:apprunner:us-east-1:000000000000:service/prod/1"
	denied := policy.Decision{Effect: policy.Deny, Policy: "fence", Statement: 0, Sid: "NoProd"}
	allowed := policy.Decision{Effect: policy.Allow, Policy: "all", Statement: 0}
	for _, c := range []struct {
		policies         string
		action, resource string
		want             policy.Decision
	}{
		{"", "apprunner:ListServices", "*", policy.Decision{}},
		{"read", "apprunner:DeleteService", shop, policy.Decision{}},
		{"read", "apprunner:DescribeService", shop, policy.Decision{Effect: policy.Allow, Policy: "read", Statement: 1, Sid: "Look"}},
		{"all read", "apprunner:DescribeService", shop, allowed},
		{"all fence", "apprunner:DeleteService", prod, denied},
		{"fence all", "apprunner:DeleteService", prod, denied},
		{"fence", "apprunner:DeleteService", prod, denied},
		{"all fence", "apprunner:DescribeService", prod, allowed},
		{"all fence", "apprunner:DeleteService", shop, allowed},
	} {
		var list []policy.Policy
		for _, name := range strings.Fields(c.policies) {
			list = append(list, policy.Policy{Name: name, Document: mustParse(t, docs[name])})
		}
		got := policy.Decide(policy.Request{Action: c.action, Resource: c.resource}, list)
		if got != c.want || got.Allowed() != (c.want.Effect == policy.Allow) {
			t.Errorf("%s on %s under %q: %+v, want %+v", c.action, c.resource, c.policies, got, c.want)
		}
	}
}

func TestContext(t *testing.T) {
	t.Parallel()
	a := context(map[string][]string{"aws:SourceIp": {"1.1.1.1"}, "aws:TagKeys": nil})
	b := policy.NewContext()
	b.Add("AWS:sourceip", "2.2.2.2")
	b.Add("aws:SourceIP", "3.3.3.3")
	both := a.With(b)
	if v, ok := both.Lookup("aws:SourceIp"); !ok || !slices.Equal(v, []string{"2.2.2.2", "3.3.3.3"}) {
		t.Errorf("aws:SourceIp is %q", v)
	}
	if v, ok := both.Lookup("aws:tagkeys"); !ok || len(v) != 0 {
		t.Errorf("aws:TagKeys is %q, %v", v, ok)
	}
	if v, _ := a.Lookup("aws:SourceIp"); !slices.Equal(v, []string{"1.1.1.1"}) {
		t.Errorf("With changed what it was called on: %q", v)
	}
	if _, ok := (policy.Context{}).Lookup("x:y"); ok {
		t.Error("the zero context has a key")
	}
}
