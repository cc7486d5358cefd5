package replay_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
)

var record = flag.Bool("record", false, "record the exchanges of the clients that this machine has")

// TestRecord records what every client of this machine sends and is answered.
func TestRecord(t *testing.T) {
	if !*record {
		t.Skip("only with -record: it writes testdata")
	}
	for _, c := range []struct {
		file, comment string
		story         func(*testing.T, *server)
	}{
		{"go-sdk", "The AWS SDK for Go, version 2.", func(t *testing.T, s *server) { story(t, newGoSDK(s)) }},
		{"boto3", "boto3, AWS's SDK for Python.", func(t *testing.T, s *server) { story(t, newBoto3(t, s)) }},
		{"javascript-sdk", "The AWS SDK for JavaScript, version 3.", func(t *testing.T, s *server) { story(t, newJavaScript(t, s)) }},
		{"aws-cli-1", "The AWS CLI, version 1.", func(t *testing.T, s *server) { story(t, newAWSCLI(t, s, "1")) }},
		{"aws-cli-2", "The AWS CLI, version 2.", func(t *testing.T, s *server) { story(t, newAWSCLI(t, s, "2")) }},
		{"terraform", "Terraform with the AWS provider: apply, a change, destroy.", applyTerraform},
	} {
		t.Run(c.file, func(t *testing.T) {
			s := newServer(t, func(*gatewaytest.Bench) time.Time { return time.Now() })
			c.story(t, s)
			if t.Failed() {
				return
			}
			comment := c.comment + " Recorded by go test ./internal/replay -record.\n"
			if err := os.WriteFile(filepath.Join("testdata", c.file+".txtar"), format(comment, s.exchanges), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// input is the input of an operation, in the model's names.
type input map[string]any

// client makes calls with one of AWS's clients. It returns the output in the
// model's names, or the code of the error that it was answered.
type client interface {
	call(t *testing.T, operation string, in input) (out map[string]any, code string)
}

// teller tells the story with one client.
type teller struct {
	*testing.T
	client
}

// story leads a service through its life, reads a list page by page, tags, and
// asks for what is not there.
func story(t *testing.T, c client) {
	s := teller{t, c}
	small := s.ok("CreateAutoScalingConfiguration", input{"AutoScalingConfigurationName": "small", "MaxSize": 2})
	s.ok("CreateAutoScalingConfiguration", input{"AutoScalingConfigurationName": "large"})
	s.pages()

	made := s.ok("CreateService", input{
		"ServiceName": "shop", "SourceConfiguration": source("one"),
		"AutoScalingConfigurationArn": small["AutoScalingConfiguration"].(map[string]any)["AutoScalingConfigurationArn"],
		"Tags":                        []any{map[string]any{"Key": "team", "Value": "web"}},
	})
	arn := made["Service"].(map[string]any)["ServiceArn"].(string)
	s.finish(arn, made)
	s.ok("DescribeService", input{"ServiceArn": arn})
	s.finish(arn, s.ok("UpdateService", input{"ServiceArn": arn, "SourceConfiguration": source("two")}))
	s.finish(arn, s.ok("PauseService", input{"ServiceArn": arn}))
	s.finish(arn, s.ok("ResumeService", input{"ServiceArn": arn}))

	s.ok("TagResource", input{"ResourceArn": arn, "Tags": []any{map[string]any{"Key": "stage", "Value": "live"}}})
	s.ok("ListTagsForResource", input{"ResourceArn": arn})
	s.ok("UntagResource", input{"ResourceArn": arn, "TagKeys": []any{"stage"}})
	unknown := "arn:aws:apprunner:us-east-1:000000000000:service/nowhere/0123456789abcdef0123456789abcdef"
	if _, code := c.call(t, "DescribeService", input{"ServiceArn": unknown}); code != "ResourceNotFoundException" {
		t.Errorf("an unknown service is refused with %q", code)
	}

	s.finish(arn, s.ok("DeleteService", input{"ServiceArn": arn}))
	s.ok("ListServices", input{})
}

func source(greeting string) input {
	return input{"AutoDeploymentsEnabled": false, "ImageRepository": input{
		"ImageIdentifier": "public.ecr.aws/nginx/nginx:latest", "ImageRepositoryType": "ECR_PUBLIC",
		"ImageConfiguration": input{"Port": "80", "RuntimeEnvironmentVariables": input{"GREETING": greeting}},
	}}
}

// ok makes a call that must succeed.
func (s teller) ok(operation string, in input) map[string]any {
	s.Helper()
	out, code := s.call(s.T, operation, in)
	if code != "" {
		s.Fatalf("%s is refused with %s", operation, code)
	}
	return out
}

// pages reads a list of three page by page.
func (s teller) pages() {
	s.Helper()
	in := input{"MaxResults": 2}
	for page := 1; ; page++ {
		out := s.ok("ListAutoScalingConfigurations", in)
		token, _ := out["NextToken"].(string)
		if token == "" {
			if page != 2 {
				s.Errorf("the list has %d pages, want 2", page)
			}
			return
		}
		in["NextToken"] = token
	}
}

// finish follows the operation that a call began to its end.
func (s teller) finish(arn string, began map[string]any) {
	s.Helper()
	for range 5 {
		list := s.ok("ListOperations", input{"ServiceArn": arn, "MaxResults": 1})["OperationSummaryList"].([]any)
		if o := list[0].(map[string]any); o["Id"] == began["OperationId"] && o["Status"] == "SUCCEEDED" {
			return
		}
	}
	s.Fatalf("operation %v does not end", began["OperationId"])
}

// applyTerraform applies a service, changes it and destroys it, with one call at
// a time.
func applyTerraform(t *testing.T, s *server) {
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("no terraform")
	}
	dir := t.TempDir()
	config, err := os.ReadFile("testdata/terraform/main.tf")
	if err != nil {
		t.Fatal(err)
	}
	mirrors, _ := filepath.Glob("/opt/*/registry.terraform.io")
	mirror := os.Getenv("TF_PLUGIN_MIRROR")
	if mirror == "" && len(mirrors) > 0 {
		mirror = filepath.Dir(mirrors[0])
	}
	settings := "provider_installation {\n  filesystem_mirror {\n    path = \"" + mirror + "\"\n  }\n}\n"
	for name, body := range map[string][]byte{"main.tf": config, "cli.tfrc": []byte(settings)} {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"one", "init"},
		{"one", "apply", "-auto-approve", "-parallelism=1"},
		{"two", "apply", "-auto-approve", "-parallelism=1"},
		{"two", "destroy", "-auto-approve", "-parallelism=1"},
	} {
		cmd := exec.CommandContext(t.Context(), "terraform", append(args[1:], "-input=false", "-no-color")...)
		cmd.Dir, cmd.Env = dir, append(s.clientEnv(), "TF_CLI_CONFIG_FILE="+filepath.Join(dir, "cli.tfrc"),
			"TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1", "TF_VAR_endpoint="+s.URL, "TF_VAR_greeting="+args[0])
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("terraform %s: %v\n%s", args[1], err, out)
		}
	}
}

// clientEnv is the environment of clients that are programs.
func (s *server) clientEnv() []string {
	return append(os.Environ(), "AWS_ACCESS_KEY_ID="+s.Key.ID, "AWS_SECRET_ACCESS_KEY="+s.Key.Secret,
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "PYTHONDONTWRITEBYTECODE=1")
}

// refusal matches how the AWS CLI tells of an error.
var refusal = regexp.MustCompile(`An error occurred \((\w+)\)`)

var wordStart = regexp.MustCompile(`[A-Z]`)

// verb is the AWS CLI's name of an operation.
func verb(operation string) string {
	return strings.TrimPrefix(wordStart.ReplaceAllStringFunc(operation, func(c string) string { return "-" + strings.ToLower(c) }), "-")
}

// output runs a command and returns its standard output and standard error.
func output(cmd *exec.Cmd) (out, complaints []byte, err error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.Bytes(), stderr.Bytes(), err
}
