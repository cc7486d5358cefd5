package upgrade

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	ecrsdk "github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openslipway/slipway/e2e/harness"
)

// fixture is a server with one of everything.
type fixture struct {
	*harness.ServiceSecrets
	t     *testing.T
	image string

	loaded, private, paused, deleted, failed *types.Service // as their names say
	moving                                   *types.Service // is being updated when the server ends
	busy                                     *types.Service // is being created then

	connection, door string // the VPC ingress connection of private, and its host
	endpoint         string // the address of its VPC endpoint
	keyEnv           []string
	hooks            *harness.WebhookReceiver
	update, creation string // operations in flight
	disconnected     bool   // the VPC ingress connection was deleted

	processes []harness.Process // of instances that live on
	bootIDs   []string          // of loaded
}

// populate fills a server with everything that is read back.
func populate(t *testing.T, s *harness.Server, endpoint string) *fixture {
	t.Helper()
	e := &fixture{ServiceSecrets: harness.NewServiceSecrets(s), t: t, endpoint: endpoint}
	e.image = s.Push(harness.WebImage(t, "1"), "estate:latest")
	e.Put("first")
	e.Put("second")
	e.addHook()
	e.addUsers()
	e.addRepository()
	e.addServices()
	e.addPrivate()
	e.pauseAndDelete()
	harness.Eventually(t, "what the applications print is collected", func() (bool, string) {
		out, err := s.RunSlipway("logs", "loaded")
		return err == nil && len(out) > 0, out
	})
	e.bootIDs = e.BootIDs(e.loaded, 2)
	e.findProcesses()
	return e
}

// readAll reads what must be the same after the upgrade.
func (e *fixture) readAll(t *testing.T) snapshot {
	t.Helper()
	return readAll(e.Server, t, []*string{e.deleted.ServiceArn}, "moving", "busy")
}

// addHook adds a webhook to events of all services.
func (e *fixture) addHook() {
	e.t.Helper()
	e.hooks = harness.NewWebhookReceiver(e.t)
	at := httptest.NewServer(e.hooks)
	e.t.Cleanup(at.Close)
	var made struct{ Secret string }
	if err := json.Unmarshal([]byte(e.MustSlipway(e.t, "hooks", "add", at.URL, "--json")), &made); err != nil {
		e.t.Fatal(err)
	}
	e.hooks.SetSecret(made.Secret)
}

// addUsers makes a user with a key, a policy of its own and a managed one.
func (e *fixture) addUsers() {
	e.t.Helper()
	c, ctx := iam.NewFromConfig(e.SDK()), e.t.Context()
	user, own, managed := "ann", "own", "deploy"
	_, err := c.CreateUser(ctx, &iam.CreateUserInput{UserName: &user})
	if err != nil {
		e.t.Fatal(err)
	}
	document := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"apprunner:*","Resource":"*"}]}`
	if _, err := c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &user, PolicyName: &own, PolicyDocument: &document}); err != nil {
		e.t.Fatal(err)
	}
	document = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"apprunner:Delete*","Resource":"*"}]}`
	policy, err := c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &managed, PolicyDocument: &document})
	if err != nil {
		e.t.Fatal(err)
	}
	if _, err := c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: &user, PolicyArn: policy.Policy.Arn}); err != nil {
		e.t.Fatal(err)
	}
	key, err := c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &user})
	if err != nil {
		e.t.Fatal(err)
	}
	e.keyEnv = append(os.Environ(), "SLIPWAY_ENDPOINT="+e.API, "AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID="+*key.AccessKey.AccessKeyId, "AWS_SECRET_ACCESS_KEY="+*key.AccessKey.SecretAccessKey)
}

// addRepository makes a repository with settings and an image.
func (e *fixture) addRepository() {
	e.t.Helper()
	c, ctx := ecrsdk.NewFromConfig(e.SDK()), e.t.Context()
	name, policy := "kept", `{"rules":[{"rulePriority":1,"selection":{"tagStatus":"untagged","countType":"imageCountMoreThan","countNumber":3},"action":{"type":"expire"}}]}`
	if _, err := c.CreateRepository(ctx, &ecrsdk.CreateRepositoryInput{
		RepositoryName: &name, ImageTagMutability: ecrtypes.ImageTagMutabilityImmutable, Tags: []ecrtypes.Tag{{Key: aws.String("team"), Value: aws.String("web")}},
	}); err != nil {
		e.t.Fatal(err)
	}
	if _, err := c.PutLifecyclePolicy(ctx, &ecrsdk.PutLifecyclePolicyInput{RepositoryName: &name, LifecyclePolicyText: &policy}); err != nil {
		e.t.Fatal(err)
	}
	e.Push(harness.WebImage(e.t, "2"), "kept:v2")
}

// addServices makes the public services, with what they use.
func (e *fixture) addServices() {
	e.t.Helper()
	c, ctx := e.Client(), e.t.Context()
	team := []types.Tag{{Key: aws.String("team"), Value: aws.String("web")}}
	e.CreateAutoScaling("pair", 60, 1, 2)
	pair := e.CreateAutoScaling("pair", 50, 2, 2)
	if _, err := c.UpdateDefaultAutoScalingConfiguration(ctx, &apprunner.UpdateDefaultAutoScalingConfigurationInput{AutoScalingConfigurationArn: aws.String(e.CreateAutoScaling("small", 100, 1, 3))}); err != nil {
		e.t.Fatal(err)
	}
	traces, err := c.CreateObservabilityConfiguration(ctx, &apprunner.CreateObservabilityConfigurationInput{
		ObservabilityConfigurationName: aws.String("traces"), Tags: team, TraceConfiguration: &types.TraceConfiguration{Vendor: types.TracingVendorAwsxray},
	})
	if err != nil {
		e.t.Fatal(err)
	}
	if _, err := c.CreateConnection(ctx, &apprunner.CreateConnectionInput{ConnectionName: aws.String("code"), ProviderType: types.ProviderTypeGithub, Tags: team}); err != nil {
		e.t.Fatal(err)
	}
	greeting := func(text string) map[string]string { return map[string]string{"GREETING": text} }
	failed, op := e.Create("failed", harness.Spec{Image: e.image, Env: map[string]string{"MODE": "exit"}})
	e.failed = failed
	e.loaded = e.RunningService("loaded", harness.Spec{
		Image: e.image, Scaling: pair, Health: harness.QuickHealthCheck(),
		Secrets: map[string]string{"GREETING": e.ARN + ":greeting::", "TOKEN": "/secretive/token"},
	})
	e.paused = e.RunningService("paused", harness.Spec{Image: e.image, Env: greeting("paused")})
	e.deleted = e.RunningService("deleted", harness.Spec{Image: e.image, Env: greeting("deleted")})
	e.moving = e.RunningService("moving", harness.Spec{Image: e.image, Env: greeting("unmoved")})
	if got := e.WaitOperation(failed, op); got != types.OperationStatusFailed {
		e.t.Fatalf("the creation of failed ended %s", got)
	}
	if _, err := c.TagResource(ctx, &apprunner.TagResourceInput{ResourceArn: e.loaded.ServiceArn, Tags: team}); err != nil {
		e.t.Fatal(err)
	}
	update, err := c.UpdateService(ctx, &apprunner.UpdateServiceInput{ServiceArn: e.paused.ServiceArn, ObservabilityConfiguration: &types.ServiceObservabilityConfiguration{
		ObservabilityEnabled: true, ObservabilityConfigurationArn: traces.ObservabilityConfiguration.ObservabilityConfigurationArn,
	}})
	if err != nil {
		e.t.Fatal(err)
	}
	e.WaitSucceeded(e.paused, *update.OperationId)
	e.AssociateDomain(e.loaded, "loaded.localhost", false)
	e.WaitDomain(e.loaded, "loaded.localhost", harness.DomainActive)
	e.AssociateDomain(e.loaded, "unproved.example.com", true)
	e.WaitDomain(e.loaded, "unproved.example.com", harness.DomainPending)
}

// addPrivate creates a private service with a VPC connector and a VPC ingress
// connection.
func (e *fixture) addPrivate() {
	e.t.Helper()
	e.private = e.RunningService("private", harness.Spec{Image: e.image, Network: &types.NetworkConfiguration{
		EgressConfiguration: harness.EgressThrough(e.CreateVPCConnector("near", "subnet-a")).EgressConfiguration, IngressConfiguration: harness.PrivateNetwork(true).IngressConfiguration,
	}})
	made, err := e.Client().CreateVpcIngressConnection(e.t.Context(), &apprunner.CreateVpcIngressConnectionInput{
		ServiceArn: e.private.ServiceArn, VpcIngressConnectionName: aws.String("door"),
		IngressVpcConfiguration: &types.IngressVpcConfiguration{VpcId: aws.String("vpc-1"), VpcEndpointId: aws.String("vpce-1")},
	})
	if err != nil {
		e.t.Fatal(err)
	}
	e.connection, e.door = *made.VpcIngressConnection.VpcIngressConnectionArn, *made.VpcIngressConnection.DomainName
	e.t.Cleanup(func() { // a test that failed: the services are deleted, which the connection would prevent
		if e.t.Failed() && !e.disconnected {
			e.deleteConnection(context.Background())
		}
	})
	e.WaitIngressConnection(e.connection, types.VpcIngressConnectionStatusAvailable)
}

// deleteConnection deletes the VPC ingress connection, without which private
// can be deleted.
func (e *fixture) deleteConnection(ctx context.Context) {
	e.t.Helper()
	if _, err := e.Client().DeleteVpcIngressConnection(ctx, &apprunner.DeleteVpcIngressConnectionInput{VpcIngressConnectionArn: &e.connection}); err != nil {
		e.t.Errorf("DeleteVpcIngressConnection: %v", err)
	}
	e.disconnected = true
}

// pauseAndDelete pauses one service and deletes another.
func (e *fixture) pauseAndDelete() {
	e.t.Helper()
	pause, err := e.Client().PauseService(e.t.Context(), &apprunner.PauseServiceInput{ServiceArn: e.paused.ServiceArn})
	if err != nil {
		e.t.Fatal(err)
	}
	deletion, err := e.Client().DeleteService(e.t.Context(), &apprunner.DeleteServiceInput{ServiceArn: e.deleted.ServiceArn})
	if err != nil {
		e.t.Fatal(err)
	}
	e.WaitSucceeded(e.paused, *pause.OperationId)
	e.WaitSucceeded(e.deleted, *deletion.OperationId)
}

// findProcesses finds the processes that live on: those of all instances but
// the one that is updated away.
func (e *fixture) findProcesses() {
	e.t.Helper()
	moving := e.BootIDs(e.moving, 1)
	for _, p := range e.InstanceProcesses("app") {
		r, err := askInside(e.t.Context(), clientInside(e.t, p))
		if err != nil {
			e.t.Fatalf("process %d: %v", p.Pid, err)
		}
		if r.Boot != moving[0] {
			e.processes = append(e.processes, p)
		}
	}
	if len(e.processes) != 3 { // two of loaded, one of private
		e.t.Fatalf("%d processes of instances were found, want 3", len(e.processes))
	}
}

// beginOperations begins an update and a creation that are in flight when the
// server ends.
func (e *fixture) beginOperations() {
	e.t.Helper()
	busy, op := e.Create("busy", harness.Spec{Image: e.image, Env: map[string]string{"MODE": "mute"}})
	e.busy, e.creation = busy, op
	harness.Eventually(e.t, "the creation of busy has begun", func() (bool, string) {
		o, err := e.Operation(*busy.ServiceArn, op)
		return err == nil && o.Status == types.OperationStatusInProgress, fmt.Sprint(o.Status, err)
	})
	out, err := e.Client().UpdateService(e.t.Context(), &apprunner.UpdateServiceInput{
		ServiceArn: e.moving.ServiceArn, SourceConfiguration: harness.Spec{Image: e.image, Env: map[string]string{"GREETING": "moved"}}.Source(),
	})
	if err != nil {
		e.t.Fatal(err)
	}
	e.update = *out.OperationId
}

// assertTakenOver checks that the processes that served before still serve, at the
// same hosts.
func (e *fixture) assertTakenOver() {
	e.t.Helper()
	for _, p := range e.processes {
		if !p.Alive() {
			e.t.Errorf("process %d of an instance is gone", p.Pid)
		}
	}
	if got := e.BootIDs(e.loaded, 2); !slices.Equal(got, e.bootIDs) {
		e.t.Errorf("instances %v answer, before the upgrade it was %v", got, e.bootIDs)
	}
	e.WaitHostGreeting("loaded.localhost", harness.SecretValue("second"))
	e.WaitStatus(e.endpoint, e.door, 200)
	if code, _, err := e.Request(e.paused, "/"); err != nil || code != 503 {
		e.t.Errorf("the paused service answers %d (%v)", code, err)
	}
	if code, _, err := e.Request(e.deleted, "/"); err != nil || code != 404 {
		e.t.Errorf("the deleted service answers %d (%v)", code, err)
	}
}

// assertOperationsGoOn checks that operations in flight end as they would have without
// the upgrade.
func (e *fixture) assertOperationsGoOn() {
	e.t.Helper()
	e.WaitSucceeded(e.moving, e.update)
	e.AskMany(e.moving, 3, "moved")
	if got := e.WaitOperation(e.busy, e.creation); got != types.OperationStatusFailed {
		e.t.Errorf("the creation of an app that never listens ended %s, want FAILED", got)
	}
	if history := e.Events(e.busy); !strings.Contains(history, "nothing listens on port 8080") {
		e.t.Errorf("the events do not say why:\n%s", history)
	}
}

// assertHooks checks that a webhook of the old server receives events of the new one.
func (e *fixture) assertHooks() {
	e.t.Helper()
	harness.Eventually(e.t, "the webhook receives the end of the update", func() (bool, string) {
		told := e.hooks.Told("moving")
		return slices.Contains(told, "UpdateServiceCompletedSuccessfully"), fmt.Sprint(told)
	})
}

// assertKeyWorks checks that an access key of the old server is valid, and that its
// policies apply.
func (e *fixture) assertKeyWorks() {
	e.t.Helper()
	call := func(args ...string) (string, error) {
		cmd := exec.CommandContext(e.t.Context(), e.Binary, args...)
		cmd.Env = append(e.keyEnv, "NO_COLOR=1")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := call("ls"); err != nil || !strings.Contains(out, "loaded") {
		e.t.Errorf("the user can't list: %v: %s", err, out)
	}
	if out, err := call("rm", "loaded", "--yes"); err == nil || !strings.Contains(out, "is not authorized to perform: apprunner:DeleteService") {
		e.t.Errorf("the user may delete: %v: %s", err, out)
	}
}

// changeTakenOver deploys, pauses and resumes services of the old server.
func (e *fixture) changeTakenOver() {
	e.t.Helper()
	ctx, c := e.t.Context(), e.Client()
	deployment, err := c.StartDeployment(ctx, &apprunner.StartDeploymentInput{ServiceArn: e.loaded.ServiceArn})
	if err != nil {
		e.t.Fatal(err)
	}
	e.WaitSucceeded(e.loaded, *deployment.OperationId)
	if got := e.BootIDs(e.loaded, 2); slices.ContainsFunc(got, func(id string) bool { return slices.Contains(e.bootIDs, id) }) {
		e.t.Errorf("after a deployment %v answer, before it %v", got, e.bootIDs)
	}
	e.AskMany(e.loaded, 2, harness.SecretValue("second"))

	pause, err := c.PauseService(ctx, &apprunner.PauseServiceInput{ServiceArn: e.moving.ServiceArn})
	if err != nil {
		e.t.Fatal(err)
	}
	e.WaitSucceeded(e.moving, *pause.OperationId)
	for _, svc := range []*types.Service{e.paused, e.moving} {
		resume, err := c.ResumeService(ctx, &apprunner.ResumeServiceInput{ServiceArn: svc.ServiceArn})
		if err != nil {
			e.t.Fatal(err)
		}
		e.WaitSucceeded(svc, *resume.OperationId)
	}
	e.AskMany(e.paused, 2, "paused")
	e.AskMany(e.moving, 2, "moved")
}

// deleteTakenOver deletes everything that holds resources of the machine. The server's
// cleanUp checks for leaks.
func (e *fixture) deleteTakenOver() {
	e.t.Helper()
	e.deleteConnection(e.t.Context())
	e.WaitIngressConnection(e.connection, types.VpcIngressConnectionStatusDeleted)
	e.DeleteAll()
	if code, _, err := e.Request(e.loaded, "/"); err != nil || code != 404 {
		e.t.Errorf("a deleted service answers %d (%v)", code, err)
	}
	out, err := e.Client().DescribeService(e.t.Context(), &apprunner.DescribeServiceInput{ServiceArn: e.loaded.ServiceArn})
	if err != nil || out.Service.Status != types.ServiceStatusDeleted {
		e.t.Errorf("a deleted service is described as %+v (%v)", aws.ToString(e.loaded.ServiceName), err)
	}
}
