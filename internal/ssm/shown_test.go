package ssm_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Lists decide about each parameter: a Deny by ARN or by tag applies, page by page, and a
// Deny of another call that answers values is one of these, too.
func TestShown(t *testing.T) {
	t.Parallel()
	root := newBench(t)
	for _, name := range []string{"/a/1", "/a/hidden/1", "/a/2", "/a/hidden/2", "/a/unread"} {
		root.OK("PutParameter", `{"Name":%q,"Value":"v","Type":"String"}`, name)
	}
	root.OK("PutParameter", `{"Name":"/a/tagged","Value":"v","Type":"String","Tags":[{"Key":"level","Value":"high"}]}`)
	ann := bench{root.Limited(`{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","Action":"ssm:*","Resource":"arn:aws:ssm:*:*:parameter/a/hidden/*"},
		{"Effect":"Deny","Action":"ssm:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/level":"high"}}},
		{"Effect":"Deny","Action":"ssm:GetParameter","Resource":"arn:aws:ssm:*:*:parameter/a/unread"}`)}
	names := func(b bench, operation, query string, most int) (list []string) {
		t.Helper()
		for token := `""`; ; {
			doc := b.OK(operation, `{"NextToken":%s,"MaxResults":%d%s}`, token, most, query)
			for _, v := range doc["Parameters"].([]any) {
				list = append(list, v.(map[string]any)["Name"].(string))
			}
			next, ok := doc["NextToken"].(string)
			if !ok {
				return list
			}
			token = fmt.Sprintf("%q", next)
		}
	}
	const path = `,"Path":"/a","Recursive":true`
	for _, most := range []int{1, 2, 10} {
		want := []string{"/a/1", "/a/2", "/a/unread"}
		if diff := cmp.Diff(want, names(ann, "DescribeParameters", "", most)); diff != "" {
			t.Errorf("DescribeParameters by %d: %s", most, diff)
		}
		if diff := cmp.Diff(want[:2], names(ann, "GetParametersByPath", path, most)); diff != "" {
			t.Errorf("GetParametersByPath by %d: %s", most, diff)
		}
		if got := names(root, "GetParametersByPath", path, most); len(got) != 6 {
			t.Errorf("root gets %q by %d", got, most)
		}
	}
}
