package builds

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestLanguagesByTerraform applies two services of one monorepo, one with each
// configuration source, finds no drift, changes one, and destroys both.
func TestLanguagesByTerraform(t *testing.T) {
	t.Parallel()
	if os.Getenv(languagesEnv) != "all" {
		t.Skip("Terraform waits for a minute or more: " + languagesEnv + "=all or `make languages` runs it")
	}
	s := serveCode(t)
	r := s.repository(t, "mono", map[string]string{
		"README": "mono", "services/shop/app.py": app, "services/shop/apprunner.yaml": configFile,
	})
	f := harness.NewTerraform(t, s.Server, "testdata/terraform")
	f.Env = append(f.Env, "TF_VAR_repository="+r.url, "TF_VAR_connection="+s.connection)
	f.Run(0, "", "init", "-input=false", "-no-color")
	f.Apply("one")
	out := f.Outputs()
	file, api := &types.Service{ServiceUrl: ptr(out["file"])}, &types.Service{ServiceUrl: ptr(out["api"]), ServiceArn: ptr(out["api_arn"])}
	s.answers(t, file, "version one from the file")
	s.answers(t, api, "built by the API one")
	f.Plan(0, "one")

	// Another variable needs no other image: nothing is built.
	builds := strings.Count(s.Events(api), "Successfully built")
	f.Change("two")
	s.answers(t, api, "built by the API two")
	if n := strings.Count(s.Events(api), "Successfully built"); n != builds {
		t.Errorf("built %d times, before the change of a variable %d", n, builds)
	}
	f.Plan(0, "two")

	// A push changes nothing that Terraform knows of.
	r.Commit("Second", map[string]string{"services/shop/apprunner.yaml": strings.ReplaceAll(configFile, "version one", "version two")})
	harness.NewAWSCLI(t, s.Server).Change(*s.named(t, "from-the-file").ServiceArn, "start-deployment")
	s.answers(t, file, "version two from the file")
	f.Plan(0, "two")

	f.Run(0, "two", "destroy", "-auto-approve", "-input=false", "-no-color")
	if code, _, err := s.Request(api, "/"); err == nil && code == http.StatusOK {
		t.Error("a destroyed service answers")
	}
}

func ptr(s string) *string { return &s }
