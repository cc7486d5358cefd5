package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// AWSCLI runs the AWS CLI's apprunner commands against one server.
type AWSCLI struct {
	t    testing.TB
	Path string
	s    *Server
}

// NewAWSCLI returns the AWS CLI, preferably Debian's. It skips the test where there
// is none.
func NewAWSCLI(t testing.TB, s *Server) AWSCLI {
	t.Helper()
	for _, name := range []string{"/usr/bin/aws", "aws"} {
		if path, err := exec.LookPath(name); err == nil {
			return AWSCLI{t, path, s}
		}
	}
	t.Skip("no AWS CLI (apt-get install awscli)")
	return AWSCLI{}
}

// Run calls an operation and decodes its output into out unless that is nil.
func (c AWSCLI) Run(out any, args ...string) {
	c.t.Helper()
	b, err := c.Output(args...)
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

// Output calls an operation and returns its standard output.
func (c AWSCLI) Output(args ...string) ([]byte, error) {
	cmd := exec.CommandContext(c.t.Context(), c.Path, append([]string{
		"--endpoint-url", c.s.API, "--output", "json", "apprunner",
	}, args...)...)
	cmd.Env = c.s.ClientEnv()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, errors.New("aws apprunner " + args[0] + ": " + err.Error() + ": " + stderr.String())
	}
	return stdout.Bytes(), nil
}

// AnswerID is the id of the operation that a call started.
type AnswerID struct {
	OperationID string `json:"OperationId"`
}

// Change makes a call that changes a service and waits until the operation that it
// started has succeeded.
func (c AWSCLI) Change(arn, operation string, args ...string) {
	c.t.Helper()
	var started AnswerID
	c.Run(&started, append([]string{operation, "--service-arn", arn}, args...)...)
	c.Finish(arn, started.OperationID)
}

// Finish polls list-operations until an operation has succeeded.
func (c AWSCLI) Finish(arn, id string) {
	c.t.Helper()
	Eventually(c.t, "operation "+id+" succeeds", func() (bool, string) {
		var list struct {
			OperationSummaryList []struct{ ID, Status string }
		}
		c.Run(&list, "list-operations", "--service-arn", arn)
		for _, o := range list.OperationSummaryList {
			if o.ID == id {
				return o.Status == "SUCCEEDED", o.Status
			}
		}
		return false, "not listed"
	})
}

// Boto3 runs a script of testdata with Debian's boto3. The test fails when the
// script does.
func (s *Server) Boto3(script string, args ...string) {
	s.T.Helper()
	if out, err := s.Python(script, args...).Output(); err != nil {
		s.T.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// Python returns the command for a script of testdata that uses Debian's boto3,
// or skips the test where there is none.
func (s *Server) Python(script string, args ...string) *exec.Cmd {
	s.T.Helper()
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import boto3").Run(); err != nil {
		s.T.Skip("no boto3 for " + python + " (apt-get install python3-boto3)")
	}
	cmd := exec.CommandContext(s.T.Context(), python, append([]string{filepath.Join("testdata", script)}, args...)...)
	cmd.Env = append(s.ClientEnv(), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stderr = os.Stderr
	return cmd
}
