package life

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/image/imagetest"
)

// failure is a creation that must fail, and the words that the deployment log must
// contain.
type failure struct {
	name  string
	spec  harness.Spec
	words []string
}

// TestFailedCreations creates services that can't run. Each must end CREATE_FAILED
// with its reason in the deployment log and nothing running.
func TestFailedCreations(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t, "--health-limit", "5s")
	image := s.Push(harness.WebImage(t, "1"), "web:1")
	foreign := imagetest.Run(t, harness.App(t), imagetest.Options{Platform: "linux/arm64"})
	none := imagetest.Image(t, imagetest.Options{Files: []imagetest.File{imagetest.Text("readme", "nothing to run")}})
	failures := []failure{
		{"missing-image", harness.Spec{Image: harness.ECRImage("nowhere:1")}, []string{"nowhere:1", "not found"}},
		{"missing-tag", harness.Spec{Image: harness.ECRImage("web:none")}, []string{"web:none", "not found"}},
		{"wrong-platform", harness.Spec{Image: s.Push(foreign, "foreign:1")}, []string{"linux/arm64", "linux/amd64"}},
		{"no-entrypoint", harness.Spec{Image: s.Push(none, "none:1")}, []string{"neither an entry point nor a command"}},
		{"no-program", harness.Spec{Image: image, Start: "/nothing --here"}, []string{"/nothing"}},
		{"wrong-port", harness.Spec{Image: image, Env: map[string]string{"LISTEN": ":3000"}}, []string{"Health check failed", "The health check does not pass yet: nothing listens on port 8080; the application listens on port 3000: deploy it with --port 3000"}},
		{"never-listens", harness.Spec{Image: image, Env: map[string]string{"MODE": "mute"}}, []string{"Health check failed", "nothing listens on port 8080; the application listens on no port yet"}},
		{"unwell", harness.Spec{Image: image, Env: map[string]string{"MODE": "ill"}, Health: harness.QuickHealthCheck()}, []string{"Health check failed", "/healthz", "500"}},
		{"exits", harness.Spec{Image: image, Env: map[string]string{"MODE": "exit"}}, []string{"exited with code 3", "the database is not there"}},
	}
	type started struct {
		svc *types.Service
		op  string
	}
	all := make([]started, len(failures))
	for i, f := range failures {
		svc, op := s.Create(f.name, f.spec)
		all[i] = started{svc, op}
	}
	for i, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			svc := all[i].svc
			if got := s.WaitOperation(svc, all[i].op); got != types.OperationStatusFailed {
				t.Fatalf("the creation ended %s, want FAILED", got)
			}
			if got := s.Status(svc); got != types.ServiceStatusCreateFailed {
				t.Errorf("status %s, want CREATE_FAILED", got)
			}
			history := s.Events(svc)
			for _, w := range f.words {
				if !strings.Contains(history, w) {
					t.Errorf("the events do not say %q:\n%s", w, history)
				}
			}
		})
	}
	harness.Eventually(t, "nothing runs", func() (bool, string) {
		left := s.InstanceProcesses("app")
		return len(left) == 0, strings.Join(names(left), " ")
	})
}

func names(all []harness.Process) []string {
	var out []string
	for _, p := range all {
		out = append(out, p.Name)
	}
	return out
}

// TestFailedUpdate updates a service to a version that can't run. The operation must
// be rolled back, and the old version must serve throughout.
func TestFailedUpdate(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	image := s.Push(harness.WebImage(t, "1"), "web:1")
	svc := s.RunningService("steady", harness.Spec{Image: image, Env: map[string]string{"GREETING": "old"}})
	boot := s.BootIDs(svc, 1)
	for range 2 { // a second time after the first has been undone
		out, err := s.Client().UpdateService(t.Context(), &apprunner.UpdateServiceInput{
			ServiceArn:          svc.ServiceArn,
			SourceConfiguration: harness.Spec{Image: image, Env: map[string]string{"GREETING": "new", "MODE": "exit"}}.Source(),
		})
		if err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "the update ends", func() (bool, string) {
			s.AskMany(svc, 1, "old")
			o, err := s.Operation(*svc.ServiceArn, *out.OperationId)
			if err != nil {
				t.Fatal(err)
			}
			if o.EndedAt != nil && o.Status != types.OperationStatusRollbackSucceeded {
				t.Fatalf("the update ended %s, want ROLLBACK_SUCCEEDED", o.Status)
			}
			return o.EndedAt != nil, string(o.Status)
		})
		if got := s.Status(svc); got != types.ServiceStatusRunning {
			t.Errorf("status %s, want RUNNING", got)
		}
	}
	if after := s.BootIDs(svc, 1); after[0] != boot[0] {
		t.Error("the old version was restarted")
	}
	described, err := s.Client().DescribeService(t.Context(), &apprunner.DescribeServiceInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	env := described.Service.SourceConfiguration.ImageRepository.ImageConfiguration.RuntimeEnvironmentVariables
	if env["GREETING"] != "old" {
		t.Errorf("the service is described with %v, want the old specification", env)
	}
}

// TestDiskFull runs a server on a file system too small for an image, then on
// one that is full, where a service can still be paused and deleted.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	s := harness.Prepare(t, nil, "--api-addr", harness.FreeAddr(t), "--http-addr", harness.FreeAddr(t))
	if err := os.Mkdir(s.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", s.DataDir, "tmpfs", 0, "size=80m"); err != nil {
		t.Fatal(err)
	}
	s.Before = harness.ResourcesOf(s) // with the mount, which the test made and cleanUp unmounts
	s.Start()
	svc := s.RunningService("small", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "web:1"), Env: map[string]string{"GREETING": "small"}})

	large, op := s.Create("large", harness.Spec{Image: s.Push(bulky(t, 40<<20), "large:1")}) // fits once, not twice
	if got := s.WaitOperation(large, op); got != types.OperationStatusFailed {
		t.Errorf("the creation ended %s, want FAILED", got)
	}
	if history := s.Events(large); !strings.Contains(history, "disk is full") {
		t.Errorf("the events do not tell of the full disk:\n%s", history)
	}
	s.AskMany(svc, 3, "small")

	filler := filepath.Join(s.DataDir, "filler")
	fillUp(t, filler)
	s.AskMany(svc, 3, "small")
	s.Pause(svc) // the database has its ballast
	deleted, err := s.Client().DeleteService(t.Context(), &apprunner.DeleteServiceInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		t.Fatalf("on a full disk a service can't be deleted: %v", err)
	}
	if got := s.WaitOperation(deleted.Service, *deleted.OperationId); got != types.OperationStatusSucceeded {
		t.Errorf("the deletion on a full disk ended %s", got)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
}

// bulky returns an image of the test app with n bytes that don't compress.
func bulky(t testing.TB, n int) v1.Image {
	t.Helper()
	b := make([]byte, n)
	rand.Read(b)
	return imagetest.Run(t, harness.App(t), imagetest.Options{Files: []imagetest.File{imagetest.Text("bulk", string(b))}})
}

// fillUp writes until the file system is full.
func fillUp(t testing.TB, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	for {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
