package clients

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/image/imagetest"
)

// TestAPIWithTLS calls the API and pushes to the registry over TLS with clients that check the
// certificate: Go's SDK, the AWS CLI, boto3, slipway and skopeo. Plain HTTP is refused.
func TestAPIWithTLS(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t, "--api-tls")
	if !strings.HasPrefix(s.API, "https://") {
		t.Fatalf("the API is at %s", s.API)
	}
	svc := s.RunningService("shop", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "shop:1")})
	if out, err := s.RunSlipway("describe", "shop"); err != nil || !strings.Contains(out, "http://"+*svc.ServiceUrl) {
		t.Errorf("slipway describe: %v\n%s", err, out)
	}
	resp, err := http.Get("http://" + strings.TrimPrefix(s.API, "https://") + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(b), "HTTPS") {
		t.Errorf("plain HTTP: %s %q, %v", resp.Status, b, err)
	}
	t.Run("aws", func(t *testing.T) {
		var list struct {
			ServiceSummaryList []struct{ ServiceName string }
		}
		harness.NewAWSCLI(t, s).Run(&list, "list-services")
		if len(list.ServiceSummaryList) != 1 {
			t.Errorf("aws list-services: %+v", list)
		}
	})
	t.Run("slipway", func(t *testing.T) {
		// Of a server of this machine, the data directory tells the authority.
		cmd := exec.CommandContext(t.Context(), s.Binary, "ls")
		cmd.Env = append(os.Environ(), "SLIPWAY_ENDPOINT="+s.API, "SLIPWAY_DATA_DIR="+s.DataDir, "AWS_SHARED_CREDENTIALS_FILE="+s.Credentials)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "shop") {
			t.Errorf("slipway ls: %v\n%s", err, out)
		}
		// A stranger's is refused, with what to do.
		cmd = exec.CommandContext(t.Context(), s.Binary, "ls")
		cmd.Env = append(os.Environ(), "SLIPWAY_ENDPOINT="+s.API, "SLIPWAY_DATA_DIR="+t.TempDir(), "AWS_SHARED_CREDENTIALS_FILE="+s.Credentials)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "slipway trust") {
			t.Errorf("slipway ls without the authority: %v\n%s", err, out)
		}
	})
	t.Run("skopeo", func(t *testing.T) {
		if _, err := exec.LookPath("skopeo"); err != nil {
			t.Skip("no skopeo (apt-get install skopeo)")
		}
		certs := t.TempDir()
		root, err := os.ReadFile(s.Authority)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(certs, "ca.crt"), root, 0o600); err != nil {
			t.Fatal(err)
		}
		keys := s.Keys()
		out, err := exec.CommandContext(t.Context(), "skopeo", "copy", "--dest-cert-dir", certs, "--dest-creds", keys.AccessKeyID+":"+keys.SecretAccessKey,
			"oci:"+imagetest.SaveLayout(t, harness.WebImage(t, "2"), "web:2")+":web:2", "docker://"+s.RegistryHost()+"/shop:2").CombinedOutput()
		if err != nil {
			t.Errorf("skopeo copy: %v\n%s", err, out)
		}
	})
}
