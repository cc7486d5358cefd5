package slipway_test

import (
	"strings"
	"testing"

	"github.com/openslipway/slipway"
)

const secretARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/db-AbCdEf"

func TestParseSecretReference(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]slipway.SecretReference{
		secretARN:                    {Partition: "aws", Region: "us-east-1", Account: "123456789012", Secret: secretARN},
		secretARN + ":password::":    {Partition: "aws", Region: "us-east-1", Account: "123456789012", Secret: secretARN, JSONKey: "password"},
		secretARN + "::AWSPREVIOUS:": {Partition: "aws", Region: "us-east-1", Account: "123456789012", Secret: secretARN, Stage: "AWSPREVIOUS"},
		secretARN + ":k:AWSCURRENT:11111111-1111-1111-1111-111111111111": {
			Partition: "aws", Region: "us-east-1", Account: "123456789012", Secret: secretARN, JSONKey: "k", Stage: "AWSCURRENT", VersionID: "11111111-1111-1111-1111-111111111111",
		},
		"arn:aws-cn:ssm:cn-north-1:123456789012:parameter/token": {Partition: "aws-cn", Region: "cn-north-1", Account: "123456789012", Parameter: "token"},
		"arn:aws:ssm:us-east-1:123456789012:parameter/prod/db":   {Partition: "aws", Region: "us-east-1", Account: "123456789012", Parameter: "/prod/db"},
		"arn:aws:ssm:us-east-1:123456789012:parameter/prod/db:3": {Partition: "aws", Region: "us-east-1", Account: "123456789012", Parameter: "/prod/db", Version: 3},
		"token":      {Parameter: "token"},
		"/prod/db":   {Parameter: "/prod/db"},
		"/prod/db:2": {Parameter: "/prod/db", Version: 2},
	} {
		if got, err := slipway.ParseSecretReference(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", " ", "pass word", "prod/db", "/prod/", "//", "/a:0", "/a:-1", "/a:01", "/a:x", strings.Repeat("x", 1012),
		secretARN + ":password", secretARN + ":password:", secretARN + ":a:b:c:d", secretARN + "::st age:", secretARN + ":::short",
		"arn:aws:secretsmanager:us-east-1:123456789012:secret:", "arn:aws:secretsmanager:us-east-1:123456789012:key:x",
		"arn:aws:secretsmanager:us-east-1:12345678901:secret:x", "arn:aws:secretsmanager::123456789012:secret:x",
		"arn:awsome:ssm:us-east-1:123456789012:parameter/x", "arn:aws-:ssm:us-east-1:123456789012:parameter/x",
		"arn:aws:ssm:us-east-1:123456789012:parameter", "arn:aws:ssm:us-east-1:123456789012:document/x", "arn:aws:s3:::bucket", "arn:",
	} {
		if got, err := slipway.ParseSecretReference(text); slipway.CodeOf(err) != slipway.InvalidRequest {
			t.Errorf("%q is taken: %+v, %v", text, got, err)
		}
	}
}

func FuzzParseSecretReference(f *testing.F) {
	f.Add(secretARN + ":password:AWSCURRENT:")
	f.Add("arn:aws:ssm:us-east-1:123456789012:parameter/prod/db:3")
	f.Add("/prod/db:2")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := slipway.ParseSecretReference(text)
		switch {
		case err != nil:
			if r != (slipway.SecretReference{}) || slipway.CodeOf(err) != slipway.InvalidRequest {
				t.Errorf("%q: %+v with %v", text, r, err)
			}
			if len(text) > 8 && strings.Contains(err.Error(), text) && !strings.Contains("arn:aws:secretsmanager:<region>:<account>:secret:<name>", text) {
				t.Errorf("the error repeats %q", text)
			}
		case (r.Secret == "") == (r.Parameter == ""):
			t.Errorf("%q means both or nothing: %+v", text, r)
		case (r.Region == "") != (r.Account == "") || r.Secret != "" && r.Region == "":
			t.Errorf("%q is half an ARN: %+v", text, r)
		case strings.Contains(text, "\n"):
			t.Errorf("%q has a line break", text)
		}
	})
}
