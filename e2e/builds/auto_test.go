package builds

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// followed is a service that pushes to its repository deploy.
type followed struct {
	*codeServer
	*testing.T
	repository
	svc *types.Service
}

// follow creates a service from the directory web of a new repository.
func follow(t *testing.T, s *codeServer) *followed {
	t.Helper()
	r := s.repository(t, "shop", map[string]string{"web/app.py": app, "web/apprunner.yaml": version("one"), "README": "A shop."})
	source := strings.Replace(s.source(r, "web", fromFile), `"AutoDeploymentsEnabled":false`, `"AutoDeploymentsEnabled":true`, 1)
	s.createBySDK(t, "shop", source)
	f := &followed{s, t, r, s.named(t, "shop")}
	f.serves("one")
	return f
}

// version is a configuration whose build makes this version.
func version(name string) string {
	return strings.ReplaceAll(configFile, "version one", "version "+name)
}

// push makes a commit whose build makes a version.
func (f *followed) push(name string) {
	f.Commit(name, map[string]string{"web/apprunner.yaml": version(name)})
}

func (f *followed) serves(name string) {
	f.Helper()
	f.answers(f.T, f.svc, "version "+name+" from the file")
}

// deployments returns the automatic ones, and how many of them failed.
func (f *followed) deployments() (all, failed int) {
	f.Helper()
	out, err := f.Client().ListOperations(f.Context(), &apprunner.ListOperationsInput{ServiceArn: f.svc.ServiceArn})
	if err != nil {
		f.Fatal(err)
	}
	for _, op := range out.OperationSummaryList {
		if op.Type == types.OperationTypeStartDeployment {
			all++
			if op.Status == types.OperationStatusRollbackSucceeded {
				failed++
			}
		}
	}
	return all, failed
}

// remains checks that nothing more is deployed for as long as polling takes a few
// times.
func (f *followed) remains(step string, wantAll, wantFailed int) {
	f.Helper()
	asked := len(f.git.Requests())
	waitLong(f.T, time.Minute, "the repository is asked four more times", func() bool { return len(f.git.Requests()) >= asked+4 })
	if all, failed := f.deployments(); all != wantAll || failed != wantFailed {
		f.Errorf("%s: %d automatic deployments, %d failed; want %d and %d", step, all, failed, wantAll, wantFailed)
	}
}

// Polling finds what is pushed: inside the source directory, not while the service is
// paused, and each commit once.
func TestPushesArePolled(t *testing.T) {
	t.Parallel()
	f := follow(t, serveCode(t))
	f.push("two")
	f.serves("two")
	f.Commit("Elsewhere", map[string]string{"README": "A better shop."})
	f.remains("a push outside of the source directory", 1, 0)

	f.Commit("Break it", map[string]string{"web/apprunner.yaml": strings.ReplaceAll(configFile, "      - python3", "      - exit 7 && python3")})
	harness.Eventually(t, "the push that does not build fails", func() (bool, string) {
		all, failed := f.deployments()
		return failed == 1, fmt.Sprint(all, failed)
	})
	f.remains("a push that does not build", 2, 1)
	f.serves("two")
	if events := f.Events(f.svc); !strings.Contains(events, "Failed to build your application source code. Reason: Failed to execute 'build' command.") {
		t.Errorf("the events do not say why:\n%s", events)
	}

	for _, name := range []string{"three", "four", "five", "six", "seven"} {
		f.push(name)
	}
	f.serves("seven")
	if all, failed := f.deployments(); all > 4 || failed != 1 {
		t.Errorf("five pushes became %d deployments, %d failed", all-2, failed-1)
	}

	before, _ := f.deployments()
	f.MustSlipway(t, "pause", "shop")
	f.push("eight")
	f.MustSlipway(t, "resume", "shop")
	f.serves("eight")
	f.remains("the push during the pause", before+1, 1)
	if events := f.Events(f.svc); !strings.Contains(events, "the source has changed while the service was paused") {
		t.Errorf("the events do not say why it was deployed:\n%s", events)
	}
	f.push("nine")
	f.serves("nine")
}

// A webhook deploys a push at once, where polling would take an hour.
func TestPushesByWebhook(t *testing.T) {
	t.Parallel()
	f := follow(t, serveCode(t, "--git-poll", "1h", "--webhook-url", "https://slipway.example.com"))
	var made struct {
		Webhook struct {
			URL string `json:"Url"`
		}
		Secret string
	}
	if err := json.Unmarshal([]byte(f.MustSlipway(t, "connection", "webhook", "code", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	path, ok := strings.CutPrefix(made.Webhook.URL, "https://slipway.example.com")
	if !ok {
		t.Fatalf("the webhook's URL is %s", made.Webhook.URL)
	}
	body, err := json.Marshal(map[string]any{
		"ref": "refs/heads/main", "after": strings.Repeat("f", 40),
		"repository": map[string]any{"clone_url": strings.ToUpper(f.url), "pushed_at": time.Now().Unix()},
	})
	if err != nil {
		t.Fatal(err)
	}
	deliver := func(secret string, want int) {
		t.Helper()
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.API+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-GitHub-Event", "push")
		r.Header.Set("X-GitHub-Delivery", "1")
		r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != want {
			t.Errorf("a delivery has the answer %s, want %d", resp.Status, want)
		}
	}
	f.push("two")
	deliver("wrong", http.StatusUnauthorized)
	deliver(made.Secret, http.StatusAccepted)
	f.serves("two")
	deliver(made.Secret, http.StatusConflict)
	if strings.Contains(f.codeServer.Output.String(), made.Secret) {
		t.Error("the server's log has the secret")
	}
	if all, failed := f.deployments(); all != 1 || failed != 0 {
		t.Errorf("%d automatic deployments, %d failed; want 1", all, failed)
	}
}
