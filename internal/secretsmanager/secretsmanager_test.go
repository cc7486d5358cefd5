package secretsmanager_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/seal/sealtest"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/secretsmanager"
)

type bench struct{ gatewaytest.Calls }

func newBench(t *testing.T) bench {
	t.Helper()
	b := gatewaytest.New(t)
	m, err := secretsmanager.New(secretsmanager.Config{
		Store: b.Store, Vault: &secrets.Vault{Keys: sealtest.New(t, b.Store), Region: gatewaytest.Region, Account: gatewaytest.Account}, Now: b.Clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return bench{b.Serve(m.Service(), "secretsmanager.")}
}

const (
	token1 = "11111111-1111-1111-1111-111111111111"
	token2 = "22222222-2222-2222-2222-222222222222"
	token3 = "33333333-3333-3333-3333-333333333333"
)

// stages returns the stages of versions by their ids.
func (b bench) stages(secret string) map[string]any {
	b.Helper()
	return b.OK("DescribeSecret", `{"SecretId":%q}`, secret)["VersionIdsToStages"].(map[string]any)
}

func TestLife(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	made := b.OK("CreateSecret", `{"Name":"prod/db","Description":"of the shop","SecretString":"one","ClientRequestToken":%q,"Tags":[{"Key":"team","Value":"a"}]}`, token1)
	arn := made["ARN"].(string)
	if want := "arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/db-"; !strings.HasPrefix(arn, want) || len(arn) != len(want)+6 {
		t.Fatalf("ARN %s", arn)
	}
	if made["VersionId"] != token1 || made["Name"] != "prod/db" {
		t.Errorf("made %v", made)
	}
	for _, id := range []string{"prod/db", arn, arn[:len(arn)-7]} {
		got := b.OK("GetSecretValue", `{"SecretId":%q}`, id)
		if got["SecretString"] != "one" || got["ARN"] != arn || got["VersionId"] != token1 || got["CreatedDate"] != float64(gatewaytest.T0.UnixMilli())/1000 {
			t.Errorf("%s: %v", id, got)
		}
	}

	b.Clock.Advance(time.Minute)
	b.OK("PutSecretValue", `{"SecretId":"prod/db","SecretString":"two","ClientRequestToken":%q}`, token2)
	b.Clock.Advance(time.Minute)
	b.OK("UpdateSecret", `{"SecretId":"prod/db","SecretBinary":"AAE=","ClientRequestToken":%q,"Description":"new"}`, token3)
	want := map[string]any{token2: []any{"AWSPREVIOUS"}, token3: []any{"AWSCURRENT"}}
	if diff := cmp.Diff(want, b.stages(arn)); diff != "" {
		t.Error(diff)
	}
	if got := b.OK("GetSecretValue", `{"SecretId":"prod/db"}`); got["SecretBinary"] != "AAE=" || got["SecretString"] != nil {
		t.Errorf("binary: %v", got)
	}
	if got := b.OK("GetSecretValue", `{"SecretId":"prod/db","VersionStage":"AWSPREVIOUS"}`); got["SecretString"] != "two" {
		t.Errorf("previous: %v", got)
	}
	if got := b.OK("GetSecretValue", `{"SecretId":"prod/db","VersionId":%q}`, token1); got["SecretString"] != "one" {
		t.Errorf("deprecated: %v", got)
	}
	if got := b.OK("ListSecretVersionIds", `{"SecretId":"prod/db"}`)["Versions"].([]any); len(got) != 2 {
		t.Errorf("versions with stages: %v", got)
	}
	if got := b.OK("ListSecretVersionIds", `{"SecretId":"prod/db","IncludeDeprecated":true}`)["Versions"].([]any); len(got) != 3 {
		t.Errorf("all versions: %v", got)
	}

	got := b.OK("DescribeSecret", `{"SecretId":"prod/db"}`)
	delete(got, "VersionIdsToStages")
	wantSecret := map[string]any{
		"ARN": arn, "Name": "prod/db", "Description": "new", "Tags": []any{map[string]any{"Key": "team", "Value": "a"}},
		"CreatedDate":      float64(gatewaytest.T0.UnixMilli()) / 1000,
		"LastChangedDate":  float64(gatewaytest.T0.Add(2*time.Minute).UnixMilli()) / 1000,
		"LastAccessedDate": float64(gatewaytest.T0.Truncate(24 * time.Hour).Unix()),
	}
	if diff := cmp.Diff(wantSecret, got); diff != "" {
		t.Error(diff)
	}

	end := b.OK("DeleteSecret", `{"SecretId":"prod/db","RecoveryWindowInDays":7}`)["DeletionDate"]
	if want := float64(b.Clock.Now().Add(7*24*time.Hour).UnixMilli()) / 1000; end != want {
		t.Errorf("deletion at %v, want %v", end, want)
	}
	b.Refused("GetSecretValue", `{"SecretId":"prod/db"}`, "InvalidRequestException", "marked for deletion")
	b.Refused("CreateSecret", `{"Name":"prod/db"}`, "InvalidRequestException", "already scheduled for deletion")
	if b.OK("DescribeSecret", `{"SecretId":"prod/db"}`)["DeletedDate"] == nil {
		t.Error("no DeletedDate")
	}
	b.OK("RestoreSecret", `{"SecretId":"prod/db"}`)
	b.OK("GetSecretValue", `{"SecretId":"prod/db"}`)
	b.OK("DeleteSecret", `{"SecretId":"prod/db"}`)
	b.Clock.Advance(30 * 24 * time.Hour)
	b.Refused("DescribeSecret", `{"SecretId":"prod/db"}`, "ResourceNotFoundException", "can't find the specified secret")
	b.OK("CreateSecret", `{"Name":"prod/db"}`)
	b.OK("DeleteSecret", `{"SecretId":"prod/db","ForceDeleteWithoutRecovery":true}`)
	b.OK("DeleteSecret", `{"SecretId":"prod/db","ForceDeleteWithoutRecovery":true}`)
	b.Refused("DescribeSecret", `{"SecretId":"prod/db"}`, "ResourceNotFoundException", "")
}

func TestRepeatedCalls(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	body := fmt.Sprintf(`{"Name":"a","SecretString":"one","ClientRequestToken":%q}`, token1)
	first, again := b.OK("CreateSecret", "%s", body), b.OK("CreateSecret", "%s", body)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error(diff)
	}
	b.Refused("CreateSecret", strings.Replace(body, "one", "two", 1), "ResourceExistsException", "the secret a already exists")
	b.Refused("CreateSecret", `{"Name":"a"}`, "ResourceExistsException", "")
	put := fmt.Sprintf(`{"SecretId":"a","SecretString":"two","ClientRequestToken":%q}`, token2)
	b.OK("PutSecretValue", "%s", put)
	b.OK("PutSecretValue", "%s", put)
	b.Refused("PutSecretValue", strings.Replace(put, "two", "three", 1), "ResourceExistsException", token2)
	if n := len(b.OK("ListSecretVersionIds", `{"SecretId":"a","IncludeDeprecated":true}`)["Versions"].([]any)); n != 2 {
		t.Errorf("%d versions", n)
	}
}

func TestStages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.OK("CreateSecret", `{"Name":"a"}`)
	b.Refused("GetSecretValue", `{"SecretId":"a"}`, "ResourceNotFoundException", "staging label: AWSCURRENT")
	b.OK("PutSecretValue", `{"SecretId":"a","SecretString":"1","ClientRequestToken":%q,"VersionStages":["blue"]}`, token1)
	b.OK("PutSecretValue", `{"SecretId":"a","SecretString":"2","ClientRequestToken":%q,"VersionStages":["green"]}`, token2)
	want := map[string]any{token1: []any{"blue", "AWSCURRENT"}, token2: []any{"green"}}
	if diff := cmp.Diff(want, b.stages("a")); diff != "" {
		t.Error(diff)
	}
	move := `{"SecretId":"a","VersionStage":"AWSCURRENT","MoveToVersionId":"` + token2 + `"`
	b.Refused("UpdateSecretVersionStage", move+`}`, "InvalidParameterException", "RemoveFromVersionId")
	b.OK("UpdateSecretVersionStage", "%s", move+`,"RemoveFromVersionId":"`+token1+`"}`)
	want = map[string]any{token1: []any{"blue", "AWSPREVIOUS"}, token2: []any{"green", "AWSCURRENT"}}
	if diff := cmp.Diff(want, b.stages("a")); diff != "" {
		t.Error(diff)
	}
	// Back again: neither is its own predecessor.
	b.OK("UpdateSecretVersionStage", `{"SecretId":"a","VersionStage":"AWSCURRENT","MoveToVersionId":%q,"RemoveFromVersionId":%q}`, token1, token2)
	want = map[string]any{token1: []any{"blue", "AWSCURRENT"}, token2: []any{"green", "AWSPREVIOUS"}}
	if diff := cmp.Diff(want, b.stages("a")); diff != "" {
		t.Error(diff)
	}
	b.OK("UpdateSecretVersionStage", `{"SecretId":"a","VersionStage":"green","RemoveFromVersionId":%q}`, token2)
	b.Refused("UpdateSecretVersionStage", `{"SecretId":"a","VersionStage":"AWSCURRENT","RemoveFromVersionId":"`+token1+`"}`, "InvalidParameterException", "move it")
	b.Refused("UpdateSecretVersionStage", `{"SecretId":"a","VersionStage":"x","MoveToVersionId":"`+token3+`"}`, "ResourceNotFoundException", token3)
	b.Refused("GetSecretValue", `{"SecretId":"a","VersionStage":"green"}`, "ResourceNotFoundException", "staging label: green")
	b.Refused("GetSecretValue", `{"SecretId":"a","VersionStage":"blue","VersionId":"`+token2+`"}`, "InvalidRequestException", "")
}

// Deprecated versions are removed when there are many, those with stages never.
func TestOldVersionsGo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.OK("CreateSecret", `{"Name":"a"}`)
	for i := range 105 {
		b.Clock.Advance(time.Second)
		b.OK("PutSecretValue", `{"SecretId":"a","SecretString":"%d"}`, i)
	}
	n, next := 0, ""
	for {
		doc := b.OK("ListSecretVersionIds", `{"SecretId":"a","IncludeDeprecated":true,"MaxResults":40,"NextToken":%q}`, next)
		n += len(doc["Versions"].([]any))
		if next, _ = doc["NextToken"].(string); next == "" {
			break
		}
	}
	if n != 100 {
		t.Errorf("%d versions are kept", n)
	}
	if got := b.OK("GetSecretValue", `{"SecretId":"a","VersionStage":"AWSPREVIOUS"}`)["SecretString"]; got != "103" {
		t.Errorf("previous is %v", got)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.OK("CreateSecret", `{"Name":"a","SecretString":"x"}`)
	for _, c := range []struct{ operation, body, exception, text string }{
		{"CreateSecret", `{}`, "ValidationException", "'name'"},
		{"CreateSecret", `{"Name":"no blanks"}`, "ValidationException", "Invalid name"},
		{"CreateSecret", `{"Name":"b","SecretString":"x","SecretBinary":"eA=="}`, "InvalidParameterException", "both"},
		{"CreateSecret", `{"Name":"b","SecretString":"` + strings.Repeat("x", 65537) + `"}`, "ValidationException", "65536"},
		{"CreateSecret", `{"Name":"b","ClientRequestToken":"short"}`, "ValidationException", "clientRequestToken"},
		{"CreateSecret", `{"Name":"b","Tags":[{"Key":"k","Value":"1"},{"Key":"k","Value":"2"}]}`, "InvalidParameterException", "twice"},
		{"CreateSecret", `{"Name":"b","AddReplicaRegions":[{"Region":"eu-west-1"}]}`, "InvalidParameterException", "one region"},
		{"GetSecretValue", `{}`, "ValidationException", "'secretId'"},
		{"GetSecretValue", `{"SecretId":"b"}`, "ResourceNotFoundException", "can't find the specified secret."},
		{"GetSecretValue", `{"SecretId":"arn:aws:secretsmanager:eu-west-1:000000000000:secret:a"}`, "ResourceNotFoundException", ""},
		{"PutSecretValue", `{"SecretId":"a"}`, "InvalidRequestException", "either SecretString or SecretBinary"},
		{"PutSecretValue", `{"SecretId":"a","SecretBinary":"!"}`, "SerializationException", ""},
		{"DeleteSecret", `{"SecretId":"a","RecoveryWindowInDays":6}`, "InvalidParameterException", "between 7 and 30"},
		{"DeleteSecret", `{"SecretId":"a","RecoveryWindowInDays":7,"ForceDeleteWithoutRecovery":true}`, "InvalidParameterException", "conjunction"},
		{"ListSecrets", `{"MaxResults":101}`, "ValidationException", "maxResults"},
		{"ListSecrets", `{"NextToken":"x"}`, "InvalidNextTokenException", ""},
		{"ListSecrets", `{"Filters":[{"Key":"colour","Values":["x"]}]}`, "InvalidParameterException", "Key"},
		{"PutResourcePolicy", `{"SecretId":"a","ResourcePolicy":"{"}`, "MalformedPolicyDocumentException", ""},
		{"GetRandomPassword", `{"PasswordLength":2}`, "InvalidParameterException", "from 4 to 4096"},
	} {
		b.Refused(c.operation, c.body, c.exception, c.text)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i, name := range []string{"prod/db", "prod/api-key", "test/db", "other"} {
		b.Clock.Advance(time.Second)
		b.OK("CreateSecret", `{"Name":%q,"Description":"The %d. one","Tags":[{"Key":"stage","Value":%q}]}`, name, i, name[:4])
	}
	names := func(body string) (list []string) {
		t.Helper()
		next := ""
		for {
			doc := b.OK("ListSecrets", `{"MaxResults":2,"NextToken":%q%s}`, next, body)
			for _, e := range doc["SecretList"].([]any) {
				list = append(list, e.(map[string]any)["Name"].(string))
			}
			if next, _ = doc["NextToken"].(string); next == "" {
				return list
			}
		}
	}
	for body, want := range map[string][]string{
		``:                    {"prod/db", "prod/api-key", "test/db", "other"},
		`,"SortOrder":"desc"`: {"other", "test/db", "prod/api-key", "prod/db"},
		`,"SortBy":"name"`:    {"other", "prod/api-key", "prod/db", "test/db"},
		`,"Filters":[{"Key":"name","Values":["prod/"]}]`:                                   {"prod/db", "prod/api-key"},
		`,"Filters":[{"Key":"name","Values":["!prod/"]}]`:                                  {"test/db", "other"},
		`,"Filters":[{"Key":"description","Values":["ONE"]}]`:                              {"prod/db", "prod/api-key", "test/db", "other"},
		`,"Filters":[{"Key":"tag-value","Values":["test","othe"]}]`:                        {"test/db", "other"},
		`,"Filters":[{"Key":"tag-key","Values":["x"]}]`:                                    nil,
		`,"Filters":[{"Key":"all","Values":["key"]},{"Key":"name","Values":["prod/api"]}]`: {"prod/api-key"},
	} {
		if got := names(body); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", body, got, want)
		}
	}
	b.OK("DeleteSecret", `{"SecretId":"other"}`)
	if got := names(""); slices.Contains(got, "other") {
		t.Error("a deleted secret is listed")
	}
	if got := names(`,"IncludePlannedDeletion":true`); !slices.Contains(got, "other") {
		t.Error("a deleted secret is not listed when asked for")
	}
	doc := b.OK("BatchGetSecretValue", `{"SecretIdList":["prod/db","missing"]}`)
	if n := len(doc["Errors"].([]any)); n != 2 { // the first has no value
		t.Errorf("batch: %v", doc)
	}
	b.OK("PutSecretValue", `{"SecretId":"prod/db","SecretString":"v"}`)
	doc = b.OK("BatchGetSecretValue", `{"Filters":[{"Key":"name","Values":["prod/db"]}]}`)
	if got := doc["SecretValues"].([]any); len(got) != 1 || got[0].(map[string]any)["SecretString"] != "v" {
		t.Errorf("batch by filter: %v", doc)
	}
}

func TestTagsAndPolicy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.OK("CreateSecret", `{"Name":"a"}`)
	b.OK("TagResource", `{"SecretId":"a","Tags":[{"Key":"k","Value":"1"},{"Key":"l","Value":"2"}]}`)
	b.OK("UntagResource", `{"SecretId":"a","TagKeys":["k"]}`)
	want := []any{map[string]any{"Key": "l", "Value": "2"}}
	if diff := cmp.Diff(want, b.OK("DescribeSecret", `{"SecretId":"a"}`)["Tags"]); diff != "" {
		t.Error(diff)
	}
	if got := b.OK("GetResourcePolicy", `{"SecretId":"a"}`); got["ResourcePolicy"] != nil || got["Name"] != "a" {
		t.Errorf("no policy: %v", got)
	}
	b.OK("PutResourcePolicy", `{"SecretId":"a","ResourcePolicy":"{\"Version\":\"2012-10-17\"}"}`)
	if got := b.OK("GetResourcePolicy", `{"SecretId":"a"}`)["ResourcePolicy"]; got != `{"Version":"2012-10-17"}` {
		t.Errorf("policy: %v", got)
	}
	b.OK("DeleteResourcePolicy", `{"SecretId":"a"}`)
	if got := b.OK("GetResourcePolicy", `{"SecretId":"a"}`)["ResourcePolicy"]; got != nil {
		t.Errorf("deleted policy: %v", got)
	}
}

func TestRandomPassword(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := b.OK("GetRandomPassword", `{}`)["RandomPassword"].(string)
	if c := b.OK("GetRandomPassword", `{}`)["RandomPassword"].(string); len(a) != 32 || a == c {
		t.Errorf("%q, %q", a, c)
	}
	for range 50 {
		p := b.OK("GetRandomPassword", `{"PasswordLength":3,"ExcludePunctuation":true,"ExcludeCharacters":"abc"}`)["RandomPassword"].(string)
		if len(p) != 3 || strings.ContainsAny(p, "abc") || !strings.ContainsAny(p, "0123456789") ||
			!strings.ContainsAny(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") || strings.ToUpper(p) == p {
			t.Errorf("%q", p)
		}
	}
}

// No value is readable in the database, in the log or in an error. A value that was
// moved to another row is refused.
func TestValuesAreSealed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const value = "correct-horse-battery"
	b.OK("CreateSecret", `{"Name":"a","SecretString":%q,"ClientRequestToken":%q}`, value, token1)
	b.OK("PutSecretValue", `{"SecretId":"a","SecretBinary":"Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5","ClientRequestToken":%q}`, token2)
	b.OK("GetSecretValue", `{"SecretId":"a"}`)
	b.Refused("PutSecretValue", fmt.Sprintf(`{"SecretId":"a","SecretString":"x-%s","ClientRequestToken":%q}`, value, token1), "ResourceExistsException", "")
	b.Refused("PutSecretValue", fmt.Sprintf(`{"SecretId":"a","SecretString":[%q]}`, value), "SerializationException", "")
	b.Hides(value)
	b.Hides("Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5") // the same in base64
}

// What an id means, and what it never means. An ARN that ends as complete ones do is
// complete: that of a deleted secret leads to no secret whose name looks like it.
func TestNames(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arnOf := func(name string) string {
		return b.OK("CreateSecret", `{"Name":%q,"SecretString":%q}`, name, name)["ARN"].(string)
	}
	db, config := arnOf("db"), arnOf("app-config")
	old := arnOf("gone")
	b.OK("DeleteSecret", `{"SecretId":"gone","ForceDeleteWithoutRecovery":true}`)
	_, tail, _ := strings.Cut(old, ":secret:")
	alike := arnOf(tail) // named like the end of the old ARN
	const prefix = "arn:aws:secretsmanager:us-east-1:000000000000:secret:"
	for id, want := range map[string]string{
		"db": db, db: db, prefix + "db": db,
		"app-config": config, config: config,
		tail: alike, alike: alike,
	} {
		if got := b.OK("DescribeSecret", `{"SecretId":%q}`, id)["ARN"]; got != want {
			t.Errorf("%s is %v, want %s", id, got, want)
		}
	}
	for _, id := range []string{
		old, prefix + "app-config", prefix + "gone", "d", "DB", "/db", "db/", db[:len(db)-1], db + "x", prefix,
		strings.Replace(db, "arn:aws:", "arn:aws-cn:", 1), strings.Replace(db, "us-east-1", "us-east-2", 1), strings.Replace(db, ":0000", ":0001", 1),
	} {
		for _, call := range []string{"DescribeSecret", "GetSecretValue", "DeleteSecret", "RestoreSecret"} {
			b.Refused(call, `{"SecretId":"`+id+`"}`, "ResourceNotFoundException", "can't find")
		}
	}
}
