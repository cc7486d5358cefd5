package packaging

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

// script runs a script of the checkout.
func script(t *testing.T, env []string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir, cmd.Env = harness.Root, append(os.Environ(), env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, text)
	}
}

// binary returns the absolute path of slipway.
func binary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(harness.Binary)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// debianPackage writes a Debian package and returns its path.
func debianPackage(t *testing.T, dir string) string {
	t.Helper()
	packer := filepath.Join(dir, "pack")
	script(t, nil, "go", "build", "-buildvcs=false", "-trimpath", "-o", packer, "./cmd/slipway-pack")
	file := filepath.Join(dir, "slipway.deb")
	script(t, []string{"PACK=" + packer}, "scripts/deb", binary(t), runtime.GOARCH, "v1.2.3-rc1", "1700000000", file)
	return file
}

// TestDebianPackage installs the package on a copy of this machine, removes and purges
// it.
func TestDebianPackage(t *testing.T) {
	for _, program := range []string{"dpkg", "unshare", "chroot"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("this machine has no %s", program)
		}
	}
	dir := t.TempDir()
	file := debianPackage(t, dir)
	// All that this writes goes to a tmpfs, which ends with the mount namespace.
	const copied = `set -e
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o lowerdir=/,upperdir="$1/upper",workdir="$1/work" none "$1/root"
cp "$2" "$1/root/slipway.deb"
exec chroot "$1/root" sh -ec "$3"`
	const steps = `export DEBIAN_FRONTEND=noninteractive
dpkg -i /slipway.deb
dpkg -s slipway | grep -q 'Version: 1.2.3~rc1'
dpkg -V slipway
/usr/bin/slipway --help | grep -q 'slipway serve\|Run the server'
test -s /usr/share/man/man1/slipway-up.1.gz
test -s /usr/share/bash-completion/completions/slipway
grep -q '^ExecStart=/usr/bin/slipway serve' /usr/lib/systemd/system/slipway.service
echo '#kept' >> /etc/default/slipway
dpkg -i /slipway.deb
mkdir -p /var/lib/slipway/images
dpkg -r slipway
test ! -e /usr/bin/slipway
grep -q kept /etc/default/slipway
test -d /var/lib/slipway/images
dpkg -P slipway
test ! -e /etc/default/slipway
test ! -e /var/lib/slipway
! dpkg -s slipway 2>/dev/null
echo all steps done`
	at := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "private", "sh", "-c", copied, "sh", at, file, steps)
	text, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(text, []byte("all steps done")) {
		t.Errorf("%v:\n%s", err, text)
	}
}

// TestInstall installs below DESTDIR, as `make install` does.
func TestInstall(t *testing.T) {
	t.Parallel()
	to := t.TempDir()
	script(t, []string{"DESTDIR=" + to, "PREFIX=/opt/slipway"}, "scripts/install", binary(t))
	for _, file := range []string{
		"bin/slipway", "share/man/man1/slipway.1.gz", "share/man/man1/slipway-iam-user-create.1.gz", "share/bash-completion/completions/slipway",
		"share/zsh/site-functions/_slipway", "share/fish/vendor_completions.d/slipway.fish", "share/doc/slipway/LICENSE",
	} {
		if info, err := os.Stat(filepath.Join(to, "opt/slipway", file)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
	unit, err := os.ReadFile(filepath.Join(to, "opt/slipway/lib/systemd/system/slipway.service"))
	if err != nil || !strings.Contains(string(unit), "\nExecStart=/opt/slipway/bin/slipway serve\n") {
		t.Errorf("the unit does not start what was installed: %v\n%s", err, unit)
	}
}

// TestUnits lets systemd check the units, where it is installed.
func TestUnits(t *testing.T) {
	t.Parallel()
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("this machine has no systemd-analyze")
	}
	to := t.TempDir()
	script(t, []string{"DESTDIR=" + to, "PREFIX=/opt/slipway"}, "scripts/install", binary(t))
	units, err := filepath.Glob(filepath.Join(to, "opt/slipway/lib/systemd/system/slipway*"))
	if err != nil || len(units) == 0 {
		t.Fatal("no units are installed", err)
	}
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		there := strings.ReplaceAll(string(text), "/opt/slipway", filepath.Join(to, "opt/slipway"))
		if err := os.WriteFile(unit, []byte(there), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), verify, append([]string{"verify", "--man=no", "--recursive-errors=no"}, units...)...)
	if out, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
