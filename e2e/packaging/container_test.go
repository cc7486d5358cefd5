package packaging

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/image/imagetest"
)

// dockerRun finds the command by which docs/operating.md starts a container.
var dockerRun = regexp.MustCompile(`(?m)^# docker (run (?:.*\\\n)*.*)$`)

// container is a server in a container of a Docker daemon.
type container struct {
	t         *testing.T
	name      string // of the container, its image and its volume
	args      []string
	api, http string // addresses on this machine
}

// newContainer builds the image from an unpacked release, as operating.md says, and takes
// the page's command with names, ports and a data directory of this test's own: control
// groups are named after the directory. Without a daemon it skips the test.
func newContainer(t *testing.T) *container {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "docker", "info", "--format", "{{.ServerVersion}}").CombinedOutput(); err != nil {
		t.Skipf("no Docker daemon answers: %v: %s", err, out)
	}
	page, err := os.ReadFile(filepath.Join(harness.Root, "docs", "operating.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := dockerRun.FindSubmatch(page)
	if found == nil {
		t.Fatal("docs/operating.md shows no docker run")
	}
	c := &container{t: t, name: "slipway-test-" + strconv.Itoa(os.Getpid()), api: harness.FreeAddr(t), http: harness.FreeAddr(t)}
	text := strings.NewReplacer("\\\n", " ", "127.0.0.1:8070:", c.api+":", "127.0.0.1:8080:", c.http+":",
		"--name slipway", "--name "+c.name, "-v slipway:/var/lib/slipway", "-v "+c.name+":/var/lib/"+c.name+" -e SLIPWAY_DATA_DIR=/var/lib/"+c.name).Replace(string(found[1]))
	c.args = strings.Fields(text)
	if last := len(c.args) - 1; c.args[last] != "slipway" || !strings.Contains(text, c.name+":/var/lib/"+c.name) || !strings.Contains(text, c.http) {
		t.Fatalf("docs/operating.md has another docker run than the test knows: %s", found[0])
	}
	c.args[len(c.args)-1] = c.name

	to := t.TempDir()
	script(t, []string{"DESTDIR=" + to, "PREFIX=/release"}, "scripts/install", binary(t))
	release := filepath.Join(to, "release")
	c.docker("build", "-f", filepath.Join(release, "share/doc/slipway/Dockerfile"), "-t", c.name, release)
	t.Cleanup(func() {
		exec.Command("docker", "rm", "-f", "-v", c.name).Run()
		// What a container leaves on the host: its control groups.
		once := append([]string{"run", "--rm"}, c.args[1:]...)
		once = append(once[:len(once):len(once)], "uninstall", "--keep-data", "--yes")
		once = removed(once, "-d")
		if out, err := exec.Command("docker", once...).CombinedOutput(); err != nil {
			t.Errorf("docker %v: %v\n%s", once, err, out)
		}
		exec.Command("docker", "volume", "rm", c.name).Run()
		exec.Command("docker", "rmi", c.name).Run()
	})
	return c
}

func removed(list []string, item string) (rest []string) {
	for _, s := range list {
		if s != item {
			rest = append(rest, s)
		}
	}
	return rest
}

func (c *container) docker(args ...string) {
	c.t.Helper()
	if out, err := exec.CommandContext(c.t.Context(), "docker", args...).CombinedOutput(); err != nil {
		c.t.Fatalf("docker %v: %v\n%s", args, err, out)
	}
}

// get requests a path of an address until it answers 200, and returns the body.
func (c *container) get(address, host, path string) (body string) {
	c.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: harness.Timeout}
	harness.Eventually(c.t, "http://"+host+path+" answers", func() (bool, string) {
		r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			c.t.Fatal(err)
		}
		r.Host = host
		resp, err := client.Do(r)
		if err != nil {
			logs, _ := exec.Command("docker", "logs", "--tail", "5", c.name).CombinedOutput()
			return false, err.Error() + "\n" + string(logs)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		body = string(text)
		return err == nil && resp.StatusCode == http.StatusOK, resp.Status
	})
	return body
}

// TestContainer runs the server in a container by the command that docs/operating.md
// shows, deploys a service to it, and restarts it.
func TestContainer(t *testing.T) {
	c := newContainer(t)
	c.docker(c.args...)
	c.get(c.api, c.api, "/healthz")

	dir := t.TempDir()
	keys := filepath.Join(dir, "credentials")
	c.docker("cp", c.name+":/var/lib/"+c.name+"/credentials", keys)
	image := imagetest.SaveLayout(t, harness.WebImage(t, "one"), "web:1")
	cmd := exec.CommandContext(t.Context(), binary(t), "up", image, "--name", "website", "--endpoint", "http://"+c.api, "--credentials", keys)
	cmd.Env = append(os.Environ(), "NO_COLOR=1", "HOME="+dir)
	var out, says strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &says
	if err := cmd.Run(); err != nil {
		logs, _ := exec.Command("docker", "logs", c.name).CombinedOutput()
		t.Fatalf("slipway up: %v\n%s%s\nthe server:\n%s", err, &says, &out, logs)
	}
	// The URL has the port that the server knows, in the container.
	host, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(out.String()), "http://"), ":")
	if body := c.get(c.http, host, "/"); !strings.Contains(body, "one") {
		t.Errorf("the service answers %q", body)
	}
	if logs, _ := exec.Command("docker", "logs", c.name).CombinedOutput(); strings.Contains(string(logs), "level=WARN") || strings.Contains(string(logs), "level=ERROR") {
		t.Errorf("the server lacks something in the container:\n%s", logs)
	}

	c.docker("restart", c.name)
	if body := c.get(c.http, host, "/"); !strings.Contains(body, "one") {
		t.Errorf("after a restart of the container the service answers %q", body)
	}
}
