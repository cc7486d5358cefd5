package attack

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestAttacksWorkOutside is the control of TestIsolation: it runs the attacks
// as the host's root, in namespaces that keep what they break from others but
// without identity mapping, seccomp filter, masked paths or limits. An attack
// that fails here too shows nothing by failing in a sandbox.
func TestAttacksWorkOutside(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("unshare"); err != nil {
		t.Skip("unshare, of util-linux, is not installed")
	}
	machine := harness.NewNetwork(t)
	machine.Serve(t, "127.0.0.1:9001", "the machine's loopback")
	canary := filepath.Join(t.TempDir(), "canary")
	if err := os.WriteFile(canary, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, a := range []struct {
		name string
		q    url.Values
	}{
		{"host-files", url.Values{"path": {canary}}},
		{"handles", nil},
		{"shim", nil},
		{"processes", nil},
		{"ptrace", nil},
		{"mount", nil},
		{"namespaces", nil},
		{"modules", nil},
		{"kernel", nil},
		{"syscalls", nil},
		{"sysctl", nil},
		{"core-limit", nil},
		{"disks", nil},
		{"cgroup", url.Values{"root": {ownCgroup(t)}}},
		{"devices", nil},
		{"privileges", nil},
		{"raw-sockets", nil},
		{"dial", url.Values{"to": {"127.0.0.1:9001"}}},
		{"bind", url.Values{"to": {"127.0.0.1:9999"}}},
		{"fork-bomb", url.Values{"bound": {"20"}}},
		{"threads", url.Values{"bound": {"600"}}},
		{"memory", url.Values{"bound": {"67108864"}}},
		{"disk", url.Values{"bound": {"8388608"}}},
		{"shm", url.Values{"bound": {"8388608"}}},
	} {
		t.Run(a.name, func(t *testing.T) {
			if why := impossible(a.name); why != "" {
				t.Skip(why)
			}
			held, detail := attackOutside(t, machine, a.name, a.q)
			if held {
				t.Errorf("fails outside of a sandbox too: %s", detail)
			}
			t.Log(detail)
		})
	}
}

// impossible says why an attack cannot work on this machine, "" when it can.
func impossible(attack string) string {
	switch attack {
	case "modules":
		if _, err := os.Stat("/proc/modules"); errors.Is(err, fs.ErrNotExist) {
			return "this kernel takes no modules"
		}
	case "handles":
		var st syscall.Statfs_t
		if err := syscall.Statfs("/", &st); err == nil && st.Type != unix.EXT4_SUPER_MAGIC {
			return "the handle made up is one of ext4, which / is not"
		}
	}
	return ""
}

// attackOutside runs one attack beside another process, below a shell that is
// process 1.
func attackOutside(t *testing.T, machine *harness.Network, name string, q url.Values) (held bool, detail string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "private", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc",
		"sh", "-c", `sleep 1000 & "$@"; true`, "sh", harness.HostileProgram(t), "attack", name, q.Encode())
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := machine.Do(cmd.Run); err != nil {
		t.Fatalf("%v: %s", err, &complaints)
	}
	var o struct {
		Held   bool
		Detail string
	}
	if err := json.Unmarshal(out.Bytes(), &o); err != nil {
		t.Fatalf("no outcome: %v: %q %s", err, &out, &complaints)
	}
	return o.Held, o.Detail
}

// ownCgroup makes a cgroup for the test.
func ownCgroup(t *testing.T) string {
	t.Helper()
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil {
		root = filepath.Join(root, "pids") // version 1
	}
	dir, err := os.MkdirTemp(root, "control-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	return dir
}
