package life

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/domain/dnstest"
)

// TestBackup backs a server up while it serves, deploys and takes images, kills it, and
// restores it elsewhere: the same service answers there at the same URL and domain with
// the same secret, and the same keys of root and of a user are valid.
func TestBackup(t *testing.T) {
	t.Parallel()
	dns := dnstest.New(t)
	flags := []string{"--api-addr", harness.FreeAddr(t), "--http-addr", harness.FreeAddr(t), "--dns-resolver", dns.Addr}
	s := harness.ServeIn(t, nil, flags...)
	s.Push(harness.WebImage(t, "1"), "shop:1")
	k := harness.NewServiceSecrets(s)
	k.Put("kept")
	svc := s.RunningService("shop", harness.Spec{
		Image: harness.ECRImage("shop:1"), Secrets: map[string]string{"GREETING": k.ARN + ":greeting::"},
	})
	const host = "shop.example.com"
	s.AssociateDomain(svc, host, false)
	harness.PublishRecords(dns, s.WaitDomain(svc, host, harness.DomainPending))
	s.WaitDomain(svc, host, harness.DomainActive)
	ann := filepath.Join(t.TempDir(), "ann")
	keys := s.MustSlipway(t, "iam", "user", "create", "ann", "--policy", "AWSAppRunnerReadOnlyAccess", "--key")
	if err := os.WriteFile(ann, []byte(strings.Replace(keys, "[ann]", "[default]", 1)), 0o600); err != nil {
		t.Fatal(err)
	}

	file := backedUpAtWork(t, s, svc)
	key, err := os.ReadFile(filepath.Join(s.DataDir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	assertReveals(t, file, key, false)
	withKey := file + ".key"
	s.MustSlipway(t, "backup", withKey, "--data-dir", s.DataDir, "--include-key")
	assertReveals(t, withKey, key, true)
	assertAllDocumented(t, s.DataDir)
	credentials, err := os.ReadFile(s.Credentials)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := s.ExecSlipway(t, "restore", file, "--data-dir", s.DataDir); code != 1 || !strings.Contains(stderr, "is not empty") {
		t.Errorf("restored over a server: %d\n%s", code, stderr)
	}
	s.Kill()

	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		t.Fatal(err)
	}
	other := harness.Prepare(t, nil, flags...)
	s.MustSlipway(t, "restore", file, "--data-dir", other.DataDir, "--key-file", keyFile)
	other.Start()
	if again, err := os.ReadFile(other.Credentials); err != nil || string(again) != string(credentials) {
		t.Errorf("the root key is another one, %v", err)
	}
	assertRestored(t, other, svc, host)
	root := other.Credentials
	other.Credentials = ann
	if out := other.MustSlipway(t, "ls"); !strings.Contains(out, "shop") {
		t.Errorf("ann sees %q", out)
	}
	if code, _, stderr := other.ExecSlipway(t, "pause", "shop", "--yes"); code == 0 {
		t.Errorf("ann, who may read, may pause: %s", stderr)
	}
	other.Credentials = root
	other.MustSlipway(t, "deploy", "shop") // secrets are read, and the image is there
}

// backedUpAtWork backs a server up while it serves, deploys a service and takes an image.
func backedUpAtWork(t *testing.T, s *harness.Server, svc *types.Service) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "slipway.tar")
	busy, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() { // rows are written while the backup is taken
		for i := 0; busy.Err() == nil; i++ {
			_, _ = s.Client().TagResource(busy, &apprunner.TagResourceInput{ResourceArn: svc.ServiceArn, Tags: []types.Tag{{Key: aws.String("n"), Value: aws.String(strings.Repeat("x", i%200))}}})
			_, _ = s.Ask(svc, "/")
		}
	})
	out, err := s.Client().StartDeployment(t.Context(), &apprunner.StartDeploymentInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	var code int
	var stderr string
	load.Go(func() { code, _, stderr = s.ExecSlipway(t, "backup", file, "--data-dir", s.DataDir); stop() })
	for i := 0; busy.Err() == nil; i++ {
		s.Push(harness.WebImage(t, fmt.Sprint(i)), "pushed:1")
	}
	load.Wait()
	if code != 0 {
		t.Fatalf("backup: %d\n%s", code, stderr)
	}
	s.WaitSucceeded(svc, aws.ToString(out.OperationId))
	return file
}

// assertReveals fails unless a backup is private, and has the master key or not. It
// never has a secret.
func assertReveals(t *testing.T, file string, key []byte, want bool) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(key), "AGE-SECRET-KEY")
	if at < 0 || strings.Contains(string(b), string(key[at:at+40])) != want {
		t.Errorf("%s has the master key: %v, want %v", file, !want, want)
	}
	if strings.Contains(string(b), harness.SecretValue("kept")) {
		t.Errorf("%s reveals a secret", file)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup's mode is %v, %v", info.Mode(), err)
	}
}

// assertAllDocumented fails if the data directory has something of which
// docs/operating.md does not say whether a backup has it.
func assertAllDocumented(t *testing.T, dir string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		name, rerr := filepath.Rel(dir, path)
		if err != nil || rerr != nil || name == "." {
			return nil //nolint:nilerr // it is gone: the server works
		}
		if strings.Contains(string(page), "`"+name+"`") {
			if e.IsDir() && name != "images" && name != "runtimes" {
				return fs.SkipDir
			}
			return nil
		}
		if e.IsDir() && (name == "images" || name == "runtimes") {
			return nil
		}
		t.Errorf("docs/operating.md does not say whether a backup has %s", name)
		if e.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// assertRestored fails unless a restored server serves a service as the old one did.
func assertRestored(t *testing.T, s *harness.Server, svc *types.Service, host string) {
	t.Helper()
	var now *types.Service
	harness.Eventually(t, "the restored service is at rest", func() (bool, string) {
		out, err := s.Client().DescribeService(t.Context(), &apprunner.DescribeServiceInput{ServiceArn: svc.ServiceArn})
		if err != nil {
			return false, err.Error()
		}
		now = out.Service
		return now.Status == types.ServiceStatusRunning, string(now.Status)
	})
	if aws.ToString(now.ServiceUrl) != aws.ToString(svc.ServiceUrl) {
		t.Errorf("the service is at %s, and was at %s", aws.ToString(now.ServiceUrl), aws.ToString(svc.ServiceUrl))
	}
	harness.Eventually(t, "the restored service answers", func() (bool, string) {
		r, err := s.Ask(now, "/")
		if err != nil {
			return false, err.Error()
		}
		return r.Version == "1" && r.Greeting == harness.SecretValue("kept"), r.Greeting
	})
	s.WaitHostGreeting(host, harness.SecretValue("kept"))
}
