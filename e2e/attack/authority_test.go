package attack

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/openslipway/slipway/e2e/harness"
)

// authority is a server with what one user may use and another may not.
type authority struct {
	*harness.ServiceSecrets
	image          string
	mallory, alice aws.Config // the other, and the one
}

const (
	everything = `{"Effect":"Allow","Action":"*","Resource":"*"}`
	noSecrets  = everything + `,{"Effect":"Deny","Action":["secretsmanager:GetSecretValue","ssm:GetParameter*","ecr:BatchGetImage","ecr:GetDownloadUrlForLayer","logs:*"],` +
		`"Resource":["arn:aws:secretsmanager:*:*:secret:secretive/*","arn:aws:ssm:*:*:parameter/secretive/*","arn:aws:ecr:*:*:repository/secretive/*","arn:aws:logs:*:*:log-group:/aws/apprunner/control/*"]}`
)

// TestAuthority has a user of the API try to get with the server's authority what their
// policies deny. The control is a user without the Deny, for whom the same calls work.
func TestAuthority(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t, "--isolated", "--warm", "0")
	a := authority{ServiceSecrets: harness.NewServiceSecrets(s), image: s.Push(harness.WebImage(t, "1"), "web:1")}
	a.Put("one")
	a.mallory, a.alice = a.user(t, "mallory", noSecrets), a.user(t, "alice", everything)

	t.Run("references", a.attackReferences)
	t.Run("images", a.attackImages)
	t.Run("lists", a.attackLists)
}

// user makes a user with a policy of these statements and returns their configuration
// of the SDK.
func (a authority) user(t *testing.T, name, statements string) aws.Config {
	t.Helper()
	a.MustSlipway(t, "iam", "user", "add", name)
	a.allow(t, name, statements)
	var made struct {
		AccessKey struct{ AccessKeyID, SecretAccessKey string }
	}
	if err := json.Unmarshal([]byte(a.MustSlipway(t, "iam", "key", "add", name, "--json")), &made); err != nil {
		t.Fatal(err)
	}
	cfg := a.SDK()
	cfg.Credentials = credentials.NewStaticCredentialsProvider(made.AccessKey.AccessKeyID, made.AccessKey.SecretAccessKey, "")
	return cfg
}

// allow gives a user a policy of these statements instead of the one that they have.
func (a authority) allow(t *testing.T, user, statements string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, []byte(`{"Version":"2012-10-17","Statement":[`+statements+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	a.MustSlipway(t, "iam", "policy", "put", "p", file, "--user", user)
}

// deploy creates a service as a user and returns it once it runs, or the refusal.
func (a authority) deploy(t *testing.T, user aws.Config, name string, p harness.Spec) (*types.Service, error) {
	t.Helper()
	out, err := apprunner.NewFromConfig(user).CreateService(t.Context(), &apprunner.CreateServiceInput{
		ServiceName: &name, SourceConfiguration: p.Source(), InstanceConfiguration: &types.InstanceConfiguration{
			Cpu: aws.String("256"), Memory: aws.String("512"), InstanceRoleArn: aws.String("arn:aws:iam::000000000000:role/web"),
		},
	})
	if err != nil {
		return nil, err
	}
	a.WaitSucceeded(out.Service, *out.OperationId)
	return out.Service, nil
}

// variable returns a variable of a service's instances.
func (a authority) variable(t *testing.T, svc *types.Service, name string) string {
	t.Helper()
	code, body, err := a.Request(svc, "/env?name="+name)
	if err != nil || code != http.StatusOK {
		t.Fatalf("/env: %d %s %v", code, body, err)
	}
	return body
}

// refused fails unless a call was denied with the same words for what exists and what
// does not.
func refused(t *testing.T, what, action, resource string, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "AccessDenied") || !strings.Contains(err.Error(), "not authorized to perform: "+action+" on resource: "+resource+" ") {
		t.Errorf("%s: %v, want a denial of %s on %s", what, err, action, resource)
	}
}

func (a authority) attackReferences(t *testing.T) {
	const parameter, read, readValue = "/secretive/token", "secretsmanager:GetSecretValue", "ssm:GetParameters"
	_, err := secretsmanager.NewFromConfig(a.mallory).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &a.ARN})
	refused(t, "a direct read", read, a.ARN, err)
	for name, p := range map[string]struct{ reference, action string }{
		"secret": {a.ARN, read}, "short": {strings.TrimSuffix(a.ARN, a.ARN[len(a.ARN)-7:]), read}, "member": {a.ARN + ":greeting::", read},
		"parameter": {parameter, readValue}, "missing": {"/secretive/none", readValue},
	} {
		_, err := a.deploy(t, a.mallory, "m-"+name, harness.Spec{Image: a.image, Secrets: map[string]string{"SECRET": p.reference}})
		refused(t, name, p.action, p.reference, err)
	}
	svc, err := a.deploy(t, a.alice, "control", harness.Spec{Image: a.image, Secrets: map[string]string{"SECRET": parameter}})
	if err != nil {
		t.Fatal(err)
	}
	if got := a.variable(t, svc, "SECRET"); got != harness.SecretValue("one") {
		t.Errorf("the control reads %q", got)
	}
	// What runs with alice's references is not mallory's to change.
	client := apprunner.NewFromConfig(a.mallory)
	_, err = client.UpdateService(t.Context(), &apprunner.UpdateServiceInput{ServiceArn: svc.ServiceArn, SourceConfiguration: harness.Spec{Image: a.image, Start: "/app"}.Source()})
	refused(t, "another command", readValue, parameter, err)
	_, err = client.TagResource(t.Context(), &apprunner.TagResourceInput{ResourceArn: svc.ServiceArn, Tags: []types.Tag{{Key: aws.String("slipway:build-env.PATH"), Value: aws.String("/evil")}}})
	refused(t, "a setting of its builds", readValue, parameter, err)

	// A right that is withdrawn ends with the next deployment, whoever starts it.
	a.allow(t, "alice", noSecrets)
	defer a.allow(t, "alice", everything)
	out, err := a.Client().StartDeployment(t.Context(), &apprunner.StartDeploymentInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	if got := a.WaitOperation(svc, *out.OperationId); got == types.OperationStatusSucceeded {
		t.Errorf("the deployment without alice's right ended %s", got)
	}
	if events := a.Events(svc); !strings.Contains(events, "user/alice is not authorized to perform: ssm:GetParameters on resource: "+parameter) {
		t.Errorf("the events do not say why:\n%s", events)
	}
}

// attackImages has mallory run and build on images of a repository that is denied.
func (a authority) attackImages(t *testing.T) {
	img := harness.WebImage(t, "2")
	a.Push(img, "secretive/web:1")
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	const action, arn = "ecr:BatchGetImage", "arn:aws:ecr:us-east-1:000000000000:repository/secretive/"
	for name, c := range map[string]struct{ image, resource string }{
		"ecr": {harness.ECRImage("secretive/web:1"), arn + "web"}, "digest": {harness.ECRImage("secretive/web@" + digest.String()), arn + "web"},
		"host": {a.RegistryHost() + "/secretive/web:1", arn + "web"}, "short": {"secretive/web:1", "secretive/web:1"},
		"missing": {harness.ECRImage("secretive/none:1"), arn + "none"}, "missing-short": {"secretive/none:1", "secretive/none:1"},
	} {
		_, err := a.deploy(t, a.mallory, "i-"+name, harness.Spec{Image: c.image})
		refused(t, name, action, c.resource, err)
	}
	svc, err := a.deploy(t, a.alice, "image", harness.Spec{Image: harness.ECRImage("secretive/web:1")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = apprunner.NewFromConfig(a.mallory).UpdateService(t.Context(), &apprunner.UpdateServiceInput{
		ServiceArn: svc.ServiceArn, SourceConfiguration: &types.SourceConfiguration{AutoDeploymentsEnabled: aws.Bool(true)},
	})
	refused(t, "taking over a service of it", action, arn+"web", err)

	for name, dockerfile := range map[string]string{
		"from": "FROM secretive/web:1\n", "copy": "FROM scratch\nCOPY --from=secretive/web:1 / /\nCMD [\"/app\"]\n",
		"mount": "FROM web:1\nRUN --mount=type=bind,from=" + a.RegistryHost() + "/secretive/web:1,target=/m [\"/app\"]\n",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := a.as(t, a.mallory, "up", dir, "--name", "b-"+name)
		if err == nil || !strings.Contains(out, "user/mallory is not authorized to perform: "+action+" on resource: "+arn+"web") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if name == "mount" {
			continue // the control would need a program that ends
		}
		if out, err := a.as(t, a.alice, "up", dir, "--name", "b-"+name+"-control"); err != nil {
			t.Errorf("%s, the control: %v\n%s", name, err, out)
		}
	}
}

// as runs slipway as a user.
func (a authority) as(t *testing.T, user aws.Config, args ...string) (string, error) {
	t.Helper()
	keys, err := user.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), a.Binary, args...)
	cmd.Env = append(a.ClientEnv(), "AWS_ACCESS_KEY_ID="+keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+keys.SecretAccessKey)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// attackLists has mallory read what is denied by calls that answer with many things, or
// that name the thing in two ways. alice gets all of it by the same calls.
func (a authority) attackLists(t *testing.T) {
	services, err := a.Client().ListServices(t.Context(), &apprunner.ListServicesInput{})
	if err != nil {
		t.Fatal(err)
	}
	group := map[string]string{}
	for _, v := range services.ServiceSummaryList {
		group[*v.ServiceName] = "/aws/apprunner/" + *v.ServiceName + "/" + *v.ServiceId + "/service"
	}
	for _, c := range []struct {
		what, target, body, found string
	}{
		{"secrets by a filter", "secretsmanager.BatchGetSecretValue", `{"Filters":[{"Key":"name","Values":["secretive"]}]}`, harness.SecretValue("one")},
		{"parameters by a path", "AmazonSSM.GetParametersByPath", `{"Path":"/","Recursive":true,"WithDecryption":true}`, harness.SecretValue("one")},
		{"logs by an ARN as a name", "Logs_20140328.FilterLogEvents", `{"logGroupName":"arn:aws:logs:us-east-1:000000000000:log-group:` + group["control"] + `"}`, "Service creation"},
		{"logs under another's name", "Logs_20140328.FilterLogEvents", `{"logGroupName":"` + group["control"] + `","logGroupIdentifier":"` + group["image"] + `"}`, ""},
		{"groups of logs", "Logs_20140328.DescribeLogGroups", `{}`, group["control"]},
	} {
		if got := a.call(t, a.mallory, c.target, c.body); c.found != "" && strings.Contains(got, c.found) || strings.Contains(got, "Service creation") {
			t.Errorf("%s: mallory gets %s", c.what, got)
		}
		if got := a.call(t, a.alice, c.target, c.body); !strings.Contains(got, c.found) {
			t.Errorf("%s: the control gets %s", c.what, got)
		}
	}
}

// call makes a signed call and returns the answer's body, whatever its status.
func (a authority) call(t *testing.T, user aws.Config, target, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.API+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", target)
	keys, err := user.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	service := map[string]string{
		"secretsmanager": "secretsmanager", "AmazonSSM": "ssm", "Logs_20140328": "logs", "CloudTrail_20131101": "cloudtrail",
		"AppRunner": "apprunner", "AmazonEC2ContainerRegistry_V20150921": "ecr",
	}[strings.Split(target, ".")[0]]
	sum := sha256.Sum256([]byte(body))
	if err := signer.NewSigner().SignHTTP(t.Context(), keys, req, hex.EncodeToString(sum[:]), service, "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := a.HTTPClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}
