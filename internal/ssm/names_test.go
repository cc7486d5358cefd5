package ssm_test

import (
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// What a name or an ARN means, and what it never means.
func TestNames(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const arn = "arn:aws:ssm:us-east-1:000000000000:parameter/"
	for _, name := range []string{"bare", "/slashed", "/a/b"} {
		b.OK("PutParameter", `{"Name":%q,"Value":%q,"Type":"String"}`, name, name)
	}
	for selector, want := range map[string]string{
		"bare": "bare", "bare:1": "bare", arn + "bare": "bare", arn + "bare:1": "bare",
		"/slashed": "/slashed", arn + "slashed": "/slashed", "/a/b": "/a/b", arn + "a/b": "/a/b",
	} {
		if got := b.parameter(selector)["Name"]; got != want {
			t.Errorf("%s is %v, want %s", selector, got, want)
		}
	}
	for selector, code := range map[string]string{
		"/bare": "ParameterNotFound", "slashed": "ParameterNotFound", "BARE": "ParameterNotFound", "a/b": "ParameterNotFound", "bar": "ParameterNotFound",
		"/a": "ParameterNotFound", arn + "/slashed": "ParameterNotFound",
		"arn:aws-cn:ssm:us-east-1:000000000000:parameter/bare": "ParameterNotFound",
		"arn:aws:ssm:us-east-2:000000000000:parameter/bare":    "ParameterNotFound",
		"arn:aws:ssm:us-east-1:000000000001:parameter/bare":    "ParameterNotFound",
		"bare:01": "ParameterVersionNotFound", "bare:+1": "ParameterVersionNotFound", "bare:": "ParameterVersionNotFound",
		"bare:latest": "ParameterVersionNotFound", "bare:1/2": "ParameterVersionNotFound",
	} {
		b.Refused("GetParameter", `{"Name":"`+selector+`"}`, code, "")
	}
	// One version is not the parameter, and two parameters can't have one ARN.
	for call, body := range map[string]string{
		"DeleteParameter":        `{"Name":"bare:1"}`,
		"AddTagsToResource":      `{"ResourceType":"Parameter","ResourceId":"bare:1","Tags":[{"Key":"k","Value":"v"}]}`,
		"RemoveTagsFromResource": `{"ResourceType":"Parameter","ResourceId":"bare:1","TagKeys":["k"]}`,
	} {
		b.Refused(call, body, "ValidationException", `version "1" of the parameter "bare"`)
	}
	b.Refused("DeleteParameter", `{"Name":"`+arn+`bare"}`, "ValidationException", "deleted by their name")
	if got := b.OK("DeleteParameters", `{"Names":["bare:1","`+arn+`bare"]}`)["DeletedParameters"].([]any); len(got) != 0 {
		t.Errorf("deleted %v", got)
	}
	for twin, of := range map[string]string{"/bare": "bare", "slashed": "/slashed"} {
		b.Refused("PutParameter", `{"Name":"`+twin+`","Value":"v","Type":"String"}`, "ValidationException", "would have the ARN of the parameter "+of+",")
	}
	// An earlier version took both.
	b.Update(func(tx *store.Tx) error {
		return tx.InsertParameter(slipway.Parameter{Name: "/bare", Version: 1, CreatedAt: time.Unix(1, 0)})
	})
	b.Refused("GetParameter", `{"Name":"`+arn+`bare"}`, "ValidationException", "two parameters, bare and /bare")
	if got := b.parameter("bare")["Name"]; got != "bare" {
		t.Errorf("bare is %v", got)
	}
}
