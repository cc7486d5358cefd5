package embedded

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfinedBy(t *testing.T) {
	t.Parallel()
	const loaded = "docker-default (enforce)\nslipway-instance (enforce)\nnew (complain)\nlast (kill)\nold (unconfined)\n"
	for _, c := range []struct{ profile, enabled, profiles, want string }{
		{"slipway-instance", "Y\n", loaded, ""},
		{"last", "Y\n", loaded, ""},
		{"new", "Y\n", loaded, "forbids nothing"},
		{"old", "Y\n", loaded, "forbids nothing"},
		{"slipway", "Y\n", loaded, "not loaded"},
		{"instance", "Y\n", loaded, "not loaded"},
		{"slipway-instance", "Y\n", "", "not loaded"},
		{"slipway-instance", "N\n", loaded, "no AppArmor"},
		{"slipway-instance", "", "", "no AppArmor"},
	} {
		err := confinedBy(c.profile, c.enabled, c.profiles)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, enabled %q: %v, want %q", c.profile, c.enabled, err, c.want)
		}
	}
}

// The profile that Slipway brings compiles. Whether it lets images run can only be tried on
// a kernel with AppArmor.
func TestProfileCompiles(t *testing.T) {
	t.Parallel()
	parser, err := exec.LookPath("apparmor_parser")
	if err != nil {
		t.Skip("apparmor_parser is not installed (Debian: apparmor)")
	}
	profile, err := filepath.Abs("../../../packaging/apparmor/slipway-instance")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(parser, "--skip-kernel-load", "--skip-cache", profile).CombinedOutput(); err != nil {
		t.Errorf("apparmor_parser: %v: %s", err, out)
	}
	b, err := os.ReadFile(profile)
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte(strings.Replace(string(b), "deny mount,", "deny mound,", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if exec.Command(parser, "--skip-kernel-load", "--skip-cache", broken).Run() == nil {
		t.Error("a broken profile compiles: the test shows nothing")
	}
}
