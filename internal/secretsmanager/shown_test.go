package secretsmanager_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Lists decide about each secret: a Deny by ARN or by tag applies, page by page.
func TestShown(t *testing.T) {
	t.Parallel()
	root := newBench(t)
	for _, name := range []string{"a/1", "hidden/1", "a/2", "hidden/2"} {
		root.OK("CreateSecret", `{"Name":%q,"SecretString":"v","Tags":[{"Key":"all","Value":"x"}]}`, name)
	}
	root.OK("CreateSecret", `{"Name":"tagged","SecretString":"v","Tags":[{"Key":"all","Value":"x"},{"Key":"level","Value":"high"}]}`)
	root.OK("CreateSecret", `{"Name":"unread","SecretString":"v","Tags":[{"Key":"all","Value":"x"}]}`)
	ann := bench{root.Limited(`{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","Action":"*","Resource":"arn:aws:secretsmanager:*:*:secret:hidden/*"},
		{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/level":"high"}}},
		{"Effect":"Deny","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:*:*:secret:unread-*"}`)}
	names := func(b bench, operation, member, query string, more int) (list []string) {
		t.Helper()
		for token := `""`; ; {
			doc := b.OK(operation, `{"NextToken":%s,"MaxResults":%d%s}`, token, more, query)
			for _, v := range doc[member].([]any) {
				list = append(list, v.(map[string]any)["Name"].(string))
			}
			next, ok := doc["NextToken"].(string)
			if !ok {
				return list
			}
			token = fmt.Sprintf("%q", next)
		}
	}
	const filters = `,"Filters":[{"Key":"tag-key","Values":["all"]}]`
	for _, most := range []int{1, 2, 100} {
		want := []string{"a/1", "a/2", "unread"}
		if diff := cmp.Diff(want, names(ann, "ListSecrets", "SecretList", "", most)); diff != "" {
			t.Errorf("ListSecrets by %d: %s", most, diff)
		}
		if diff := cmp.Diff(want[:2], names(ann, "BatchGetSecretValue", "SecretValues", filters, most)); diff != "" {
			t.Errorf("BatchGetSecretValue by %d: %s", most, diff)
		}
		if got := names(root, "BatchGetSecretValue", "SecretValues", filters, most); len(got) != 6 {
			t.Errorf("root gets %q by %d", got, most)
		}
	}
	problems := ann.OK("BatchGetSecretValue", `{"MaxResults":100`+filters+`}`)["Errors"].([]any)
	if len(problems) != 1 || problems[0].(map[string]any)["ErrorCode"] != "AccessDeniedException" {
		t.Errorf("the errors are %v", problems)
	}
	// A denial has the same words for what exists and what does not.
	for _, id := range []string{"hidden/1", "hidden/9"} {
		ann.Refused("GetSecretValue", `{"SecretId":"`+id+`"}`, "AccessDeniedException", "on resource: "+id+" with an explicit deny")
	}
}
