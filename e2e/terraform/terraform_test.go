// Package terraform tests Terraform and its AWS provider against the real server.
package terraform

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/domain/dnstest"
)

// terraformed is a server that holds what the files of testdata describe.
type terraformed struct {
	*harness.Server
	tf    *harness.Terraform
	dns   *dnstest.Server
	entry string // address of the VPC endpoint
	out   map[string]string
	web   *types.Service
}

// TestTerraform applies a configuration, finds no drift, imports what can be imported,
// changes everything, and destroys it. Meanwhile a service is paused and a domain
// becomes active, which is no drift either.
func TestTerraform(t *testing.T) {
	t.Parallel()
	dns, entry := dnstest.New(t), harness.FreeAddr(t)
	s := harness.Serve(t, "--dns-resolver", dns.Addr, "--network", "subnet-a=10.20.0.0/16", "--network", "subnet-b=10.20.0.0/16", "--vpc-endpoint", "vpce-1="+entry)
	s.Push(harness.WebImage(t, "1"), "pushed:v1")
	f := harness.NewTerraform(t, s, "testdata")
	f.Env = append(f.Env, "TF_VAR_image="+s.Push(harness.WebImage(t, "1"), "terraform:latest"), "TF_VAR_domain=tf.example.com")
	x := &terraformed{Server: s, tf: f, dns: dns, entry: entry}

	f.Run(0, "", "init", "-input=false", "-no-color")
	f.Apply("one")
	x.readOutputs()
	x.assertServes("one", "one")
	x.assertConfigurationsMade()
	x.assertImages()
	x.assertCaller()
	x.assertPrivate()
	x.assertDomainPending()
	f.Plan(0, "one")

	f.Reimport("one", x.importable(), 1) // force_delete of the repository
	f.Plan(0, "one")

	before := x.out
	f.Change("two")
	x.readOutputs()
	x.assertServes("two", "one") // a new value of a secret waits for a deployment
	x.assertConfigurationsChanged(before)
	x.assertConnectionTags()
	f.Plan(0, "two")

	x.Pause(x.web)
	x.activateDomain()
	f.Plan(0, "two")
	x.assertStillPaused()
	x.Resume(x.web)
	x.AskAll(x.web, 2, "two")

	f.Env = append(f.Env, "TF_VAR_domain=other.localhost") // which is validated at once
	f.Change("two")
	x.WaitHostStatus("tf.example.com", http.StatusNotFound)
	if d := x.Domain(x.web, "tf.example.com"); d.Status != "" {
		t.Errorf("the domain that was replaced is %s", d.Status)
	}

	s.Push(harness.WebImage(t, "2"), "team/shop:v2")
	x.resetDefaultScaling()
	f.Run(0, "two", "destroy", "-auto-approve", "-input=false", "-no-color")
	x.assertDestroyed(t)
}

func (x *terraformed) readOutputs() {
	x.T.Helper()
	x.out = x.tf.Outputs()
	x.web = &types.Service{ServiceArn: aws.String(x.out["arn"]), ServiceUrl: aws.String(x.out["url"]), ServiceName: aws.String("from-terraform")}
}

// assertServes checks what the services answer, and the one that has it from a secret.
func (x *terraformed) assertServes(greeting, secret string) {
	x.T.Helper()
	x.AskAll(x.web, 2, greeting)
	secretive := &types.Service{ServiceUrl: aws.String(x.out["secretive"]), ServiceName: aws.String("secretive")}
	x.AskAll(secretive, 1, secret)
	x.WaitStatus(x.entry, x.out["door_domain"], http.StatusOK)
}

// importable returns the resources to import, each with the id that the provider's
// documentation names.
func (x *terraformed) importable() map[string]string {
	out := x.out
	return map[string]string{
		"aws_apprunner_connection.code":                                    "code",
		"aws_apprunner_observability_configuration.traces":                 out["traces"],
		"aws_apprunner_auto_scaling_configuration_version.steady":          out["steady"],
		"aws_apprunner_default_auto_scaling_configuration_version.default": "us-east-1",
		"aws_apprunner_service.observed":                                   out["observed"],
		"aws_apprunner_custom_domain_association.own":                      "tf.example.com," + out["arn"],
		"aws_apprunner_vpc_connector.near":                                 out["connector"],
		"aws_apprunner_vpc_ingress_connection.door":                        out["door"],
		"aws_ecr_repository.shop":                                          "team/shop",
		"aws_ecr_lifecycle_policy.shop":                                    "team/shop",
		"aws_ecr_repository_policy.shop":                                   "team/shop",
		"aws_iam_user.ci":                                                  "ci",
		"aws_iam_user_policy.own":                                          "ci:own",
		"aws_iam_policy.deploy":                                            "arn:aws:iam::000000000000:policy/deploy",
		"aws_iam_user_policy_attachment.deploy":                            "ci/arn:aws:iam::000000000000:policy/deploy",
		"aws_secretsmanager_secret.greeting":                               out["secret"],
		"aws_secretsmanager_secret_version.greeting":                       out["version"],
		"aws_ssm_parameter.token":                                          "/terraform/token",
	}
}

// assertStillPaused checks that Terraform has not resumed the service.
func (x *terraformed) assertStillPaused() {
	x.T.Helper()
	if st := x.Status(x.web); st != types.ServiceStatusPaused {
		x.T.Errorf("the paused service is %s", st)
	}
}

// assertDomainPending checks what the provider shows of a custom domain that it made.
// (Of one that it imported it shows no target.)
func (x *terraformed) assertDomainPending() {
	x.T.Helper()
	host, _, _ := strings.Cut(x.out["url"], ":")
	if status := x.Domain(x.web, "tf.example.com").Status; x.out["records"] != "3" || x.out["target"] != host || status != harness.DomainPending {
		x.T.Errorf("%s records, target %s, status %s; want 3, %s, %s", x.out["records"], x.out["target"], status, host, harness.DomainPending)
	}
}

// activateDomain publishes the records of the custom domain.
func (x *terraformed) activateDomain() {
	x.T.Helper()
	harness.PublishRecords(x.dns, x.Domain(x.web, "tf.example.com"))
	x.WaitDomain(x.web, "tf.example.com", harness.DomainActive)
}

// tagsOf returns the tags of a resource.
func (x *terraformed) tagsOf(arn string) map[string]string {
	x.T.Helper()
	list, err := x.Client().ListTagsForResource(x.T.Context(), &apprunner.ListTagsForResourceInput{ResourceArn: &arn})
	if err != nil {
		x.T.Fatal(err)
	}
	tags := map[string]string{}
	for _, tag := range list.Tags {
		tags[*tag.Key] = *tag.Value
	}
	return tags
}
