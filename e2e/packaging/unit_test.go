package packaging

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

// directives are those of slipway.service's [Service] that limit the server or matter for
// its instances, and how the test without systemd has them.
var directives = map[string]string{
	"CapabilityBoundingSet": "setpriv drops them",
	"ProtectSystem":         "/usr, /boot, /efi and /etc are read-only in a mount namespace of the server's own",
	"UMask":                 "umask",
	"KeyringMode":           "the server uses no keys of the kernel's",
	"Type":                  "TestServiceManager of e2e/takeover",
	"KillMode":              "the test kills the server only",
	"ExecStart":             "TestInstall",
	"ExecReload":            "the test upgrades the server",
	"EnvironmentFile":       "TestDebianPackage installs it",
	"Restart":               "the test starts it again",
	"RestartSec":            "a time",
	"TimeoutStopSec":        "a time",
	"Delegate":              "of systemd's own control groups, which are not there",
	"TasksMax":              "likewise",
	"LimitNOFILE":           "raises a limit",
	"StateDirectory":        "the test's data directory",
	"StateDirectoryMode":    "the server makes it 0700 itself",
}

// unitSettings returns the settings of slipway.service's [Service].
func unitSettings(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(harness.Root, "packaging", "systemd", "slipway.service"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "[Service]\n")
	section, _, _ = strings.Cut(section, "\n[")
	settings := map[string]string{}
	for line := range strings.Lines(section) {
		if name, value, is := strings.Cut(strings.TrimSpace(line), "="); is && !strings.HasPrefix(line, "#") {
			settings[name] = value
		}
	}
	return settings
}

// asUnit writes a program that starts slipway with the limits of the unit, as far as they
// can be had without systemd. It has the same process id.
func asUnit(t *testing.T, settings map[string]string) string {
	t.Helper()
	caps, is := strings.CutPrefix(settings["CapabilityBoundingSet"], "~")
	if !is || settings["ProtectSystem"] != "full" || settings["UMask"] != "0077" {
		t.Fatalf("the test knows a list of dropped capabilities, ProtectSystem=full and UMask=0077; the unit has %v", settings)
	}
	var dropped []string
	for _, c := range strings.Fields(caps) {
		dropped = append(dropped, "-"+strings.TrimPrefix(strings.ToLower(c), "cap_"))
	}
	program := filepath.Join(t.TempDir(), "slipway")
	text := fmt.Sprintf(`#!/bin/sh
umask 0077
exec unshare --mount --propagation slave sh -ec '
for dir in /usr /boot /efi /etc; do
  [ ! -d $dir ] || { mount --bind $dir $dir; mount -o remount,bind,ro $dir; }
done
exec setpriv --bounding-set %s -- "$0" "$@"' '%s' "$@"
`, strings.Join(dropped, ","), binary(t))
	if err := os.WriteFile(program, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return program
}

// status returns a line of a process's status.
func status(t *testing.T, pid int, name string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, is := strings.CutPrefix(line, name+":"); is {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("process %d has no %s", pid, name)
	return ""
}

// capsOfApp deploys a service and returns the capabilities that its application can have.
func capsOfApp(t *testing.T, s *harness.Server) (app harness.Process, caps string, answers func()) {
	t.Helper()
	svc := s.RunningService("shop", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "shop/web:1"), Health: harness.QuickHealthCheck()})
	apps := s.InstanceProcesses("app")
	if len(apps) != 1 {
		t.Fatalf("the service runs %v", apps)
	}
	return apps[0], status(t, apps[0].Pid, "CapBnd"), func() {
		t.Helper()
		harness.Eventually(t, "the service answers", func() (bool, string) {
			_, err := s.Ask(svc, "/")
			return err == nil, fmt.Sprint(err)
		})
	}
}

// TestServerUnderUnit runs the server with the limits of slipway.service: services are
// deployed, their instances have what they have elsewhere, and outlive the server, whose
// next process has a mount namespace of its own.
func TestServerUnderUnit(t *testing.T) {
	for _, program := range []string{"unshare", "setpriv"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("this machine has no %s", program)
		}
	}
	settings := unitSettings(t)
	for name := range settings {
		if directives[name] == "" {
			t.Errorf("the unit sets %s, and the test does not know what that does to the server", name)
		}
	}
	usual := harness.Serve(t)
	_, want, _ := capsOfApp(t, usual)

	s := harness.Prepare(t, nil, "--api-addr", harness.FreeAddr(t), "--http-addr", harness.FreeAddr(t))
	unit := asUnit(t, settings)
	s.Binary = unit
	s.Start()
	if bounds := status(t, s.PID, "CapBnd"); bounds == status(t, os.Getpid(), "CapBnd") {
		t.Errorf("the server's capabilities are those of the test: %s", bounds)
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/root/etc/slipway-test", s.PID), nil, 0o600); err == nil {
		os.Remove("/etc/slipway-test")
		t.Error("the server can write to /etc")
	}
	app, caps, answers := capsOfApp(t, s)
	if caps != want {
		t.Errorf("under the unit an application can have the capabilities %s, elsewhere %s", caps, want)
	}
	answers()
	s.Kill()
	s.Start()
	answers()
	if apps := s.InstanceProcesses("app"); len(apps) != 1 || apps[0] != app {
		t.Errorf("after a restart of the server the service runs %v; it was %v", apps, app)
	}
	limited := status(t, s.PID, "CapBnd")
	if out, err := s.Upgrade(); err != nil {
		t.Errorf("the unit's server can't be upgraded: %v: %s", err, out)
	}
	answers()
	if apps := s.InstanceProcesses("app"); len(apps) != 1 || apps[0] != app || status(t, s.PID, "CapBnd") != limited {
		t.Errorf("after an upgrade the service runs %v, it was %v, and the server's capabilities are %s, they were %s", apps, app, status(t, s.PID, "CapBnd"), limited)
	}
	s.MustSlipway(t, "up", "shop", "--env", "A=2")
	answers()
	if strings.Contains(s.Output.String(), "level=WARN") || strings.Contains(s.Output.String(), "level=ERROR") {
		t.Errorf("the server lacks something under the unit:\n%s", s.Output)
	}
}

// TestUnitSecurity lets systemd rate the unit: its exposure does not grow.
func TestUnitSecurity(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("this machine has no systemd-analyze")
	}
	to := t.TempDir()
	script(t, []string{"DESTDIR=" + to, "PREFIX=/usr"}, "scripts/install", binary(t))
	unit := filepath.Join(to, "usr/lib/systemd/system/slipway.service")
	const exposure = "88" // tenths; a server of sandboxes is root by its nature
	out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--no-pager", "--threshold="+exposure, unit).CombinedOutput()
	if err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}
