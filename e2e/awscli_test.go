package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
)

// awsCLI runs the AWS CLI's apprunner commands against one server.
type awsCLI struct {
	t    testing.TB
	path string
	s    *server
}

// newAWSCLI finds the AWS CLI, Debian's first.
func newAWSCLI(t testing.TB, s *server) awsCLI {
	t.Helper()
	for _, name := range []string{"/usr/bin/aws", "aws"} {
		if path, err := exec.LookPath(name); err == nil {
			return awsCLI{t, path, s}
		}
	}
	t.Skip("no AWS CLI (apt-get install awscli)")
	return awsCLI{}
}

// run calls an operation and decodes its output into out unless that is nil.
func (c awsCLI) run(out any, args ...string) {
	c.t.Helper()
	b, err := c.output(args...)
	if err != nil {
		c.t.Fatal(err)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(b, out); err != nil {
		c.t.Fatalf("aws apprunner %s: %v: %s", args[0], err, b)
	}
}

func (c awsCLI) output(args ...string) ([]byte, error) {
	cmd := exec.CommandContext(c.t.Context(), c.path, append([]string{
		"--endpoint-url", c.s.API, "--output", "json", "apprunner",
	}, args...)...)
	cmd.Env = c.s.clientEnv()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, errors.New("aws apprunner " + args[0] + ": " + err.Error() + ": " + stderr.String())
	}
	return stdout.Bytes(), nil
}

// answerID is the operation that a changing call started.
type answerID struct {
	OperationID string `json:"OperationId"`
}

// change calls an operation on a service and follows what it started.
func (c awsCLI) change(arn, operation string, args ...string) {
	c.t.Helper()
	var started answerID
	c.run(&started, append([]string{operation, "--service-arn", arn}, args...)...)
	c.finish(arn, started.OperationID)
}

// finish follows an operation by list-operations until it has succeeded.
func (c awsCLI) finish(arn, id string) {
	c.t.Helper()
	eventually(c.t, "operation "+id+" succeeds", func() (bool, string) {
		var list struct {
			OperationSummaryList []struct{ ID, Status string }
		}
		c.run(&list, "list-operations", "--service-arn", arn)
		for _, o := range list.OperationSummaryList {
			if o.ID == id {
				return o.Status == "SUCCEEDED", o.Status
			}
		}
		return false, "not listed"
	})
}

func TestAWSCLI(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c := newAWSCLI(t, s)
	image := s.push(web(t, "1"), "cli:latest")

	var scaling struct {
		AutoScalingConfiguration struct{ AutoScalingConfigurationArn string }
	}
	c.run(&scaling, "create-auto-scaling-configuration", "--auto-scaling-configuration-name", "three", "--min-size", "3", "--max-size", "4")
	var created struct {
		Service struct{ ServiceArn, ServiceName, ServiceURL string }
		answerID
	}
	c.run(&created, "create-service",
		"--service-name", "from-cli",
		"--source-configuration", sourceJSON(t, image, "one"),
		"--auto-scaling-configuration-arn", scaling.AutoScalingConfiguration.AutoScalingConfigurationArn,
		"--tags", "Key=team,Value=web")
	arn := created.Service.ServiceArn
	svc := &types.Service{ServiceArn: &arn, ServiceUrl: &created.Service.ServiceURL, ServiceName: &created.Service.ServiceName}
	c.finish(arn, created.OperationID)
	s.spread(svc, 3, "one")

	c.change(arn, "update-service", "--source-configuration", sourceJSON(t, image, "two"))
	s.replies(svc, 3, "two")

	c.change(arn, "start-deployment")
	s.replies(svc, 3, "two")

	c.change(arn, "pause-service")
	s.assertPaused(svc)

	c.change(arn, "resume-service")
	s.spread(svc, 3, "two")

	var tags struct{ Tags []struct{ Key, Value string } }
	c.run(&tags, "list-tags-for-resource", "--resource-arn", arn)
	if len(tags.Tags) != 1 || tags.Tags[0].Key != "team" || tags.Tags[0].Value != "web" {
		t.Errorf("tags %v, want team=web", tags.Tags)
	}

	c.change(arn, "delete-service")
	s.assertDeleted(svc)
}

// sourceJSON is a service's source as the CLI takes it.
func sourceJSON(t testing.TB, image, greeting string) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{
		"AutoDeploymentsEnabled": false,
		"ImageRepository": map[string]any{
			"ImageIdentifier":     image,
			"ImageRepositoryType": "ECR",
			"ImageConfiguration": map[string]any{
				"Port":                        "8080",
				"RuntimeEnvironmentVariables": map[string]string{"GREETING": greeting},
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestBoto3 leads a service through its life with Debian's boto3; the script
// says what it expects.
func TestBoto3(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.boto3("life.py", s.API, s.hostPort(), s.push(web(t, "1"), "boto:latest"))
}

// boto3 runs a script that uses Debian's boto3 and fails the test when it fails.
func (s *server) boto3(script string, args ...string) {
	s.t.Helper()
	if out, err := s.python(script, args...).Output(); err != nil {
		s.t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// python returns the command for a script of testdata that uses Debian's boto3,
// or skips the test where there is none.
func (s *server) python(script string, args ...string) *exec.Cmd {
	s.t.Helper()
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import boto3").Run(); err != nil {
		s.t.Skip("no boto3 for " + python + " (apt-get install python3-boto3)")
	}
	cmd := exec.CommandContext(s.t.Context(), python, append([]string{filepath.Join("testdata", script)}, args...)...)
	cmd.Env = append(s.clientEnv(), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stderr = os.Stderr
	return cmd
}
