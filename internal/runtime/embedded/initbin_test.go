package embedded_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSelfInit runs instances whose init is the program that runs the driver,
// as in a slipway that was built without `make init`: a static program, and one
// that needs the host's loader and C library.
func TestSelfInit(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for name, cgo := range map[string]string{"static": "0", "dynamic": "1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath("gcc"); err != nil && cgo == "1" {
				t.Skip("there is no C compiler here")
			}
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			program := filepath.Join(dir, "selfinit")
			build := exec.Command("go", "build", "-overlay", withoutInit(t, dir), "-o", program, "./testdata/selfinit")
			build.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			cmd := exec.Command(program, filepath.Join(dir, "state"), built.layers, "probe", "/bin/probe", "fds", "--", "list", "/", "--", "exit", "7")
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() != 7 || !strings.Contains(string(out), "/: bin dev etc proc sys\n") {
				t.Errorf("%v, output %s", err, out)
			}
		})
	}
}

// withoutInit returns an overlay for builds in which `make init` was not run.
func withoutInit(t *testing.T, dir string) string {
	t.Helper()
	path, err := filepath.Abs("initbin/slipway-init")
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, []byte(`{"Replace": {"`+path+`": ""}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}
