package terraform

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/image/imagetest"
)

// TestTerraformECR applies repositories with their policies, finds no drift,
// changes, imports and destroys them.
func TestTerraformECR(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	s.Push(harness.WebImage(t, "1"), "pushed:v1")
	f := harness.NewTerraformIn(t, s, "", "testdata/ecr")
	f.Run(0, "", "init", "-input=false", "-no-color")
	f.Apply("IMMUTABLE")
	out := f.Outputs()
	if out["url"] != "000000000000.dkr.ecr.us-east-1.amazonaws.com/team/shop" || out["digest"] != imagetest.Digest(t, harness.WebImage(t, "1")) ||
		out["user"] != "AWS" || out["endpoint"] != s.API || !strings.HasSuffix(out["arn"], ":repository/pushed") {
		t.Errorf("outputs %v", out)
	}
	f.Plan(0, "IMMUTABLE")
	f.Apply("MUTABLE")

	f.Run(0, "MUTABLE", "state", "rm", "aws_ecr_repository.shop", "aws_ecr_lifecycle_policy.shop", "aws_ecr_repository_policy.shop")
	imports := ""
	for _, kind := range []string{"aws_ecr_repository", "aws_ecr_lifecycle_policy", "aws_ecr_repository_policy"} {
		imports += "import {\n  to = " + kind + ".shop\n  id = \"team/shop\"\n}\n"
	}
	if err := os.WriteFile(filepath.Join(f.Dir, "import.tf"), []byte(imports), 0o600); err != nil {
		t.Fatal(err)
	}
	f.Apply("MUTABLE")
	f.Plan(0, "MUTABLE")
	s.Push(harness.WebImage(t, "2"), "team/shop:v2")
	f.Run(0, "MUTABLE", "destroy", "-auto-approve", "-input=false", "-no-color")
	if out := s.Shell(t).ECR("describe-repositories", "--query", "repositories[].repositoryName", "--output", "text"); strings.TrimSpace(out) != "pushed" {
		t.Errorf("left are %q", out)
	}
}
