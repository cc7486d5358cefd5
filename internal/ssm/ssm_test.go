package ssm_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/seal/sealtest"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/ssm"
)

type bench struct{ gatewaytest.Calls }

func newBench(t *testing.T) bench {
	t.Helper()
	b := gatewaytest.New(t)
	p, err := ssm.New(ssm.Config{
		Store: b.Store, Vault: &secrets.Vault{Keys: sealtest.New(t, b.Store), Region: gatewaytest.Region, Account: gatewaytest.Account}, Now: b.Clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return bench{b.Serve(p.Service(), "AmazonSSM.")}
}

// parameter returns the parameter that GetParameter answers, decrypted.
func (b bench) parameter(name string) map[string]any {
	b.Helper()
	return b.OK("GetParameter", `{"Name":%q,"WithDecryption":true}`, name)["Parameter"].(map[string]any)
}

func TestLife(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	made := b.OK("PutParameter", `{"Name":"/prod/db","Value":"one","Type":"SecureString","Description":"of the shop","Tags":[{"Key":"team","Value":"a"}]}`)
	if diff := cmp.Diff(map[string]any{"Version": 1.0, "Tier": "Standard"}, made); diff != "" {
		t.Error(diff)
	}
	want := map[string]any{
		"ARN": "arn:aws:ssm:us-east-1:000000000000:parameter/prod/db", "Name": "/prod/db", "Type": "SecureString",
		"Value": "one", "Version": 1.0, "DataType": "text", "LastModifiedDate": float64(gatewaytest.T0.UnixMilli()) / 1000,
	}
	if diff := cmp.Diff(want, b.parameter("/prod/db")); diff != "" {
		t.Error(diff)
	}
	if got := b.OK("GetParameter", `{"Name":"/prod/db"}`)["Parameter"].(map[string]any)["Value"].(string); got == "one" || len(got) < 40 {
		t.Errorf("without decryption: %q", got)
	}
	b.Refused("PutParameter", `{"Name":"/prod/db","Value":"two","Type":"SecureString"}`, "ParameterAlreadyExists", "set the overwrite option")
	b.Clock.Advance(time.Minute)
	if got := b.OK("PutParameter", `{"Name":"/prod/db","Value":"two","Overwrite":true}`)["Version"]; got != 2.0 {
		t.Errorf("version %v", got)
	}
	for selector, want := range map[string]string{
		"/prod/db": "two", "/prod/db:1": "one", "/prod/db:2": "two",
		"arn:aws:ssm:us-east-1:000000000000:parameter/prod/db": "two", "arn:aws:ssm:us-east-1:000000000000:parameter/prod/db:1": "one",
	} {
		got := b.parameter(selector)
		wantSelector := any(nil)
		if i := strings.LastIndexByte(selector, ':'); i > strings.LastIndexByte(selector, '/') {
			wantSelector = selector[i:]
		}
		if got["Value"] != want || got["Selector"] != wantSelector {
			t.Errorf("%s: %v", selector, got)
		}
	}
	history := b.OK("GetParameterHistory", `{"Name":"/prod/db","WithDecryption":true}`)["Parameters"].([]any)
	if len(history) != 2 || history[0].(map[string]any)["Value"] != "one" || history[1].(map[string]any)["Description"] != "of the shop" {
		t.Errorf("history: %v", history)
	}
	meta := b.OK("DescribeParameters", `{"ParameterFilters":[{"Key":"Name","Values":["/prod/db"]}]}`)["Parameters"].([]any)
	wantMeta := []any{map[string]any{
		"ARN": want["ARN"], "Name": "/prod/db", "Type": "SecureString", "Version": 2.0, "DataType": "text", "Tier": "Standard",
		"KeyId": "alias/aws/ssm", "Description": "of the shop", "Policies": []any{},
		"LastModifiedDate": float64(gatewaytest.T0.Add(time.Minute).UnixMilli()) / 1000, "LastModifiedUser": "arn:aws:iam::000000000000:root",
	}}
	if diff := cmp.Diff(wantMeta, meta); diff != "" {
		t.Error(diff)
	}

	b.OK("AddTagsToResource", `{"ResourceType":"Parameter","ResourceId":"/prod/db","Tags":[{"Key":"l","Value":"2"}]}`)
	b.OK("RemoveTagsFromResource", `{"ResourceType":"Parameter","ResourceId":"/prod/db","TagKeys":["team"]}`)
	tags := b.OK("ListTagsForResource", `{"ResourceType":"Parameter","ResourceId":"/prod/db"}`)["TagList"]
	if diff := cmp.Diff([]any{map[string]any{"Key": "l", "Value": "2"}}, tags); diff != "" {
		t.Error(diff)
	}
	b.OK("DeleteParameter", `{"Name":"/prod/db"}`)
	b.Refused("GetParameter", `{"Name":"/prod/db"}`, "ParameterNotFound", "")
	b.Refused("ListTagsForResource", `{"ResourceType":"Parameter","ResourceId":"/prod/db"}`, "InvalidResourceId", "")
	if got := b.OK("PutParameter", `{"Name":"/prod/db","Value":"three","Type":"String"}`)["Version"]; got != 1.0 {
		t.Errorf("made again: version %v", got)
	}
	if got := b.OK("ListTagsForResource", `{"ResourceType":"Parameter","ResourceId":"/prod/db"}`)["TagList"].([]any); len(got) != 0 {
		t.Errorf("old tags are back: %v", got)
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, name := range []string{"a", "b"} {
		b.OK("PutParameter", `{"Name":%q,"Value":%q,"Type":"String"}`, name, name)
	}
	got := b.OK("GetParameters", `{"Names":["a","missing","a:9","b:1"]}`)
	if n := len(got["Parameters"].([]any)); n != 2 {
		t.Errorf("%v", got)
	}
	if diff := cmp.Diff([]any{"missing", "a:9"}, got["InvalidParameters"]); diff != "" {
		t.Error(diff)
	}
	got = b.OK("DeleteParameters", `{"Names":["a","missing"]}`)
	if diff := cmp.Diff(map[string]any{"DeletedParameters": []any{"a"}, "InvalidParameters": []any{"missing"}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, name := range []string{"/a/1", "/a/2", "/a/b/3", "/a/b/c/4", "/ab/5", "a6"} {
		kind := "String"
		if strings.HasSuffix(name, "2") {
			kind = "SecureString"
		}
		b.OK("PutParameter", `{"Name":%q,"Value":"x","Type":%q,"Tags":[{"Key":"n","Value":%q}]}`, name, kind, name[len(name)-1:])
	}
	names := func(operation, body string) (list []string) {
		t.Helper()
		next := ""
		for {
			doc := b.OK(operation, `{"MaxResults":2,"NextToken":%q%s}`, next, body)
			for _, p := range doc["Parameters"].([]any) {
				list = append(list, p.(map[string]any)["Name"].(string))
			}
			if next, _ = doc["NextToken"].(string); next == "" {
				return list
			}
		}
	}
	for _, c := range []struct {
		operation, body string
		want            []string
	}{
		{"GetParametersByPath", `,"Path":"/a"`, []string{"/a/1", "/a/2"}},
		{"GetParametersByPath", `,"Path":"/a/","Recursive":true`, []string{"/a/1", "/a/2", "/a/b/3", "/a/b/c/4"}},
		{"GetParametersByPath", `,"Path":"/","Recursive":true`, []string{"/a/1", "/a/2", "/a/b/3", "/a/b/c/4", "/ab/5", "a6"}},
		{"GetParametersByPath", `,"Path":"/"`, []string{"a6"}},
		{"GetParametersByPath", `,"Path":"/a","ParameterFilters":[{"Key":"Type","Values":["SecureString"]}]`, []string{"/a/2"}},
		{"GetParametersByPath", `,"Path":"/none"`, nil},
		{"DescribeParameters", ``, []string{"/a/1", "/a/2", "/a/b/3", "/a/b/c/4", "/ab/5", "a6"}},
		{"DescribeParameters", `,"ParameterFilters":[{"Key":"Name","Option":"BeginsWith","Values":["/a/b","a"]}]`, []string{"/a/b/3", "/a/b/c/4", "a6"}},
		{"DescribeParameters", `,"ParameterFilters":[{"Key":"Name","Option":"Contains","Values":["b/"]}]`, []string{"/a/b/3", "/a/b/c/4", "/ab/5"}},
		{"DescribeParameters", `,"ParameterFilters":[{"Key":"Path","Values":["/a"]}]`, []string{"/a/1", "/a/2"}},
		{"DescribeParameters", `,"ParameterFilters":[{"Key":"Path","Values":["/"]}]`, []string{"a6"}},
		{"DescribeParameters", `,"ParameterFilters":[{"Key":"tag:n","Values":["3","6"]}]`, []string{"/a/b/3", "a6"}},
		{"DescribeParameters", `,"Filters":[{"Key":"Type","Values":["Secure"]}]`, []string{"/a/2"}},
	} {
		if got := names(c.operation, c.body); !slices.Equal(got, c.want) {
			t.Errorf("%s %s: %v, want %v", c.operation, c.body, got, c.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.OK("PutParameter", `{"Name":"a","Value":"x","Type":"String"}`)
	put := func(members string) string { return `{"Name":"b","Value":"x","Type":"String",` + members + `}` }
	for _, c := range []struct{ operation, body, exception, text string }{
		{"PutParameter", `{}`, "ValidationException", "'name'"},
		{"PutParameter", `{"Name":"b"}`, "ValidationException", "'value'"},
		{"PutParameter", `{"Name":"b","Value":"x"}`, "ValidationException", "type is required"},
		{"PutParameter", `{"Name":"b","Value":"","Type":"String"}`, "ValidationException", "'value'"},
		{"PutParameter", `{"Name":"b","Value":"x","Type":"Strings"}`, "ValidationException", "enum value set"},
		{"PutParameter", put(`"Policies":"[{\"Type\":\"Expiration\"}]"`), "InvalidPolicyTypeException", "no parameter policies"},
		{"PutParameter", `{"Name":"b c","Value":"x","Type":"String"}`, "ValidationException", "Parameter name"},
		{"PutParameter", `{"Name":"b/c","Value":"x","Type":"String"}`, "ValidationException", "fully qualified"},
		{"PutParameter", `{"Name":"/aws/c","Value":"x","Type":"String"}`, "ValidationException", "aws"},
		{"PutParameter", `{"Name":"` + strings.Repeat("/x", 16) + `","Value":"x","Type":"String"}`, "HierarchyLevelLimitExceededException", ""},
		{"PutParameter", `{"Name":"b","Type":"String","Value":"` + strings.Repeat("x", 4097) + `"}`, "ValidationException", "4096"},
		{"PutParameter", `{"Name":"b","Type":"String","Tier":"Advanced","Value":"` + strings.Repeat("x", 8193) + `"}`, "ValidationException", "8192"},
		{"PutParameter", put(`"AllowedPattern":"[0-9]+"`), "ParameterPatternMismatchException", "[0-9]+"},
		{"PutParameter", put(`"AllowedPattern":"["`), "InvalidAllowedPatternException", ""},
		{"PutParameter", put(`"Overwrite":true,"Tags":[{"Key":"k","Value":"v"}]`), "ValidationException", "can't be used together"},
		{"PutParameter", put(`"DataType":"aws:ec2:image"`), "ValidationException", "text"},
		{"PutParameter", put(`"KeyId":"k"`), "ValidationException", "KeyId"},
		{"GetParameter", `{"Name":"a:2"}`, "ParameterVersionNotFound", "could not find version 2 of a"},
		{"GetParameter", `{"Name":"arn:aws:ssm:eu-west-1:000000000000:parameter/a"}`, "ParameterNotFound", ""},
		{"GetParameters", `{"Names":["a","a"]}`, "ValidationException", "unique"},
		{"GetParametersByPath", `{"Path":"a"}`, "ValidationException", "forward slash"},
		{"GetParametersByPath", `{"Path":"/","MaxResults":11}`, "ValidationException", "maxResults"},
		{"GetParametersByPath", `{"Path":"/","ParameterFilters":[{"Key":"Name","Values":["x"]}]}`, "InvalidFilterKey", ""},
		{"DescribeParameters", `{"NextToken":"x"}`, "InvalidNextToken", ""},
		{"DescribeParameters", `{"ParameterFilters":[{"Key":"Tier","Option":"Contains","Values":["x"]}]}`, "InvalidFilterOption", ""},
		{"DeleteParameter", `{"Name":"b"}`, "ParameterNotFound", ""},
		{"ListTagsForResource", `{"ResourceType":"Document","ResourceId":"a"}`, "InvalidResourceType", ""},
	} {
		b.Refused(c.operation, c.body, c.exception, c.text)
	}
	if got := b.OK("PutParameter", `{"Name":"b","Type":"String","Tier":"Intelligent-Tiering","Value":"%s"}`, strings.Repeat("x", 4097))["Tier"]; got != "Advanced" {
		t.Errorf("tier %v", got)
	}
}

func TestOldVersionsGo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 103 {
		b.OK("PutParameter", `{"Name":"a","Value":"%d","Type":"String","Overwrite":true}`, i)
	}
	var versions []float64
	next := ""
	for {
		doc := b.OK("GetParameterHistory", `{"Name":"a","NextToken":%q}`, next)
		for _, p := range doc["Parameters"].([]any) {
			versions = append(versions, p.(map[string]any)["Version"].(float64))
		}
		if next, _ = doc["NextToken"].(string); next == "" {
			break
		}
	}
	if len(versions) != 100 || versions[0] != 4 || versions[99] != 103 {
		t.Errorf("versions %v", versions)
	}
}

func TestValuesAreSealed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const value = "correct-horse-battery"
	b.OK("PutParameter", `{"Name":"a","Value":%q,"Type":"SecureString"}`, value)
	b.OK("PutParameter", `{"Name":"b","Value":%q,"Type":"String"}`, value)
	b.Refused("PutParameter", `{"Name":"c","Value":"`+value+`","Type":"String","AllowedPattern":"x"}`, "ParameterPatternMismatchException", "")
	b.parameter("a")
	b.Hides(value)
}
