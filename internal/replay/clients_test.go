package replay_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/smithy-go"

	"github.com/openslipway/slipway/internal/sdkhttp"
)

// goSDK is Go's SDK.
type goSDK struct{ client *apprunner.Client }

func newGoSDK(s *server) goSDK {
	return goSDK{apprunner.New(apprunner.Options{
		Region: "us-east-1", BaseEndpoint: &s.URL, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider(s.Key.ID, s.Key.Secret, ""),
		HTTPClient:  &http.Client{Transport: sdkhttp.Transport(http.DefaultTransport)},
	})}
}

func (g goSDK) call(t *testing.T, operation string, in input) (out map[string]any, code string) {
	t.Helper()
	method := reflect.ValueOf(g.client).MethodByName(operation)
	arg := reflect.New(method.Type().In(1).Elem())
	text, err := json.Marshal(in)
	if err == nil {
		err = json.Unmarshal(text, arg.Interface()) // its fields have the model's names
	}
	if err != nil {
		t.Fatal(err)
	}
	result := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), arg})
	if err, _ := result[1].Interface().(error); err != nil {
		e, ok := errors.AsType[smithy.APIError](err)
		if !ok {
			t.Fatal(err)
		}
		return nil, e.ErrorCode()
	}
	if text, err = json.Marshal(result[0].Interface()); err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out, ""
}

// process is a client that runs in a process of its own, which reads calls and
// writes answers line by line.
type process struct {
	in  io.Writer
	out *bufio.Reader
}

func newProcess(t *testing.T, s *server, name, script string) process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, name, script, s.URL, "us-east-1", s.Key.ID, s.Key.Secret)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cancel()
		cmd.Wait()
	})
	return process{in, bufio.NewReader(out)}
}

func (p process) call(t *testing.T, operation string, in input) (map[string]any, string) {
	t.Helper()
	if err := json.NewEncoder(p.in).Encode(map[string]any{"operation": operation, "input": in}); err != nil {
		t.Fatalf("%s: %v", operation, err)
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("%s: %v", operation, err)
	}
	var answer struct {
		Output map[string]any
		Error  string
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		t.Fatalf("%s: %v: %s", operation, err, line)
	}
	return answer.Output, answer.Error
}

// scripts are the programs that make calls with an SDK.
const scripts = "../api/testdata/clients"

func newBoto3(t *testing.T, s *server) process {
	t.Helper()
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import boto3").Run() == nil {
			return newProcess(t, s, python, filepath.Join(scripts, "python.py"))
		}
	}
	t.Skip("no boto3 (apt-get install python3-boto3)")
	return process{}
}

// newJavaScript runs JavaScript's SDK, which npm installs for the test.
func newJavaScript(t *testing.T, s *server) process {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"package.json", "javascript.mjs"} {
		text, err := os.ReadFile(filepath.Join(scripts, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("JavaScript's SDK can't be installed: %v: %.300s", err, out)
	}
	return newProcess(t, s, "node", filepath.Join(dir, "javascript.mjs"))
}

// awsCLI is the AWS CLI.
type awsCLI struct {
	*server
	path string
}

// newAWSCLI finds an AWS CLI of a major version.
func newAWSCLI(t *testing.T, s *server, major string) awsCLI {
	t.Helper()
	for _, name := range []string{"aws", "/usr/bin/aws"} {
		if out, err := exec.Command(name, "--version").CombinedOutput(); err == nil && strings.HasPrefix(string(out), "aws-cli/"+major+".") {
			return awsCLI{s, name}
		}
	}
	t.Skip("no AWS CLI of version " + major)
	return awsCLI{}
}

func (c awsCLI) call(t *testing.T, operation string, in input) (out map[string]any, code string) {
	t.Helper()
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), c.path, "--endpoint-url", c.URL, "--output", "json", "--no-paginate",
		"apprunner", verb(operation), "--cli-input-json", string(text))
	cmd.Env = c.clientEnv()
	answer, complaints, err := output(cmd)
	if m := refusal.FindSubmatch(complaints); m != nil {
		return nil, string(m[1])
	}
	if err == nil && len(answer) > 0 {
		err = json.Unmarshal(answer, &out)
	}
	if err != nil {
		t.Fatalf("%s %s: %v: %s%s", c.path, verb(operation), err, answer, complaints)
	}
	return out, ""
}
