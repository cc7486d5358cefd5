package life

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestUninstall ends what outlives a server: it refuses while the server runs and without
// an answer, keeps the data when asked to, and leaves nothing.
func TestUninstall(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	svc := s.RunningService("shop", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "shop/web:1"), Health: harness.QuickHealthCheck()})
	uninstall := func(want int, says string, flags ...string) {
		t.Helper()
		code, stdout, stderr := s.ExecSlipway(t, append([]string{"uninstall", "--data-dir", s.DataDir}, flags...)...)
		if code != want || !strings.Contains(stderr, says) {
			t.Fatalf("uninstall %v exits with %d, want %d and %q:\n%s%s", flags, code, want, says, stdout, stderr)
		}
	}
	uninstall(1, "another server is running", "--yes")
	if _, err := s.Ask(svc, "/"); err != nil {
		t.Errorf("after a refused uninstall: %v", err)
	}
	s.Kill() // its instance goes on
	uninstall(2, "--yes")
	if len(harness.ProcessesInCgroup(harness.CgroupName(s.DataDir))) == 0 {
		t.Error("the instance ended without an answer")
	}
	uninstall(0, "Ended 1 instance", "--yes", "--keep-data")
	s.AssertNothingLeft()

	s.Start()
	harness.Eventually(t, "the service answers again", func() (bool, string) {
		_, err := s.Ask(svc, "/")
		if err != nil {
			return false, err.Error()
		}
		return true, ""
	})
	s.Kill()
	uninstall(0, "Removed "+s.DataDir, "--yes")
	s.AssertNothingLeft()
	if _, err := os.Stat(s.DataDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the data directory is still there: %v", err)
	}
	uninstall(1, "there is no data directory", "--yes")
	uninstall(1, "is no data directory of a server", "--yes", "--data-dir", t.TempDir())
}
