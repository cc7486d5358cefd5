package terraform

import (
	"strings"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestIAMTerraform manages users, keys and policies, without any flag that has the
// provider skip its check of the caller's identity.
func TestIAMTerraform(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t, "--isolated", "--warm", "0")
	f := harness.NewTerraformIn(t, s, "", "testdata/iam")
	const update, remove = "apprunner:UpdateService", "apprunner:DeleteService"
	f.Run(0, "", "init", "-input=false", "-no-color")
	f.Apply(update)
	if out := f.Outputs(); out["account"] != "000000000000" || !strings.HasPrefix(out["key"], "AKIA") {
		t.Errorf("the outputs are %v", out)
	}
	f.Plan(0, update)
	for address, id := range map[string]string{
		"aws_iam_user.ci": "ci", "aws_iam_user_policy.own": "ci:own", "aws_iam_policy.deploy": "arn:aws:iam::000000000000:policy/deploy",
		"aws_iam_user_policy_attachment.deploy": "ci/arn:aws:iam::000000000000:policy/deploy",
	} {
		f.Run(0, update, "state", "rm", address)
		f.Run(0, update, "import", "-input=false", "-no-color", address, id)
	}
	f.Plan(0, update)
	f.Plan(2, remove)
	f.Apply(remove)
	f.Plan(0, remove)
	f.Run(0, remove, "destroy", "-auto-approve", "-input=false", "-no-color")
	if out := s.MustSlipway(t, "iam", "user", "ls", "--json"); !strings.Contains(out, `"Users": []`) {
		t.Errorf("destroyed, there are users: %s", out)
	}
}
