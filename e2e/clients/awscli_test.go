package clients

import (
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

func TestAWSCLI(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	c := harness.NewAWSCLI(t, s)
	image := s.Push(harness.WebImage(t, "1"), "cli:latest")

	var scaling struct {
		AutoScalingConfiguration struct{ AutoScalingConfigurationArn string }
	}
	c.Run(&scaling, "create-auto-scaling-configuration", "--auto-scaling-configuration-name", "three", "--min-size", "3", "--max-size", "4")
	var created struct {
		Service struct{ ServiceArn, ServiceName, ServiceURL string }
		harness.AnswerID
	}
	c.Run(&created, "create-service",
		"--service-name", "from-cli",
		"--source-configuration", sourceJSON(t, image, "one"),
		"--auto-scaling-configuration-arn", scaling.AutoScalingConfiguration.AutoScalingConfigurationArn,
		"--tags", "Key=team,Value=web")
	arn := created.Service.ServiceArn
	svc := &types.Service{ServiceArn: &arn, ServiceUrl: &created.Service.ServiceURL, ServiceName: &created.Service.ServiceName}
	c.Finish(arn, created.OperationID)
	s.AskAll(svc, 3, "one")

	c.Change(arn, "update-service", "--source-configuration", sourceJSON(t, image, "two"))
	s.AskMany(svc, 3, "two")

	c.Change(arn, "start-deployment")
	s.AskMany(svc, 3, "two")

	c.Change(arn, "pause-service")
	s.AssertPaused(svc)

	c.Change(arn, "resume-service")
	s.AskAll(svc, 3, "two")

	var tags struct{ Tags []struct{ Key, Value string } }
	c.Run(&tags, "list-tags-for-resource", "--resource-arn", arn)
	if len(tags.Tags) != 1 || tags.Tags[0].Key != "team" || tags.Tags[0].Value != "web" {
		t.Errorf("tags %v, want team=web", tags.Tags)
	}

	c.Change(arn, "delete-service")
	s.AssertDeleted(svc)
}

// sourceJSON is a service's source as the CLI takes it.
func sourceJSON(t testing.TB, image, greeting string) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{
		"AutoDeploymentsEnabled": false,
		"ImageRepository": map[string]any{
			"ImageIdentifier":     image,
			"ImageRepositoryType": "ECR",
			"ImageConfiguration": map[string]any{
				"Port":                        "8080",
				"RuntimeEnvironmentVariables": map[string]string{"GREETING": greeting},
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestBoto3 takes a service from its creation to its deletion with Debian's boto3.
// The script holds the expectations.
func TestBoto3(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	s.Boto3("life.py", s.API, s.HostPort(), s.Push(harness.WebImage(t, "1"), "boto:latest"))
}
