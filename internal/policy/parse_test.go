package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/policy"
)

// statement completes a statement that allows everything with other elements.
func statement(elements string) string {
	return `{"Version":"2012-10-17","Statement":[{` + elements + `}]}`
}

func TestParseAccepts(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"a list of statements":        statement(`"Effect":"Allow","Action":"*","Resource":"*"`),
		"one statement, no list":      `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`,
		"no version":                  `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`,
		"the old version, an id":      `{"Version":"2008-10-17","Id":"x","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`,
		"lists":                       statement(`"Sid":"A1","Effect":"Allow","Action":["apprunner:List*","ecr:?et*"],"Resource":["*","arn:aws:s3:::b/*"]`),
		"the negations":               statement(`"Effect":"Allow","NotAction":"iam:*","NotResource":"arn:aws:s3:::b"`),
		"an ARN that ends early in *": statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:apprunner:*"`),
		"other partitions":            statement(`"Effect":"Allow","Action":"*","Resource":["arn:aws-us-gov:s3:::b","arn:*:s3:::b"]`),
		"variables":                   statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:username}/${aws:PrincipalTag/team, 'none'}/${*}${?}${$}"`),
		"a variable of old":           `{"Statement":{"Effect":"Deny","Action":"*","Resource":"arn:aws:s3:::${open"}}`,
		"an empty condition":          statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{}`),
		"an operator without keys":    statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{}}`),
		"numbers and booleans": statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{
			"NumericLessThan":{"s3:max-keys":10},"Bool":{"aws:SecureTransport":[true,"false"]},"StringEquals":{"aws:PrincipalAccount":123456789012}}`),
		"prefix and suffix": statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{
			"ForAllValues:StringLikeIfExists":{"aws:TagKeys":["a","b*"]},"ForAnyValue:StringEquals":{"aws:TagKeys":"a"}}`),
		"a key with a tag in it": statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/cost center:é":"x"}}`),
	} {
		if _, err := policy.Parse([]byte(doc)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	all := `"Effect":"Allow","Action":"*","Resource":"*"`
	condition := func(c string) string { return statement(all + `,"Condition":` + c) }
	for _, c := range []struct{ doc, want string }{
		{``, "This policy contains invalid Json: it is not valid JSON"},
		{`{"Version":`, "This policy contains invalid Json"},
		{`{"Statement":[],"Statement":[]}`, "names a member twice"},
		{"{\"Version\":\"\xff\"}", "This policy contains invalid Json"},
		{`[]`, "It must be a JSON object"},
		{`null`, "It must be a JSON object"},
		{`{}`, "Statement: Syntax errors in policy. A policy must have at least one"},
		{`{"Version":"2012-10-17","Statement":[]}`, "A policy must have at least one"},
		{`{"Version":"2012-10-18","Statement":{` + all + `}}`, `Version: The policy must contain a valid version string`},
		{`{"Version":2012,"Statement":{` + all + `}}`, `Version: Syntax errors in policy. It must be a string`},
		{`{"version":"2012-10-17","Statement":{` + all + `}}`, `version: Syntax errors in policy. There is no such element`},
		{`{"Statement":{` + all + `},"Id":1}`, `Id: Syntax errors`},
		{`{"Statement":["x"]}`, `Statement[0]: Syntax errors in policy. A statement must be a JSON object`},
		{statement(all + `,"Principal":"*"`), "Statement[0].Principal: Policy document should not specify a principal."},
		{statement(all + `,"NotPrincipal":{"AWS":"*"}`), "Statement[0].NotPrincipal: Policy document should not specify a principal."},
		{statement(all + `,"Actions":"*"`), "Statement[0].Actions: Syntax errors in policy. There is no such element"},
		{statement(all + `,"Sid":"a-b"`), "Statement[0].Sid: Statement IDs (SID) must be alpha-numeric"},
		{statement(all + `,"Sid":7`), "Statement[0].Sid: Syntax errors in policy. It must be a string"},
		{statement(all + `,"Sid":"a"},{` + all + `,"Sid":"a"`), "Statement[1].Sid: Statement IDs (SID) in a single policy must be unique"},
		{statement(`"Action":"*","Resource":"*"`), "Statement[0].Effect: Syntax errors in policy. The effect must be Allow or Deny"},
		{statement(`"Effect":"allow","Action":"*","Resource":"*"`), "Statement[0].Effect"},
		{statement(`"Effect":"Allow","Resource":"*"`), "Statement[0].Action: Policy statement must contain actions."},
		{statement(`"Effect":"Allow","Action":[],"Resource":"*"`), "Statement[0].Action: Policy statement must contain actions."},
		{statement(`"Effect":"Allow","NotAction":[],"Resource":"*"`), "Statement[0].NotAction: Policy statement must contain actions."},
		{statement(`"Effect":"Allow","Action":"*"`), "Statement[0].Resource: Policy statement must contain resources."},
		{statement(all + `,"NotAction":"*"`), "Statement[0].NotAction: Syntax errors in policy. A statement has either Action or NotAction"},
		{statement(all + `,"NotResource":"*"`), "Statement[0].NotResource: Syntax errors"},
		{statement(`"Effect":"Allow","Action":["*",7],"Resource":"*"`), "Statement[0].Action[1]: Syntax errors in policy. It must be a string"},
		{statement(`"Effect":"Allow","Action":[["*"]],"Resource":"*"`), "Statement[0].Action[0]: Syntax errors"},
		{statement(`"Effect":"Allow","Action":"CreateService","Resource":"*"`), "Statement[0].Action: Actions/Conditions must be prefaced by a vendor"},
		{statement(`"Effect":"Allow","Action":":x","Resource":"*"`), "must be prefaced by a vendor"},
		{statement(`"Effect":"Allow","Action":"app*:x","Resource":"*"`), "Vendor app* is not valid"},
		{statement(`"Effect":"Allow","Action":"apprunner:","Resource":"*"`), `Action "apprunner:" is not valid`},
		{statement(`"Effect":"Allow","Action":"apprunner:${aws:username}","Resource":"*"`), "is not valid"},
		{statement(`"Effect":"Allow","Action":"*","Resource":"shop"`), `Statement[0].Resource: Resource shop must be in ARN format or "*".`},
		{statement(`"Effect":"Allow","Action":"*","Resource":"shop*"`), `must be in ARN format`},
		{statement(`"Effect":"Allow","Action":"*","Resource":"arn"`), `must be in ARN format`},
		{statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3"`), `must be in ARN format`},
		{statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::"`), `must be in ARN format`},
		{statement(`"Effect":"Allow","Action":"*","Resource":"arn:mine:s3:::b"`), `Partition "mine" is not valid for resource "arn:mine:s3:::b"`},
		{statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:username"`), `has a variable that is not closed`},
		{statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${username}"`), `must be prefaced by a vendor`},
		{statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:username, x}"`), `default value must be in single quotes`},
		{condition(`[]`), "Statement[0].Condition: Syntax errors in policy. It must be a JSON object"},
		{condition(`{"StringIs":{"aws:username":"x"}}`), "Statement[0].Condition.StringIs: Invalid Condition type : StringIs."},
		{condition(`{"ForSome:StringLike":{"aws:username":"x"}}`), "Invalid Condition type : ForSome:StringLike."},
		{condition(`{"NullIfExists":{"aws:username":"true"}}`), "Invalid Condition type : NullIfExists"},
		{condition(`{"ForAnyValue:Null":{"aws:username":"true"}}`), "Invalid Condition type"},
		{condition(`{"Bool":true}`), "Statement[0].Condition.Bool: Syntax errors in policy. It must be a JSON object of condition keys"},
		{condition(`{"Bool":{"SecureTransport":true}}`), "Statement[0].Condition.Bool.SecureTransport: The condition key must be prefaced by a vendor"},
		{condition(`{"Bool":{"aws:":true}}`), "The condition key is not valid"},
		{condition(`{"Bool":{"aws:SecureTransport":[]}}`), "must have at least one value"},
		{condition(`{"Bool":{"aws:SecureTransport":[true,"yes"]}}`), `Statement[0].Condition.Bool.aws:SecureTransport[1]: The value "yes" is neither true nor false`},
		{condition(`{"Bool":{"aws:SecureTransport":{}}}`), "A value is a string, a number or a boolean"},
		{condition(`{"NumericEquals":{"a:b":"0x10"}}`), "is not a number"},
		{condition(`{"NumericEquals":{"a:b":"1e999"}}`), "is not a number"},
		{condition(`{"DateLessThan":{"aws:CurrentTime":"tomorrow"}}`), "is not a date"},
		{condition(`{"IpAddress":{"aws:SourceIp":"10.0.0.0/33"}}`), "is neither an IP address nor a range"},
		{condition(`{"BinaryEquals":{"a:b":"%"}}`), "is not base64"},
		{condition(`{"ArnLike":{"aws:PrincipalArn":"user/x"}}`), "is not an ARN"},
		{condition(`{"StringEquals":{"a:b":"${x"}}`), "has a variable that is not closed"},
	} {
		_, err := policy.Parse([]byte(c.doc))
		if m, ok := errors.AsType[*policy.MalformedError](err); !ok || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n got %v\nwant %s (%v)", c.doc, err, c.want, m)
		}
	}
}
