package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// keeper keeps the secrets of a service on its server.
type keeper struct {
	*server
	secrets    *secretsmanager.Client
	parameters *ssm.Client
	arn        string
}

func newKeeper(s *server) *keeper {
	s.t.Helper()
	k := &keeper{server: s, secrets: secretsmanager.NewFromConfig(s.sdk()), parameters: ssm.NewFromConfig(s.sdk())}
	out, err := k.secrets.CreateSecret(s.t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("secretive/greeting")})
	if err != nil {
		s.t.Fatal(err)
	}
	k.arn = *out.ARN
	return k
}

// secretOf is the value that stands for a word: long enough to be found where it
// must not be.
func secretOf(word string) string { return "secret-value-" + word }

// put gives both the secret and the parameter a value.
func (k *keeper) put(word string) {
	k.t.Helper()
	ctx := k.t.Context()
	_, err := k.secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: &k.arn, SecretString: aws.String(fmt.Sprintf(`{"greeting":%q}`, secretOf(word))),
	})
	if err != nil {
		k.t.Fatal(err)
	}
	_, err = k.parameters.PutParameter(ctx, &ssm.PutParameterInput{
		Name: aws.String("/secretive/token"), Value: aws.String(secretOf(word)), Type: ssmtypes.ParameterTypeSecureString, Overwrite: aws.Bool(true),
	})
	if err != nil {
		k.t.Fatal(err)
	}
}

// assertNowhere looks for values in all files of the data directory and in what
// the server said.
func (k *keeper) assertNowhere(words ...string) {
	k.t.Helper()
	searched := 0
	err := filepath.WalkDir(k.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // it may be gone by now
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		searched++
		for _, w := range words {
			if bytes.Contains(b, []byte(secretOf(w))) {
				k.t.Errorf("%s holds the value %q", strings.TrimPrefix(path, k.dir), w)
			}
		}
		return nil
	})
	if err != nil || searched < 5 {
		k.t.Errorf("only %d files were searched: %v", searched, err)
	}
	for _, w := range words {
		if k.output.contains(secretOf(w)) {
			k.t.Errorf("the server said the value %q", w)
		}
	}
}

// TestSecretsFromAWS has a server follow references to AWS, which another
// server stands for.
func TestSecretsFromAWS(t *testing.T) {
	t.Parallel()
	theirs := serve(t, "--account", "123456789012")
	k := newKeeper(theirs)
	k.put("theirs")
	s := prepare(t, nil, "--api-addr", freeAddr(t), "--http-addr", freeAddr(t), "--aws-secrets")
	s.env = append(os.Environ(), "AWS_ENDPOINT_URL="+theirs.API, "AWS_SHARED_CREDENTIALS_FILE="+theirs.Credentials, "AWS_EC2_METADATA_DISABLED=true")
	s.start()
	svc := s.runningService("abroad", spec{
		image: s.push(web(t, "1"), "abroad:latest"), health: quick(),
		secrets: map[string]string{
			"GREETING": k.arn + ":greeting::", "TOKEN": "arn:aws:ssm:us-east-1:123456789012:parameter/secretive/token",
		},
	})
	if r, err := s.ask(svc, "/"); err != nil || r.Greeting != secretOf("theirs") {
		t.Errorf("GREETING is %q (%v)", r.Greeting, err)
	}
	(&keeper{server: s}).assertNowhere("theirs")
}

// TestSecretsAWSCLI keeps secrets and parameters with each AWS CLI there is.
func TestSecretsAWSCLI(t *testing.T) {
	t.Parallel()
	s := serve(t)
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
			cmd.Env = s.clientEnv()
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

// TestSecretsBoto3 does the same with Debian's boto3; the script says what it
// expects.
func TestSecretsBoto3(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.boto3("keep.py", s.API)
}

// TestTerraformSecrets applies a service with a secret and a parameter, finds no
// drift, changes their values, imports and destroys them.
func TestTerraformSecrets(t *testing.T) {
	t.Parallel()
	s := serve(t)
	f := newTerraformIn(t, s, "", "testdata/terraform-secrets")
	f.env = append(f.env, "TF_VAR_image="+s.push(web(t, "1"), "terraform-secrets:latest"))
	f.run(0, "", "init", "-input=false", "-no-color")
	f.apply("one")
	f.plan(0, "one")
	f.plan(2, "two")
	f.apply("two")
	f.plan(0, "two")
	out := f.outputs()
	for address, id := range map[string]string{
		"aws_secretsmanager_secret.greeting": out["secret"], "aws_secretsmanager_secret_version.greeting": out["version"],
		"aws_ssm_parameter.token": "/terraform/token",
	} {
		f.run(0, "two", "state", "rm", address)
		f.run(0, "two", "import", "-input=false", "-no-color", address, id)
	}
	f.plan(0, "two")
	f.run(0, "two", "destroy", "-auto-approve", "-input=false", "-no-color")
	list, err := secretsmanager.NewFromConfig(s.sdk()).ListSecrets(t.Context(), &secretsmanager.ListSecretsInput{})
	if err != nil || len(list.SecretList) != 0 {
		t.Errorf("after the destruction there are %v (%v)", list, err)
	}
}
