package terraform

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/image/imagetest"
)

// assertOutputs checks that each output contains what is wanted.
func (x *terraformed) assertOutputs(wanted map[string]string) {
	x.T.Helper()
	for name, want := range wanted {
		if !strings.Contains(x.out[name], want) {
			x.T.Errorf("output %s is %q, want %q", name, x.out[name], want)
		}
	}
}

func (x *terraformed) assertConfigurationsMade() {
	x.T.Helper()
	x.assertOutputs(map[string]string{
		"connection": ":connection/code/", "connection_status": "PENDING_HANDSHAKE", "traces": ":observabilityconfiguration/traces/1/",
		"steady": ":autoscalingconfiguration/steady/1/", "steady_next": ":autoscalingconfiguration/steady/2/",
		"observed_scaling": ":autoscalingconfiguration/calm/1/", "deployment": "SUCCEEDED", "zone": "Z01915732ZBZKC8D32TPT",
	})
}

// assertConfigurationsChanged checks that tags changed in place, and that a revision
// was replaced and got the same number.
func (x *terraformed) assertConfigurationsChanged(before map[string]string) {
	x.T.Helper()
	if next := x.out["steady_next"]; next == before["steady_next"] || !strings.Contains(next, "/steady/2/") {
		x.T.Errorf("the second revision was %s and is %s", before["steady_next"], next)
	}
	for _, name := range []string{"connection", "traces", "steady"} {
		if tags := x.tagsOf(x.out[name]); !maps.Equal(tags, map[string]string{"team": "shop", "by": "terraform"}) || x.out[name] != before[name] {
			x.T.Errorf("%s: tags %v; it was %s and is %s", name, tags, before[name], x.out[name])
		}
	}
}

func (x *terraformed) assertImages() {
	x.T.Helper()
	x.assertOutputs(map[string]string{
		"repository": "000000000000.dkr.ecr.us-east-1.amazonaws.com/team/shop", "pushed": ":repository/pushed",
		"digest": imagetest.Digest(x.T, harness.WebImage(x.T, "1")), "docker_user": "AWS", "docker_endpoint": x.API,
	})
}

func (x *terraformed) assertCaller() {
	x.T.Helper()
	x.assertOutputs(map[string]string{"account": "000000000000", "key": "AKIA"})
}

// assertPrivate checks that the private service is reached by its connection only.
func (x *terraformed) assertPrivate() {
	x.T.Helper()
	x.assertOutputs(map[string]string{
		"connector_status": "ACTIVE", "door_status": "AVAILABLE", "connector": ":vpcconnector/near/1/", "door": ":vpcingressconnection/door/",
	})
	host, _, _ := strings.Cut(x.out["private_url"], ":")
	x.WaitHostStatus(host, http.StatusNotFound)
}

func (x *terraformed) assertConnectionTags() {
	x.T.Helper()
	if tags := x.tagsOf(x.out["door"]); !maps.Equal(tags, map[string]string{"by": "terraform", "greeting": "two"}) {
		x.T.Errorf("the connection's tags are %v", tags)
	}
}

// resetDefaultScaling gives the default back to the provided configuration. The
// provider drops its default configuration without setting another one, and the
// default can't be deleted, as on App Runner.
func (x *terraformed) resetDefaultScaling() {
	x.T.Helper()
	if _, err := x.Client().UpdateDefaultAutoScalingConfiguration(x.T.Context(), &apprunner.UpdateDefaultAutoScalingConfigurationInput{
		AutoScalingConfigurationArn: aws.String("arn:aws:apprunner:us-east-1:000000000000:autoscalingconfiguration/DefaultConfiguration"),
	}); err != nil {
		x.T.Fatal(err)
	}
}

// assertDestroyed checks that nothing is left but what was there before.
func (x *terraformed) assertDestroyed(t *testing.T) {
	x.T.Helper()
	x.AssertDeleted(x.web)
	x.AssertDeleted(&types.Service{ServiceArn: aws.String(x.out["private"]), ServiceUrl: aws.String(x.out["door_domain"]), ServiceName: aws.String("private")})
	c, ctx := x.Client(), x.T.Context()
	connectors, err := c.ListVpcConnectors(ctx, &apprunner.ListVpcConnectorsInput{})
	if err != nil || len(connectors.VpcConnectors) != 0 {
		x.T.Errorf("connectors left: %v, %v", connectors, err)
	}
	scalings, err := c.ListAutoScalingConfigurations(ctx, &apprunner.ListAutoScalingConfigurationsInput{})
	if err != nil {
		x.T.Fatal(err)
	}
	if l := scalings.AutoScalingConfigurationSummaryList; len(l) != 1 || *l[0].AutoScalingConfigurationName != "DefaultConfiguration" || !*l[0].IsDefault {
		x.T.Errorf("auto scaling configurations left: %v", l)
	}
	traces, err := c.ListObservabilityConfigurations(ctx, &apprunner.ListObservabilityConfigurationsInput{})
	if err != nil {
		x.T.Fatal(err)
	}
	if l := traces.ObservabilityConfigurationSummaryList; len(l) != 1 || *l[0].ObservabilityConfigurationName != "DefaultConfiguration" {
		x.T.Errorf("observability configurations left: %v", l)
	}
	connections, err := c.ListConnections(ctx, &apprunner.ListConnectionsInput{})
	if err != nil || len(connections.ConnectionSummaryList) != 0 {
		x.T.Errorf("connections left: %v, %v", connections, err)
	}
	secrets, err := secretsmanager.NewFromConfig(x.SDK()).ListSecrets(ctx, &secretsmanager.ListSecretsInput{})
	if err != nil || len(secrets.SecretList) != 0 {
		x.T.Errorf("secrets left: %v, %v", secrets, err)
	}
	if out := x.MustSlipway(t, "iam", "user", "ls", "--json"); !strings.Contains(out, `"Users": []`) {
		x.T.Errorf("users left: %s", out)
	}
	images := x.Shell(t).ECR("describe-repositories", "--query", "sort(repositories[].repositoryName)", "--output", "text")
	if got := strings.Fields(images); strings.Join(got, " ") != "pushed terraform" {
		x.T.Errorf("repositories left: %q", got)
	}
}
