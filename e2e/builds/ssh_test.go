package builds

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/source/git/gittest"
)

// A tag of a repository that is read by ssh with a deploy key. Its server is unknown
// at first: the line that the error shows makes it known.
func TestDeployKey(t *testing.T) {
	t.Parallel()
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(hosts, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s := prepareCode(t, "--git-known-hosts", hosts)
	giveRuntimes(t, s.DataDir)
	s.begin(t)
	server := gittest.ServeSSH(t, s.root)
	r := s.repository(t, "shop", map[string]string{"app.py": app, "apprunner.yaml": configFile})
	r.Git("tag", "v1")
	r.Commit("Later", map[string]string{"apprunner.yaml": "nonsense"})

	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, server.PrivateKey, 0o600); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(server.URL, "ssh://git@")
	if out := s.MustSlipway(t, "connection", "create", "mine", "--provider", "git", "--host", host, "--key-file", key); !strings.Contains(out, "ssh-ed25519 AAAA") {
		t.Errorf("connection create says %q", out)
	}
	list, err := s.Client().ListConnections(t.Context(), &apprunner.ListConnectionsInput{ConnectionName: aws.String("mine")})
	if err != nil || len(list.ConnectionSummaryList) != 1 || list.ConnectionSummaryList[0].ProviderType != "GIT" {
		t.Fatalf("connections: %+v, %v", list, err)
	}
	s.connection = *list.ConnectionSummaryList[0].ConnectionArn
	r.url = server.URL + "/shop.git"
	source := strings.Replace(s.source(r, "", fromFile), `"Value":"main"`, `"Value":"refs/tags/v1"`, 1)
	var configuration types.SourceConfiguration
	if err := json.Unmarshal([]byte(source), &configuration); err != nil {
		t.Fatal(err)
	}
	out, err := s.Client().CreateService(t.Context(), &apprunner.CreateServiceInput{ServiceName: aws.String("unknown"), SourceConfiguration: &configuration})
	if err != nil {
		t.Fatal(err)
	}
	svc := out.Service
	if status := s.WaitOperation(svc, *out.OperationId); status != types.OperationStatusFailed {
		t.Errorf("a service of an unknown server ended %s", status)
	}
	line := strings.TrimSpace(string(server.KnownHosts))
	if events := s.Events(svc); !strings.Contains(events, "is not known") || !strings.Contains(events, line) {
		t.Errorf("the events do not show the host's key %q:\n%s", line, events)
	}
	if err := os.WriteFile(hosts, server.KnownHosts, 0o644); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Start()
	s.createBySDK(t, "shop", source)
	s.answers(t, s.named(t, "shop"), "version one from the file")
	if log := s.Output.String(); strings.Contains(log, "PRIVATE KEY") {
		t.Error("the server's log has the key")
	}
}
