package e2e

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	ecrsdk "github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// estate is a server with one of everything.
type estate struct {
	*keeper
	t     *testing.T
	image string

	loaded, private, paused, deleted, failed *types.Service // as their names say
	moving                                   *types.Service // is being updated when the server ends
	busy                                     *types.Service // is being created then

	connection, door string // the VPC ingress connection of private, and its host
	endpoint         string // the address of its VPC endpoint
	keyEnv           []string
	hooks            *receiver
	update, creation string // operations in flight
	disconnected     bool   // the VPC ingress connection was deleted

	processes []process // of instances that live on
	bootIDs   []string  // of loaded
}

// populate fills a server with everything that is read back.
func populate(t *testing.T, s *server, endpoint string) *estate {
	t.Helper()
	e := &estate{keeper: newKeeper(s), t: t, endpoint: endpoint}
	e.image = s.push(web(t, "1"), "estate:latest")
	e.put("first")
	e.put("second")
	e.addHook()
	e.addUsers()
	e.addRepository()
	e.addServices()
	e.addPrivate()
	e.pauseAndDelete()
	eventually(t, "what the applications print is collected", func() (bool, string) {
		out, err := s.slipway("logs", "loaded")
		return err == nil && len(out) > 0, out
	})
	e.bootIDs = e.boots(e.loaded, 2)
	e.findProcesses()
	return e
}

// readAll reads what must be the same after the upgrade.
func (e *estate) readAll(t *testing.T) snapshot {
	t.Helper()
	return e.server.readAll(t, []*string{e.deleted.ServiceArn}, "moving", "busy")
}

// addHook adds a webhook to events of all services.
func (e *estate) addHook() {
	e.t.Helper()
	e.hooks = &receiver{t: e.t, seen: map[string]bool{}, told: map[string][]string{}}
	at := httptest.NewServer(e.hooks)
	e.t.Cleanup(at.Close)
	var made struct{ Secret string }
	if err := json.Unmarshal([]byte(e.cli(e.t, "hooks", "add", at.URL, "--json")), &made); err != nil {
		e.t.Fatal(err)
	}
	var err error
	if e.hooks.verify, err = standardwebhooks.NewWebhook(made.Secret); err != nil {
		e.t.Fatal(err)
	}
}

// addUsers makes a user with a key, a policy of its own and a managed one.
func (e *estate) addUsers() {
	e.t.Helper()
	c, ctx := iam.NewFromConfig(e.sdk()), e.t.Context()
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
func (e *estate) addRepository() {
	e.t.Helper()
	c, ctx := ecrsdk.NewFromConfig(e.sdk()), e.t.Context()
	name, policy := "kept", `{"rules":[{"rulePriority":1,"selection":{"tagStatus":"untagged","countType":"imageCountMoreThan","countNumber":3},"action":{"type":"expire"}}]}`
	if _, err := c.CreateRepository(ctx, &ecrsdk.CreateRepositoryInput{
		RepositoryName: &name, ImageTagMutability: ecrtypes.ImageTagMutabilityImmutable, Tags: []ecrtypes.Tag{{Key: aws.String("team"), Value: aws.String("web")}},
	}); err != nil {
		e.t.Fatal(err)
	}
	if _, err := c.PutLifecyclePolicy(ctx, &ecrsdk.PutLifecyclePolicyInput{RepositoryName: &name, LifecyclePolicyText: &policy}); err != nil {
		e.t.Fatal(err)
	}
	e.push(web(e.t, "2"), "kept:v2")
}

// addServices makes the public services, with what they use.
func (e *estate) addServices() {
	e.t.Helper()
	c, ctx := e.client(), e.t.Context()
	team := []types.Tag{{Key: aws.String("team"), Value: aws.String("web")}}
	e.size("pair", 60, 1, 2)
	pair := e.size("pair", 50, 2, 2)
	if _, err := c.UpdateDefaultAutoScalingConfiguration(ctx, &apprunner.UpdateDefaultAutoScalingConfigurationInput{AutoScalingConfigurationArn: aws.String(e.size("small", 100, 1, 3))}); err != nil {
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
	failed, op := e.create("failed", spec{image: e.image, env: map[string]string{"MODE": "exit"}})
	e.failed = failed
	e.loaded = e.runningService("loaded", spec{
		image: e.image, scaling: pair, health: quick(),
		secrets: map[string]string{"GREETING": e.arn + ":greeting::", "TOKEN": "/secretive/token"},
	})
	e.paused = e.runningService("paused", spec{image: e.image, env: greeting("paused")})
	e.deleted = e.runningService("deleted", spec{image: e.image, env: greeting("deleted")})
	e.moving = e.runningService("moving", spec{image: e.image, env: greeting("unmoved")})
	if got := e.ended(failed, op); got != types.OperationStatusFailed {
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
	e.succeeds(e.paused, *update.OperationId)
	e.associate(e.loaded, "loaded.localhost", false)
	e.domainGets(e.loaded, "loaded.localhost", domainActive)
	e.associate(e.loaded, "unproved.example.com", true)
	e.domainGets(e.loaded, "unproved.example.com", domainPending)
}

// addPrivate makes a private service that goes out by a VPC connector, and the
// VPC ingress connection that leads to it.
func (e *estate) addPrivate() {
	e.t.Helper()
	e.private = e.runningService("private", spec{image: e.image, network: &types.NetworkConfiguration{
		EgressConfiguration: egress(e.connector("near", "subnet-a")).EgressConfiguration, IngressConfiguration: private(true).IngressConfiguration,
	}})
	made, err := e.client().CreateVpcIngressConnection(e.t.Context(), &apprunner.CreateVpcIngressConnectionInput{
		ServiceArn: e.private.ServiceArn, VpcIngressConnectionName: aws.String("door"),
		IngressVpcConfiguration: &types.IngressVpcConfiguration{VpcId: aws.String("vpc-1"), VpcEndpointId: aws.String("vpce-1")},
	})
	if err != nil {
		e.t.Fatal(err)
	}
	e.connection, e.door = *made.VpcIngressConnection.VpcIngressConnectionArn, *made.VpcIngressConnection.DomainName
	e.t.Cleanup(func() { // of a test that failed: the server's end deletes services, which it would keep
		if e.t.Failed() && !e.disconnected {
			e.deleteConnection(context.Background())
		}
	})
	e.ingress(e.connection, types.VpcIngressConnectionStatusAvailable)
}

// deleteConnection deletes the VPC ingress connection, without which private
// can be deleted.
func (e *estate) deleteConnection(ctx context.Context) {
	e.t.Helper()
	if _, err := e.client().DeleteVpcIngressConnection(ctx, &apprunner.DeleteVpcIngressConnectionInput{VpcIngressConnectionArn: &e.connection}); err != nil {
		e.t.Errorf("DeleteVpcIngressConnection: %v", err)
	}
	e.disconnected = true
}

// pauseAndDelete leads two services to where their names say.
func (e *estate) pauseAndDelete() {
	e.t.Helper()
	pause, err := e.client().PauseService(e.t.Context(), &apprunner.PauseServiceInput{ServiceArn: e.paused.ServiceArn})
	if err != nil {
		e.t.Fatal(err)
	}
	deletion, err := e.client().DeleteService(e.t.Context(), &apprunner.DeleteServiceInput{ServiceArn: e.deleted.ServiceArn})
	if err != nil {
		e.t.Fatal(err)
	}
	e.succeeds(e.paused, *pause.OperationId)
	e.succeeds(e.deleted, *deletion.OperationId)
}

// findProcesses finds the processes that live on: those of all instances but
// the one that is updated away.
func (e *estate) findProcesses() {
	e.t.Helper()
	moving := e.boots(e.moving, 1)
	for _, p := range e.instanceProcesses("app") {
		r, err := askInside(e.t.Context(), clientInside(e.t, p))
		if err != nil {
			e.t.Fatalf("process %d: %v", p.pid, err)
		}
		if r.Boot != moving[0] {
			e.processes = append(e.processes, p)
		}
	}
	if len(e.processes) != 3 { // two of loaded, one of private
		e.t.Fatalf("%d processes of instances were found, want 3", len(e.processes))
	}
}
