package terraform

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestTerraformCustomDomain applies an association whose records are not published
// yet, as after a user's first apply. It finds no drift before and after an import
// and the validation, replaces the domain by one that needs no validation, and
// destroys that.
func TestTerraformCustomDomain(t *testing.T) {
	t.Parallel()
	s, dns := harness.ServeWithDNS(t)
	f := harness.NewTerraform(t, s, s.Push(harness.WebImage(t, "1"), "terraform:latest"), "domain.tf")
	named := func(domain string) { f.Env = append(f.Env, "TF_VAR_domain="+domain) }
	named("tf.example.com")
	f.Run(0, "", "init", "-input=false", "-no-color")
	f.Apply("hello")
	out := f.Outputs()
	svc := &types.Service{ServiceArn: aws.String(out["arn"]), ServiceUrl: aws.String(out["url"]), ServiceName: aws.String("from-terraform")}
	host, _, _ := strings.Cut(out["url"], ":")
	if status := s.Domain(svc, "tf.example.com").Status; out["records"] != "3" || out["target"] != host || status != harness.DomainPending {
		t.Errorf("after apply: %s records, target %s, status %s; want 3, %s, %s", out["records"], out["target"], status, host, harness.DomainPending)
	}
	f.Plan(0, "hello")

	const own = "aws_apprunner_custom_domain_association.own"
	f.Run(0, "hello", "state", "rm", own)
	f.Run(0, "hello", "import", "-input=false", "-no-color", own, "tf.example.com,"+out["arn"])
	f.Plan(0, "hello")

	harness.PublishRecords(dns, s.Domain(svc, "tf.example.com"))
	s.WaitDomain(svc, "tf.example.com", harness.DomainActive)
	s.WaitHostGreeting("www.tf.example.com", "hello")
	f.Plan(0, "hello")

	named("other.localhost") // which is validated at once
	f.Apply("hello")
	s.WaitHostStatus("tf.example.com", 404)
	if d := s.Domain(svc, "tf.example.com"); d.Status != "" {
		t.Errorf("the domain that was replaced is %s", d.Status)
	}
	f.Run(0, "hello", "destroy", "-auto-approve", "-input=false", "-no-color")
	s.AssertDeleted(svc)
}
