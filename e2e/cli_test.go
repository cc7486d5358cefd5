package e2e

import (
	"encoding/json"
	"errors"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/image/imagetest"
)

// cli runs a client verb that must succeed and returns its standard output.
func (s *server) cli(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := s.run(t, args...)
	if code != 0 {
		t.Fatalf("slipway %s exited with %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

func (s *server) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.bin, args...)
	cmd.Env = append(s.clientEnv(), "NO_COLOR=1")
	var out, log strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), out.String(), log.String()
	} else if err != nil {
		t.Fatal(err)
	}
	return 0, out.String(), log.String()
}

// TestCommandLine leads a service through its life with the slipway command.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	s := serve(t)
	tar := imagetest.SaveTar(t, web(t, "1"), "shop:1.0")
	layout := imagetest.SaveLayout(t, web(t, "2"), "shop:2.0")

	url := strings.TrimSpace(s.cli(t, "up", tar, "--env", "GREETING=one", "--min", "2", "--cpu", "0.25", "--memory", "0.5"))
	host, ok := strings.CutPrefix(url, "http://")
	if !ok {
		t.Fatalf("up printed %q, want a URL", url)
	}
	svc := &types.Service{ServiceUrl: &host, ServiceName: new("shop")}
	s.spread(svc, 2, "one")

	if again := strings.TrimSpace(s.cli(t, "up", layout, "--name", "shop")); again != url {
		t.Errorf("the second up printed %s, want %s", again, url)
	}
	if r, err := s.ask(svc, "/"); err != nil || r.Version != "2" || r.Greeting != "one" {
		t.Errorf("after the second up %+v answers (%v), want version 2 with the variables it had", r, err)
	}

	var list struct {
		ServiceSummaryList []struct{ ServiceName string }
	}
	if err := json.Unmarshal([]byte(s.cli(t, "ls", "--json")), &list); err != nil || len(list.ServiceSummaryList) != 1 || list.ServiceSummaryList[0].ServiceName != "shop" {
		t.Errorf("ls --json: %+v (%v)", list, err)
	}
	if out := s.cli(t, "image", "ls"); !strings.Contains(out, "shop") {
		t.Errorf("image ls does not show shop:\n%s", out)
	}
	eventually(t, "logs show what the application printed", func() (bool, string) {
		out := s.cli(t, "logs", "shop")
		return strings.Contains(out, "listens on :8080"), out
	})

	s.cli(t, "pause", "shop")
	if code, _, err := s.request(svc, "/"); err != nil || code != http.StatusServiceUnavailable {
		t.Errorf("after pause the service answers %d (%v)", code, err)
	}
	s.cli(t, "resume", "shop")
	s.spread(svc, 2, "one")
	s.cli(t, "deploy", "shop")
	for _, kind := range []string{"CREATE_SERVICE", "UPDATE_SERVICE", "PAUSE_SERVICE", "RESUME_SERVICE", "START_DEPLOYMENT"} {
		if out := s.cli(t, "ops", "shop"); !strings.Contains(out, kind) {
			t.Errorf("ops lacks %s:\n%s", kind, out)
		}
	}

	code, _, stderr := s.run(t, "up", "shop:2.0", "--name", "shop", "--env", "MODE=exit")
	if code != 1 || !strings.Contains(stderr, "the database is not there") {
		t.Errorf("an update that was rolled back exits with %d and says:\n%s", code, stderr)
	}
	s.replies(svc, 2, "one")

	s.cli(t, "rm", "shop", "--yes")
	if code, _, err := s.request(svc, "/"); err != nil || code != http.StatusNotFound {
		t.Errorf("after rm the service answers %d (%v)", code, err)
	}
	if code, _, _ := s.run(t, "describe", "shop"); code != 1 {
		t.Errorf("describe of nothing exits with %d, want 1", code)
	}
}

// TestRegistry pushes with skopeo and pulls what was pushed, also after a
// restart, and gets nothing without credentials.
func TestRegistry(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("skopeo"); err != nil {
		t.Skip("no skopeo (apt-get install skopeo)")
	}
	s := serve(t)
	img := web(t, "1")
	k := s.keys()
	creds := k.AccessKeyID + ":" + k.SecretAccessKey
	remote := "docker://" + s.registryHost() + "/team/web:1"
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
			s.kill()
			s.start()
		}
	}
	if out, err := skopeo("inspect", "--tls-verify=false", "--no-creds", remote); err == nil {
		t.Errorf("read without credentials: %s", out)
	}
	if out, err := skopeo("copy", "--dest-tls-verify=false", "--dest-creds", "nobody:nothing", layout+":web:1", remote); err == nil {
		t.Errorf("pushed with wrong credentials: %s", out)
	}
	s.replies(s.runningService("pushed", spec{image: ecr("team/web:1"), env: map[string]string{"GREETING": "hi"}}), 1, "hi")
}
