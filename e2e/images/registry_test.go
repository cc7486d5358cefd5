package images

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/image/imagetest"
)

// TestRegistry pushes with skopeo, and pulls the image before and after a restart.
// Without credentials both are refused.
func TestRegistry(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("skopeo"); err != nil {
		t.Skip("no skopeo (apt-get install skopeo)")
	}
	s := harness.Serve(t)
	img := harness.WebImage(t, "1")
	k := s.Keys()
	creds := k.AccessKeyID + ":" + k.SecretAccessKey
	remote := "docker://" + s.RegistryHost() + "/team/web:1"
	skopeo := func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), "skopeo", args...).CombinedOutput()
		return string(out), err
	}
	layout := "oci:" + imagetest.SaveLayout(t, img, "web:1")
	if out, err := skopeo("copy", "--dest-tls-verify=false", "--dest-creds", creds, layout+":web:1", remote); err != nil {
		t.Fatalf("skopeo copy: %v\n%s", err, out)
	}
	for _, when := range []string{"at once", "after a restart"} {
		out, err := skopeo("inspect", "--tls-verify=false", "--creds", creds, "--format", "{{.Digest}}", remote)
		if err != nil || strings.TrimSpace(out) != imagetest.Digest(t, img) {
			t.Errorf("%s: skopeo inspect: %v %s, want %s", when, err, out, imagetest.Digest(t, img))
		}
		if when == "at once" {
			s.Kill()
			s.Start()
		}
	}
	if out, err := skopeo("inspect", "--tls-verify=false", "--no-creds", remote); err == nil {
		t.Errorf("read without credentials: %s", out)
	}
	if out, err := skopeo("copy", "--dest-tls-verify=false", "--dest-creds", "nobody:nothing", layout+":web:1", remote); err == nil {
		t.Errorf("pushed with wrong credentials: %s", out)
	}
	s.AskMany(s.RunningService("pushed", harness.Spec{Image: harness.ECRImage("team/web:1"), Env: map[string]string{"GREETING": "hi"}}), 1, "hi")
}
