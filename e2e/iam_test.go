package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestIAMTerraform manages users, keys and policies, without any of the flags
// that let the provider skip asking who it is.
func TestIAMTerraform(t *testing.T) {
	t.Parallel()
	s := serve(t, "--isolated", "--warm", "0")
	f := newTerraformIn(t, s, "", "testdata/terraform-iam")
	const update, remove = "apprunner:UpdateService", "apprunner:DeleteService"
	f.run(0, "", "init", "-input=false", "-no-color")
	f.apply(update)
	if out := f.outputs(); out["account"] != "000000000000" || !strings.HasPrefix(out["key"], "AKIA") {
		t.Errorf("the outputs are %v", out)
	}
	f.plan(0, update)
	for address, id := range map[string]string{
		"aws_iam_user.ci": "ci", "aws_iam_user_policy.own": "ci:own", "aws_iam_policy.deploy": "arn:aws:iam::000000000000:policy/deploy",
		"aws_iam_user_policy_attachment.deploy": "ci/arn:aws:iam::000000000000:policy/deploy",
	} {
		f.run(0, update, "state", "rm", address)
		f.run(0, update, "import", "-input=false", "-no-color", address, id)
	}
	f.plan(0, update)
	f.plan(2, remove)
	f.apply(remove)
	f.plan(0, remove)
	f.run(0, remove, "destroy", "-auto-approve", "-input=false", "-no-color")
	if out := s.cli(t, "iam", "user", "ls", "--json"); !strings.Contains(out, `"Users": []`) {
		t.Errorf("destroyed, there are users: %s", out)
	}
}

// TestIAMBoto3 restricts a user; the script says what it expects.
func TestIAMBoto3(t *testing.T) {
	t.Parallel()
	s := serve(t, "--isolated", "--warm", "0")
	s.boto3("iam.py", s.API)
}

// restricted makes a user with a key under a policy of these statements, and
// returns the environment of clients that use it.
func (s *server) restricted(user, statements string) (key, secret string, env []string) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "policy.json")
	if err := os.WriteFile(file, []byte(`{"Version":"2012-10-17","Statement":[`+statements+`]}`), 0o600); err != nil {
		s.t.Fatal(err)
	}
	for _, args := range [][]string{{"iam", "user", "add", user}, {"iam", "policy", "put", "p", file, "--user", user}} {
		if out, err := s.slipway(args...); err != nil {
			s.t.Fatalf("slipway %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	out, err := s.slipway("iam", "key", "add", user, "--json")
	if err != nil {
		s.t.Fatal(err)
	}
	var made struct {
		AccessKey struct{ AccessKeyID, SecretAccessKey string }
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	key, secret = made.AccessKey.AccessKeyID, made.AccessKey.SecretAccessKey
	return key, secret, append(s.clientEnv(), "AWS_ACCESS_KEY_ID="+key, "AWS_SECRET_ACCESS_KEY="+secret)
}

// TestIAMAWSCLI restricts a user and lets the AWS CLI be it.
func TestIAMAWSCLI(t *testing.T) {
	t.Parallel()
	s := serve(t, "--isolated", "--warm", "0")
	c := newAWSCLI(t, s)
	_, _, env := s.restricted("ann", `{"Effect":"Allow","Action":["apprunner:*","cloudtrail:LookupEvents"],"Resource":"*"},{"Effect":"Deny","Action":"apprunner:Delete*","Resource":"*"}`)
	call := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), c.path, append([]string{"--endpoint-url", s.API, "--output", "json"}, args...)...)
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
		"apprunner delete-auto-scaling-configuration --auto-scaling-configuration-arn arn:aws:apprunner:us-east-1:000000000000:autoscalingconfiguration/small": "(AccessDeniedException) when calling the DeleteAutoScalingConfiguration operation: User: arn:aws:iam::000000000000:user/ann is not authorized to perform: apprunner:DeleteAutoScalingConfiguration on resource: arn:aws:apprunner:us-east-1:000000000000:autoscalingconfiguration/small/1/",
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
	s := serve(t, "--isolated", "--warm", "0")
	key, secret, _ := s.restricted("ann", `{"Effect":"Allow","Action":"ecr:*","Resource":"arn:aws:ecr:*:*:repository/hers/*"}`)
	img := web(t, "1")
	s.push(img, "theirs/web:1")
	ann := []remote.Option{remote.WithAuth(&authn.Basic{Username: key, Password: secret}), remote.WithTransport(s.http.Transport)}
	ref := func(repository string) name.Reference {
		r, err := name.ParseReference(s.registryHost()+"/"+repository, name.Insecure)
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
	// A push begins by asking for a blob, with HEAD, whose answer has no words.
	if err := remote.Write(ref("theirs/web:2"), img, ann...); err == nil || !strings.Contains(err.Error(), "403 Forbidden") {
		t.Errorf("a push: %v", err)
	}
}

// TestAuditSurvivesCrash kills the server while clients create configurations:
// each that is there afterwards has its record.
func TestAuditSurvivesCrash(t *testing.T) {
	t.Parallel()
	s := serve(t, "--isolated", "--warm", "0", "--quota", "autoscaling-names=-1")
	for round := range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		var clients sync.WaitGroup
		for worker := range 4 {
			c := s.client()
			clients.Go(func() {
				for i := 0; ; i++ {
					_, err := c.CreateAutoScalingConfiguration(ctx, &apprunner.CreateAutoScalingConfigurationInput{
						AutoScalingConfigurationName: aws.String(fmt.Sprintf("r%d-w%d-%d", round, worker, i)),
					}, func(o *apprunner.Options) { o.Retryer = aws.NopRetryer{} })
					if err != nil {
						return
					}
				}
			})
		}
		eventually(t, "configurations are made", func() (bool, string) {
			out, err := s.client().ListAutoScalingConfigurations(ctx, &apprunner.ListAutoScalingConfigurationsInput{})
			if err != nil {
				return false, err.Error()
			}
			n := len(out.AutoScalingConfigurationSummaryList)
			return n > 20*(round+1), fmt.Sprintf("%d so far", n)
		})
		s.kill()
		clients.Wait()
		cancel()
		s.start()
	}
	list, err := s.client().ListAutoScalingConfigurations(t.Context(), &apprunner.ListAutoScalingConfigurationsInput{})
	if err != nil {
		t.Fatal(err)
	}
	records := s.cli(t, "audit", "--json", "--name", "CreateAutoScalingConfiguration", "-n", "10000")
	recorded := map[string]bool{}
	for line := range strings.Lines(records) {
		var r struct {
			RequestParameters struct{ AutoScalingConfigurationName string }
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		recorded[r.RequestParameters.AutoScalingConfigurationName] = true
	}
	for _, v := range list.AutoScalingConfigurationSummaryList {
		if n := *v.AutoScalingConfigurationName; n != "DefaultConfiguration" && !recorded[n] {
			t.Errorf("%s was made and is not recorded", n)
		}
	}
	t.Logf("%d configurations, %d records", len(list.AutoScalingConfigurationSummaryList), len(recorded))
}
