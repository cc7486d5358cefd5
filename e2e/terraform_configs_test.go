package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
)

// vary sets the variables of testdata/terraform/configs.tf.
func (f *terraform) vary(team string, concurrency int) {
	f.env = append(f.env, "TF_VAR_team="+team, fmt.Sprintf("TF_VAR_concurrency=%d", concurrency))
}

// reimport forgets a resource and imports it by an id.
func (f *terraform) reimport(resource, id string) {
	f.t.Helper()
	f.run(0, "one", "state", "rm", resource)
	f.run(0, "one", "import", "-input=false", "-no-color", resource, id)
}

// TestTerraformConfigurations applies a connection, configurations with several
// revisions, the default one, a service that uses them and its deployment, finds
// no drift, imports and changes them, and destroys it all.
func TestTerraformConfigurations(t *testing.T) {
	t.Parallel()
	s := serve(t)
	f := newTerraform(t, s, s.push(web(t, "1"), "terraform:latest"), "configs.tf")
	f.vary("web", 40)
	f.run(0, "one", "init", "-input=false", "-no-color")
	f.apply("one")
	f.plan(0, "one")
	out := f.outputs()
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
		f.reimport(resource+address, id)
	}
	f.plan(0, "one")

	f.vary("shop", 60) // tags in place; a revision is replaced and gets the same number
	f.plan(2, "one")
	f.apply("one")
	f.plan(0, "one")
	changed := f.outputs()
	if next := changed["steady_next"]; next == out["steady_next"] || !strings.Contains(next, "/steady/2/") {
		t.Errorf("the second revision was %s and is %s", out["steady_next"], next)
	}
	for _, name := range []string{"connection", "traces", "steady"} {
		tags, err := s.client().ListTagsForResource(t.Context(), &apprunner.ListTagsForResourceInput{ResourceArn: aws.String(changed[name])})
		if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Value != "shop" || changed[name] != out[name] {
			t.Errorf("%s: tags %v, %v; it was %s and is %s", name, tags, err, out[name], changed[name])
		}
	}

	// The provider forgets its default without putting another in its place, and
	// the default can't be deleted, here as on App Runner.
	if _, err := s.client().UpdateDefaultAutoScalingConfiguration(t.Context(), &apprunner.UpdateDefaultAutoScalingConfigurationInput{
		AutoScalingConfigurationArn: aws.String("arn:aws:apprunner:us-east-1:000000000000:autoscalingconfiguration/DefaultConfiguration"),
	}); err != nil {
		t.Fatal(err)
	}
	f.run(0, "one", "destroy", "-auto-approve", "-input=false", "-no-color")
	s.assertConfigurationsGone()
}

// assertConfigurationsGone asserts that what is provided is all there is.
func (s *server) assertConfigurationsGone() {
	s.t.Helper()
	c, ctx := s.client(), s.t.Context()
	scalings, err := c.ListAutoScalingConfigurations(ctx, &apprunner.ListAutoScalingConfigurationsInput{})
	if err != nil {
		s.t.Fatal(err)
	}
	if l := scalings.AutoScalingConfigurationSummaryList; len(l) != 1 || *l[0].AutoScalingConfigurationName != "DefaultConfiguration" || !*l[0].IsDefault {
		s.t.Errorf("auto scaling configurations left: %v", l)
	}
	traces, err := c.ListObservabilityConfigurations(ctx, &apprunner.ListObservabilityConfigurationsInput{})
	if err != nil {
		s.t.Fatal(err)
	}
	if l := traces.ObservabilityConfigurationSummaryList; len(l) != 1 || *l[0].ObservabilityConfigurationName != "DefaultConfiguration" {
		s.t.Errorf("observability configurations left: %v", l)
	}
	connections, err := c.ListConnections(ctx, &apprunner.ListConnectionsInput{})
	if err != nil {
		s.t.Fatal(err)
	}
	if l := connections.ConnectionSummaryList; len(l) != 0 {
		s.t.Errorf("connections left: %v", l)
	}
}
