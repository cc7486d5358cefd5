package iam

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestIAMBoto3 restricts a user with Debian's boto3. The script holds the
// expectations.
func TestIAMBoto3(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t, "--isolated", "--warm", "0")
	s.Boto3("iam.py", s.API)
}

// createRestrictedUser creates a user with an access key and a policy of these
// statements. env is the environment of clients that use the key.
func createRestrictedUser(s *harness.Server, user, statements string) (key, secret string, env []string) {
	s.T.Helper()
	file := filepath.Join(s.T.TempDir(), "policy.json")
	if err := os.WriteFile(file, []byte(`{"Version":"2012-10-17","Statement":[`+statements+`]}`), 0o600); err != nil {
		s.T.Fatal(err)
	}
	for _, args := range [][]string{{"iam", "user", "add", user}, {"iam", "policy", "put", "p", file, "--user", user}} {
		if out, err := s.RunSlipway(args...); err != nil {
			s.T.Fatalf("slipway %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	out, err := s.RunSlipway("iam", "key", "add", user, "--json")
	if err != nil {
		s.T.Fatal(err)
	}
	var made struct {
		AccessKey struct{ AccessKeyID, SecretAccessKey string }
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		s.T.Fatalf("%v: %s", err, out)
	}
	key, secret = made.AccessKey.AccessKeyID, made.AccessKey.SecretAccessKey
	return key, secret, append(s.ClientEnv(), "AWS_ACCESS_KEY_ID="+key, "AWS_SECRET_ACCESS_KEY="+secret)
}

// TestIAMAWSCLI makes calls as a restricted user with the AWS CLI.
func TestIAMAWSCLI(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t, "--isolated", "--warm", "0")
	c := harness.NewAWSCLI(t, s)
	_, _, env := createRestrictedUser(s, "ann", `{"Effect":"Allow","Action":["apprunner:*","cloudtrail:LookupEvents"],"Resource":"*"},{"Effect":"Deny","Action":"apprunner:Delete*","Resource":"*"}`)
	call := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), c.Path, append([]string{"--endpoint-url", s.API, "--output", "json"}, args...)...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, ok := range []struct{ want, command string }{
		{`"Arn": "arn:aws:iam::000000000000:user/ann"`, "sts get-caller-identity"},
		{`"ServiceSummaryList": []`, "apprunner list-services"},
		{`:autoscalingconfiguration/small/1/`, "apprunner create-auto-scaling-configuration --auto-scaling-configuration-name small"},
		{`"EventName": "CreateAutoScalingConfiguration"`, "cloudtrail lookup-events --lookup-attributes AttributeKey=Username,AttributeValue=ann"},
	} {
		if out, err := call(strings.Fields(ok.command)...); err != nil || !strings.Contains(out, ok.want) {
			t.Errorf("aws %s: %v: %s, want %s", ok.command, err, out, ok.want)
		}
	}
	for command, want := range map[string]string{
		"apprunner delete-auto-scaling-configuration --auto-scaling-configuration-arn arn:aws:apprunner:us-east-1:000000000000:autoscalingconfiguration/small": "(AccessDeniedException) when calling the DeleteAutoScalingConfiguration operation: User: arn:aws:iam::000000000000:user/ann is not authorized to perform: apprunner:DeleteAutoScalingConfiguration on resource: arn:aws:apprunner:us-east-1:000000000000:autoscalingconfiguration/small with",
		"iam list-users": "(AccessDenied) when calling the ListUsers operation",
	} {
		if out, err := call(strings.Fields(command)...); err == nil || !strings.Contains(out, want) {
			t.Errorf("aws %s: %v: %s, want %s", command, err, out, want)
		}
	}
}

// TestIAMRegistry lets one user push to one repository and pull nothing else.
func TestIAMRegistry(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t, "--isolated", "--warm", "0")
	key, secret, _ := createRestrictedUser(s, "ann", `{"Effect":"Allow","Action":"ecr:*","Resource":"arn:aws:ecr:*:*:repository/hers/*"}`)
	img := harness.WebImage(t, "1")
	s.Push(img, "theirs/web:1")
	ann := []remote.Option{remote.WithAuth(&authn.Basic{Username: key, Password: secret}), remote.WithTransport(s.HTTPClient.Transport)}
	ref := func(repository string) name.Reference {
		r, err := name.ParseReference(s.RegistryHost()+"/"+repository, name.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if err := remote.Write(ref("hers/web:1"), img, ann...); err != nil {
		t.Error(err)
	}
	if _, err := remote.Get(ref("hers/web:1"), ann...); err != nil {
		t.Error(err)
	}
	if _, err := remote.Get(ref("theirs/web:1"), ann...); err == nil || !strings.Contains(err.Error(), "DENIED: User: arn:aws:iam::000000000000:user/ann is not authorized to perform: ecr:BatchGetImage") {
		t.Errorf("a pull: %v", err)
	}
	// A push begins with a HEAD request for a blob, whose answer has no message.
	if err := remote.Write(ref("theirs/web:2"), img, ann...); err == nil || !strings.Contains(err.Error(), "403 Forbidden") {
		t.Errorf("a push: %v", err)
	}
}
