package takeover

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestNothingOfTheFormerIsHeld upgrades a server twice. Once the former processes have ended,
// the one that runs holds no descriptor of them.
func TestNothingOfTheFormerIsHeld(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	for range 2 {
		if out, err := s.Upgrade(); err != nil {
			t.Fatalf("upgrade: %v: %s", err, out)
		}
		s.AwaitFormers()
		harness.Eventually(t, "nothing of the former server is held", func() (bool, string) {
			dead := ofDead(t, s.LastPID())
			return len(dead) == 0, strings.Join(dead, ", ")
		})
	}
}

// ofDead returns the descriptors of a process that name processes which have ended.
func ofDead(t *testing.T, pid int) (list []string) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fdinfo", pid)
	fds, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		info, err := os.ReadFile(filepath.Join(dir, fd.Name()))
		if err == nil && strings.Contains(string(info), "\nPid:\t-1\n") {
			list = append(list, "descriptor "+fd.Name())
		}
	}
	return list
}
