package terraform

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestTerraformSecrets applies a service with a secret and a parameter, finds no
// drift, changes their values, imports and destroys them.
func TestTerraformSecrets(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	f := harness.NewTerraformIn(t, s, "", "testdata/secrets")
	f.Env = append(f.Env, "TF_VAR_image="+s.Push(harness.WebImage(t, "1"), "terraform-secrets:latest"))
	f.Run(0, "", "init", "-input=false", "-no-color")
	f.Apply("one")
	f.Plan(0, "one")
	f.Plan(2, "two")
	f.Apply("two")
	f.Plan(0, "two")
	out := f.Outputs()
	for address, id := range map[string]string{
		"aws_secretsmanager_secret.greeting": out["secret"], "aws_secretsmanager_secret_version.greeting": out["version"],
		"aws_ssm_parameter.token": "/terraform/token",
	} {
		f.Run(0, "two", "state", "rm", address)
		f.Run(0, "two", "import", "-input=false", "-no-color", address, id)
	}
	f.Plan(0, "two")
	f.Run(0, "two", "destroy", "-auto-approve", "-input=false", "-no-color")
	list, err := secretsmanager.NewFromConfig(s.SDK()).ListSecrets(t.Context(), &secretsmanager.ListSecretsInput{})
	if err != nil || len(list.SecretList) != 0 {
		t.Errorf("after the destruction there are %v (%v)", list, err)
	}
}
