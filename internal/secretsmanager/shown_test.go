package secretsmanager_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/gateway/share"
	"github.com/openslipway/slipway/internal/store"
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

// A user has a share of the secrets and of their bytes: old versions without a label go
// first, then a value is refused. Root has none of these bounds, and others have theirs.
func TestShare(t *testing.T) {
	t.Parallel()
	root := newBench(t)
	ann := bench{root.Limited(`{"Effect":"Allow","Action":"*","Resource":"*"}`)}
	arn := ann.OK("CreateSecret", `{"Name":"mine","SecretString":"1"}`)["ARN"].(string)
	other := ann.OK("CreateSecret", `{"Name":"other"}`)["ARN"].(string)
	fill := func(bytes int64) {
		root.Update(func(tx *store.Tx) error { return tx.SetMadeBytes(other, bytes) })
	}
	put := func(b bench, name, value string) string {
		return b.OK("PutSecretValue", `{"SecretId":%q,"SecretString":%q}`, name, value)["VersionId"].(string)
	}
	versions := func() int {
		return len(root.OK("DescribeSecret", `{"SecretId":%q}`, arn)["VersionIdsToStages"].(map[string]any))
	}
	put(ann, "mine", "2")
	put(ann, "mine", "3")
	all := func() (n int) {
		root.Update(func(tx *store.Tx) error {
			list, err := tx.SecretVersions(arn)
			n = len(list)
			return err
		})
		return n
	}
	if all() != 3 || versions() != 2 {
		t.Fatalf("%d versions, %d with labels", all(), versions())
	}
	var three int64
	root.Update(func(tx *store.Tx) (err error) { _, three, err = tx.Maker(arn); return err })
	fill(share.MostBytes - three)
	put(ann, "mine", "4")
	if all() != 3 {
		t.Errorf("%d versions are left, want one less", all())
	}
	fill(share.MostBytes)
	ann.Refused("PutSecretValue", `{"SecretId":"mine","SecretString":"5"}`, "LimitExceededException", "64 MiB")
	ann.Refused("CreateSecret", `{"Name":"third","SecretString":"5"}`, "LimitExceededException", "64 MiB")
	root.Refused("PutSecretValue", `{"SecretId":"mine","SecretString":"5"}`, "LimitExceededException", "64 MiB") // it is ann's
	put(root, root.OK("CreateSecret", `{"Name":"roots","SecretString":"1"}`)["ARN"].(string), "2")
	ann.OK("DeleteSecret", `{"SecretId":"other","ForceDeleteWithoutRecovery":true}`)
	put(ann, "mine", "6")
	root.Update(func(tx *store.Tx) error {
		for i := range 999 {
			if err := tx.SetMaker(fmt.Sprint(i), string(share.Secrets), "AIDAANN"); err != nil {
				return err
			}
		}
		return nil
	})
	ann.Refused("CreateSecret", `{"Name":"more"}`, "LimitExceededException", "1000 secrets")
}

// The staging labels of a secret are bounded in all: a version with a label is never
// removed.
func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.OK("CreateSecret", `{"Name":"s","SecretString":"v"}`) // has AWSCURRENT
	for i := range 19 {
		b.OK("PutSecretValue", `{"SecretId":"s","SecretString":"v","VersionStages":["l%d"]}`, i)
	}
	b.Refused("PutSecretValue", `{"SecretId":"s","SecretString":"v","VersionStages":["more"]}`, "LimitExceededException", "at most 20 staging labels")
	b.OK("PutSecretValue", `{"SecretId":"s","SecretString":"v","VersionStages":["l3"]}`)
}
