package terraform

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"

	"github.com/openslipway/slipway/e2e/harness"
)

// vary sets the variables of testdata/service/configs.tf.
func vary(f *harness.Terraform, team string, concurrency int) {
	f.Env = append(f.Env, "TF_VAR_team="+team, fmt.Sprintf("TF_VAR_concurrency=%d", concurrency))
}

// reimport removes a resource from the state and imports it by an id.
func reimport(f *harness.Terraform, resource, id string) {
	f.T.Helper()
	f.Run(0, "one", "state", "rm", resource)
	f.Run(0, "one", "import", "-input=false", "-no-color", resource, id)
}

// TestTerraformConfigurations applies a connection, configurations with several
// revisions, the default one, a service that uses them and its deployment, finds
// no drift, imports and changes them, and destroys it all.
func TestTerraformConfigurations(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	f := harness.NewTerraform(t, s, s.Push(harness.WebImage(t, "1"), "terraform:latest"), "configs.tf")
	vary(f, "web", 40)
	f.Run(0, "one", "init", "-input=false", "-no-color")
	f.Apply("one")
	f.Plan(0, "one")
	out := f.Outputs()
	for name, want := range map[string]string{
		"connection": ":connection/code/", "connection_status": "PENDING_HANDSHAKE", "traces": ":observabilityconfiguration/traces/1/",
		"steady": ":autoscalingconfiguration/steady/1/", "steady_next": ":autoscalingconfiguration/steady/2/",
		"observed_scaling": ":autoscalingconfiguration/calm/1/", "deployment": "SUCCEEDED", "zone": "Z01915732ZBZKC8D32TPT",
	} {
		if !strings.Contains(out[name], want) {
			t.Errorf("output %s is %q, want %q", name, out[name], want)
		}
	}

	const resource = "aws_apprunner_"
	for address, id := range map[string]string{
		"connection.code":                                    "code",
		"observability_configuration.traces":                 out["traces"],
		"auto_scaling_configuration_version.steady":          out["steady"],
		"default_auto_scaling_configuration_version.default": "us-east-1",
		"service.observed":                                   out["observed"],
	} {
		reimport(f, resource+address, id)
	}
	f.Plan(0, "one")

	vary(f, "shop", 60) // tags in place; a revision is replaced and gets the same number
	f.Plan(2, "one")
	f.Apply("one")
	f.Plan(0, "one")
	changed := f.Outputs()
	if next := changed["steady_next"]; next == out["steady_next"] || !strings.Contains(next, "/steady/2/") {
		t.Errorf("the second revision was %s and is %s", out["steady_next"], next)
	}
	for _, name := range []string{"connection", "traces", "steady"} {
		tags, err := s.Client().ListTagsForResource(t.Context(), &apprunner.ListTagsForResourceInput{ResourceArn: aws.String(changed[name])})
		if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Value != "shop" || changed[name] != out[name] {
			t.Errorf("%s: tags %v, %v; it was %s and is %s", name, tags, err, out[name], changed[name])
		}
	}

	// The provider drops its default configuration without setting another one, and
	// the default can't be deleted, as on App Runner.
	if _, err := s.Client().UpdateDefaultAutoScalingConfiguration(t.Context(), &apprunner.UpdateDefaultAutoScalingConfigurationInput{
		AutoScalingConfigurationArn: aws.String("arn:aws:apprunner:us-east-1:000000000000:autoscalingconfiguration/DefaultConfiguration"),
	}); err != nil {
		t.Fatal(err)
	}
	f.Run(0, "one", "destroy", "-auto-approve", "-input=false", "-no-color")
	assertConfigurationsGone(s)
}

// assertConfigurationsGone checks that only the provided configurations are left.
func assertConfigurationsGone(s *harness.Server) {
	s.T.Helper()
	c, ctx := s.Client(), s.T.Context()
	scalings, err := c.ListAutoScalingConfigurations(ctx, &apprunner.ListAutoScalingConfigurationsInput{})
	if err != nil {
		s.T.Fatal(err)
	}
	if l := scalings.AutoScalingConfigurationSummaryList; len(l) != 1 || *l[0].AutoScalingConfigurationName != "DefaultConfiguration" || !*l[0].IsDefault {
		s.T.Errorf("auto scaling configurations left: %v", l)
	}
	traces, err := c.ListObservabilityConfigurations(ctx, &apprunner.ListObservabilityConfigurationsInput{})
	if err != nil {
		s.T.Fatal(err)
	}
	if l := traces.ObservabilityConfigurationSummaryList; len(l) != 1 || *l[0].ObservabilityConfigurationName != "DefaultConfiguration" {
		s.T.Errorf("observability configurations left: %v", l)
	}
	connections, err := c.ListConnections(ctx, &apprunner.ListConnectionsInput{})
	if err != nil {
		s.T.Fatal(err)
	}
	if l := connections.ConnectionSummaryList; len(l) != 0 {
		s.T.Errorf("connections left: %v", l)
	}
}
