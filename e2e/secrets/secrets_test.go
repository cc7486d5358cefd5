package secrets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/openslipway/slipway/e2e/harness"
)

// assertServes waits until two instances have answered, and fails when one has other
// values.
func assertServes(k *harness.ServiceSecrets, svc *types.Service, word string) {
	k.T.Helper()
	k.AskAll(svc, 2, harness.SecretValue(word))
	code, body, err := k.Request(svc, "/env?name=TOKEN")
	if err != nil || code != http.StatusOK || body != harness.SecretValue(word) {
		k.T.Errorf("TOKEN is %q (%d, %v), want %q", body, code, err, harness.SecretValue(word))
	}
}

// killInstance kills the process of one instance. It returns when nothing of it is left:
// a request that it may have read is answered with an error.
func killInstance(k *harness.ServiceSecrets) {
	k.T.Helper()
	all := k.InstanceProcesses("app")
	if len(all) == 0 {
		k.T.Fatal("no instance runs")
	}
	process, err := os.FindProcess(all[0].Pid)
	if err == nil {
		err = process.Kill()
	}
	if err != nil {
		k.T.Fatal(err)
	}
	harness.Eventually(k.T, "the process is gone", func() (bool, string) { return all[0].Reaped(), "" })
}

func deploy(k *harness.ServiceSecrets, svc *types.Service, want types.OperationStatus) {
	k.T.Helper()
	out, err := k.Client().StartDeployment(k.T.Context(), &apprunner.StartDeploymentInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		k.T.Fatal(err)
	}
	if got := k.WaitOperation(svc, *out.OperationId); got != want {
		k.T.Fatalf("the deployment ended %s, want %s\n%s", got, want, k.Events(svc))
	}
}

// assertReferencesOnly checks that descriptions show references, and that no process
// but the applications' has the values in its environment or arguments.
func assertReferencesOnly(k *harness.ServiceSecrets, svc *types.Service) {
	k.T.Helper()
	out, err := k.Client().DescribeService(k.T.Context(), &apprunner.DescribeServiceInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		k.T.Fatal(err)
	}
	if got := out.Service.SourceConfiguration.ImageRepository.ImageConfiguration.RuntimeEnvironmentSecrets["GREETING"]; got != k.ARN+":greeting::" {
		k.T.Errorf("GREETING is shown as %q", got)
	}
	if b, err := json.Marshal(out.Service); err != nil || bytes.Contains(b, []byte("secret-value-")) {
		k.T.Errorf("the description holds a value: %v", err)
	}
	apps, others := 0, append(harness.ProcessesInCgroup(harness.CgroupName(k.DataDir)), k.PID)
	for _, pid := range others {
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		for _, file := range []string{"environ", "cmdline"} {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
			if err != nil || !bytes.Contains(b, []byte("secret-value-")) {
				continue
			}
			if filepath.Base(exe) == "app" && file == "environ" {
				apps++
				continue
			}
			k.T.Errorf("process %d (%s) has a value in its %s", pid, exe, file)
		}
	}
	if apps != 2 {
		k.T.Errorf("%d applications have the values in their environment, want 2: others would not be found either", apps)
	}
}

// rotateUnderKills rotates the master key repeatedly while the server is killed.
// Afterwards the server starts and can read every secret.
func rotateUnderKills(k *harness.ServiceSecrets) {
	k.T.Helper()
	before := masterKey(k)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	k.T.Logf("seed %d", seed)
	for range 8 {
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			for range 3 {
				if _, err := k.RunSlipway("key", "rotate", "--yes"); err != nil {
					return // the server is dead
				}
			}
		}()
		select {
		case <-asked:
		case <-time.After(time.Duration(random.IntN(300)) * time.Millisecond):
		}
		k.Kill()
		<-asked
		k.Start()
	}
	if _, err := k.RunSlipway("key", "rotate", "--yes"); err != nil {
		k.T.Fatal(err)
	}
	if after := masterKey(k); after == before {
		k.T.Error("the master key was not rotated")
	}
	b, err := os.ReadFile(filepath.Join(k.DataDir, "master.key"))
	if n := bytes.Count(b, []byte("\nAGE-SECRET-KEY-1")); err != nil || n != 1 {
		k.T.Errorf("the key file holds %d keys: %v", n, err)
	}
	out, err := k.Secrets.GetSecretValue(k.T.Context(), &secretsmanager.GetSecretValueInput{SecretId: &k.ARN})
	if err != nil || !strings.Contains(*out.SecretString, harness.SecretValue("third")) {
		k.T.Errorf("the secret after the rotations: %v", err)
	}
}

func masterKey(k *harness.ServiceSecrets) string {
	k.T.Helper()
	out, err := k.RunSlipway("key", "show", "--json")
	var key struct{ PublicKey string }
	if err == nil {
		err = json.Unmarshal([]byte(out), &key)
	}
	if err != nil || key.PublicKey == "" {
		k.T.Fatalf("slipway key show: %v: %s", err, out)
	}
	return key.PublicKey
}

// assertNowhere checks that no file of the data directory and no output of the server
// contains a value.
func assertNowhere(k *harness.ServiceSecrets, words ...string) {
	k.T.Helper()
	searched := 0
	err := filepath.WalkDir(k.DataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // it may be gone by now
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		searched++
		for _, w := range words {
			if bytes.Contains(b, []byte(harness.SecretValue(w))) {
				k.T.Errorf("%s holds the value %q", strings.TrimPrefix(path, k.DataDir), w)
			}
		}
		return nil
	})
	if err != nil || searched < 5 {
		k.T.Errorf("only %d files were searched: %v", searched, err)
	}
	for _, w := range words {
		if k.Output.Contains(harness.SecretValue(w)) {
			k.T.Errorf("the server's output has the value %q", w)
		}
	}
}

// TestSecretsFromAWS has a server read secrets from AWS, for which a second server
// stands in.
func TestSecretsFromAWS(t *testing.T) {
	t.Parallel()
	theirs := harness.Serve(t, "--account", "123456789012")
	k := harness.NewServiceSecrets(theirs)
	k.Put("theirs")
	s := harness.Prepare(t, nil, "--api-addr", harness.FreeAddr(t), "--http-addr", harness.FreeAddr(t), "--aws-secrets")
	s.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+theirs.API, "AWS_SHARED_CREDENTIALS_FILE="+theirs.Credentials, "AWS_EC2_METADATA_DISABLED=true")
	s.Start()
	svc := s.RunningService("abroad", harness.Spec{
		Image: s.Push(harness.WebImage(t, "1"), "abroad:latest"), Health: harness.QuickHealthCheck(),
		Secrets: map[string]string{
			"GREETING": k.ARN + ":greeting::", "TOKEN": "arn:aws:ssm:us-east-1:123456789012:parameter/secretive/token",
		},
	})
	if r, err := s.Ask(svc, "/"); err != nil || r.Greeting != harness.SecretValue("theirs") {
		t.Errorf("GREETING is %q (%v)", r.Greeting, err)
	}
	assertNowhere((&harness.ServiceSecrets{Server: s}), "theirs")
}

// TestSecretsAWSCLI stores secrets and parameters with each installed AWS CLI.
func TestSecretsAWSCLI(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	found := 0
	for i, name := range []string{"/usr/bin/aws", "aws"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		found++
		call := func(want string, args ...string) {
			t.Helper()
			cmd := exec.CommandContext(t.Context(), path, append([]string{"--endpoint-url", s.API, "--output", "text"}, args...)...)
			cmd.Env = s.ClientEnv()
			out, err := cmd.CombinedOutput()
			if !strings.Contains(string(out), want) {
				t.Errorf("%s %s: %v, want %q\n%s", name, strings.Join(args, " "), err, want, out)
			}
		}
		secret, parameter := fmt.Sprintf("cli/%d", i), fmt.Sprintf("/cli/%d", i)
		call("secret:"+secret+"-", "secretsmanager", "create-secret", "--name", secret, "--secret-string", "one")
		call("AWSCURRENT", "secretsmanager", "put-secret-value", "--secret-id", secret, "--secret-string", "two")
		call("two", "secretsmanager", "get-secret-value", "--secret-id", secret)
		call("one", "secretsmanager", "get-secret-value", "--secret-id", secret, "--version-stage", "AWSPREVIOUS")
		call(secret, "secretsmanager", "list-secrets")
		call("AWSPREVIOUS", "secretsmanager", "describe-secret", "--secret-id", secret)
		call(secret, "secretsmanager", "delete-secret", "--secret-id", secret)
		call("InvalidRequestException", "secretsmanager", "get-secret-value", "--secret-id", secret)
		call("ResourceNotFoundException", "secretsmanager", "get-secret-value", "--secret-id", "none")
		call("Standard", "ssm", "put-parameter", "--name", parameter, "--type", "SecureString", "--value", "three")
		call("three", "ssm", "get-parameter", "--name", parameter, "--with-decryption")
		call(parameter, "ssm", "get-parameters-by-path", "--path", "/cli")
		call("none", "ssm", "get-parameters", "--names", parameter, "none")
		call("", "ssm", "delete-parameter", "--name", parameter)
		call("ParameterNotFound", "ssm", "get-parameter", "--name", parameter)
	}
	if found == 0 {
		t.Skip("no AWS CLI (apt-get install awscli)")
	}
}

// TestSecretsBoto3 does the same with Debian's boto3. The script holds the
// expectations.
func TestSecretsBoto3(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	s.Boto3("secrets.py", s.API)
}
