package clients

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestNamesStayHere deploys by names without a registry. They mean what this server has,
// or nothing: no other registry is asked, or the refusals would speak of it.
func TestNamesStayHere(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	s.Push(harness.WebImage(t, "1"), "shop:1.0")
	s.MustSlipway(t, "up", "shop:1.0", "--env", "GREETING=one", "--cpu", "0.25", "--memory", "0.5")
	s.MustSlipway(t, "up", "shop", "--env", "GREETING=two") // the service
	list, err := s.Client().ListServices(t.Context(), &apprunner.ListServicesInput{})
	if err != nil || len(list.ServiceSummaryList) != 1 {
		t.Fatalf("%+v, %v; want one service", list, err)
	}
	arn := list.ServiceSummaryList[0].ServiceArn
	out, err := s.Client().DescribeService(t.Context(), &apprunner.DescribeServiceInput{ServiceArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := s.Ask(out.Service, "/"); err != nil || r.Version != "1" || r.Greeting != "two" {
		t.Errorf("it answers %+v (%v), want version 1 with the new variable", r, err)
	}
	for image, why := range map[string]string{
		"shop:9.9": `has no "9.9" in the repository "shop", but 1.0`,
		"nginx":    "or write docker.io/library/nginx:latest if Docker Hub's is meant",
	} {
		code, _, stderr := s.ExecSlipway(t, "up", image)
		if code != 1 || !strings.Contains(stderr, why) {
			t.Errorf("up %s exits with %d and says:\n%s", image, code, stderr)
		}
		_, err := s.Client().UpdateService(t.Context(), &apprunner.UpdateServiceInput{ServiceArn: arn, SourceConfiguration: harness.Spec{Image: image}.Source()})
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("UpdateService to %s: %v", image, err)
		}
	}
	updated, err := s.Client().UpdateService(t.Context(), &apprunner.UpdateServiceInput{ServiceArn: arn, SourceConfiguration: &types.SourceConfiguration{
		ImageRepository: &types.ImageRepository{ImageIdentifier: aws.String("shop:1.0"), ImageRepositoryType: types.ImageRepositoryTypeEcr},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if is := aws.ToString(updated.Service.SourceConfiguration.ImageRepository.ImageIdentifier); is != "000000000000.dkr.ecr.us-east-1.amazonaws.com/shop:1.0" {
		t.Errorf("shop:1.0 is stored as %s", is)
	}
	s.WaitSucceeded(out.Service, aws.ToString(updated.OperationId))
}
