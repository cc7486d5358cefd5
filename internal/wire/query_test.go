package wire_test

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/openslipway/slipway/internal/wire"
)

func TestUnmarshalQuery(t *testing.T) {
	t.Parallel()
	unexported := cmpopts.IgnoreUnexported(iam.CreateUserInput{}, types.Tag{}, iam.ListUsersInput{}, iam.SimulatePrincipalPolicyInput{}, types.ContextEntry{}, sts.GetSessionTokenInput{})
	for _, c := range []struct {
		form string
		into any
		want any
	}{
		{"Action=CreateUser&UserName=ann&Path=%2Fa%2F&Other=x", &iam.CreateUserInput{}, &iam.CreateUserInput{UserName: ptr("ann"), Path: ptr("/a/")}},
		{"UserName=", &iam.CreateUserInput{}, &iam.CreateUserInput{UserName: ptr("")}},
		{
			"Tags.member.1.Key=k&Tags.member.1.Value=v&Tags.member.2.Key=l&Tags.member.4.Key=gap", &iam.CreateUserInput{},
			&iam.CreateUserInput{Tags: []types.Tag{{Key: ptr("k"), Value: ptr("v")}, {Key: ptr("l")}}},
		},
		{"Tags=", &iam.CreateUserInput{}, &iam.CreateUserInput{Tags: []types.Tag{}}},
		{"MaxItems=5", &iam.ListUsersInput{}, &iam.ListUsersInput{MaxItems: ptr(int32(5))}},
		{"DurationSeconds=900", &sts.GetSessionTokenInput{}, &sts.GetSessionTokenInput{DurationSeconds: ptr(int32(900))}},
		{
			"ActionNames.member.1=a&ActionNames.member.2=b&ContextEntries.member.1.ContextKeyType=string&ContextEntries.member.1.ContextKeyValues.member.1=x",
			&iam.SimulatePrincipalPolicyInput{},
			&iam.SimulatePrincipalPolicyInput{
				ActionNames:    []string{"a", "b"},
				ContextEntries: []types.ContextEntry{{ContextKeyType: types.ContextKeyTypeEnumString, ContextKeyValues: []string{"x"}}},
			},
		},
	} {
		form, err := url.ParseQuery(c.form)
		if err != nil {
			t.Fatal(err)
		}
		if err := wire.UnmarshalQuery(form, c.into); err != nil {
			t.Errorf("%s: %v", c.form, err)
		} else if d := cmp.Diff(c.want, c.into, unexported); d != "" {
			t.Errorf("%s: %s", c.form, d)
		}
	}
}

func TestUnmarshalQueryRefuses(t *testing.T) {
	t.Parallel()
	long := url.Values{}
	for i := range 1001 {
		long.Set("Tags.member."+strconv.Itoa(i+1)+".Key", "k")
	}
	for name, c := range map[string]struct {
		form url.Values
		into any
		want string
	}{
		"a number":    {url.Values{"MaxItems": {"many"}}, &iam.ListUsersInput{}, "The value of MaxItems has the wrong form"},
		"a large one": {url.Values{"MaxItems": {"99999999999"}}, &iam.ListUsersInput{}, "The value of MaxItems has the wrong form"},
		"a long name": {url.Values{strings.Repeat("a.", 200): {"x"}}, &iam.ListUsersInput{}, "longer than 256 bytes"},
		"a long list": {long, &iam.CreateUserInput{}, "Tags has more than 1000 members"},
	} {
		err := wire.UnmarshalQuery(c.form, c.into)
		if e, ok := err.(*wire.Exception); !ok || e.Name != wire.MalformedInput || !strings.Contains(e.Message, c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestMarshalQuery(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 31, 10, 0, 0, 123456789, time.FixedZone("", 3600))
	for _, c := range []struct {
		operation string
		out       any
		want      string
	}{
		{"DeleteUser", &iam.DeleteUserOutput{}, ``},
		{"DeleteUser", nil, ``},
		{
			"CreateUser", &iam.CreateUserOutput{User: &types.User{Arn: ptr("a"), CreateDate: &at, Path: ptr(""), Tags: []types.Tag{}}},
			`<CreateUserResult><User><Arn>a</Arn><CreateDate>2026-01-31T09:00:00Z</CreateDate><Path></Path><Tags></Tags></User></CreateUserResult>`,
		},
		{
			"ListUsers", &iam.ListUsersOutput{Users: []types.User{{UserName: ptr("<&>")}, {}}, IsTruncated: true, Marker: ptr("m")},
			`<ListUsersResult><Users><member><UserName>&lt;&amp;&gt;</UserName></member><member></member></Users><IsTruncated>true</IsTruncated><Marker>m</Marker></ListUsersResult>`,
		},
		{
			"CreateAccessKey", &iam.CreateAccessKeyOutput{AccessKey: &types.AccessKey{Status: types.StatusTypeActive}},
			`<CreateAccessKeyResult><AccessKey><Status>Active</Status></AccessKey></CreateAccessKeyResult>`,
		},
		{
			"Simulate", &types.EvaluationResult{EvalDecisionDetails: map[string]types.PolicyEvaluationDecisionType{"b": "allowed", "a": "implicitDeny"}},
			`<SimulateResult><EvalDecisionDetails><entry><key>a</key><value>implicitDeny</value></entry><entry><key>b</key><value>allowed</value></entry></EvalDecisionDetails></SimulateResult>`,
		},
	} {
		got, err := wire.MarshalQuery("urn:x", c.operation, "id", c.out)
		want := `<` + c.operation + `Response xmlns="urn:x">` + c.want + `<ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></` + c.operation + `Response>`
		if err != nil || string(got) != want {
			t.Errorf("%s: %v\n got %s\nwant %s", c.operation, err, got, want)
		}
	}
}

func TestQueryBody(t *testing.T) {
	t.Parallel()
	got := string(wire.NewException("NoSuchEntity", "no <user>").QueryBody("urn:x", "id"))
	want := `<ErrorResponse xmlns="urn:x"><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>no &lt;user&gt;</Message></Error><RequestId>id</RequestId></ErrorResponse>`
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// FuzzUnmarshalQuery: any form is decoded or refused as the caller's fault.
func FuzzUnmarshalQuery(f *testing.F) {
	f.Add("UserName=ann&Tags.member.1.Key=k&Tags.member.1.Value=v")
	f.Add("Tags.member.1=&Tags.member.1.Key.x=1&Tags.=")
	f.Add("ContextEntries.member.1.ContextKeyValues.member.1=x&MaxItems=-1")
	f.Fuzz(func(t *testing.T, text string) {
		form, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		for _, v := range []any{&iam.CreateUserInput{}, &iam.SimulatePrincipalPolicyInput{}} {
			if err := wire.UnmarshalQuery(form, v); err != nil {
				if _, ok := err.(*wire.Exception); !ok {
					t.Fatalf("%q: %v", text, err)
				}
			}
		}
	})
}
