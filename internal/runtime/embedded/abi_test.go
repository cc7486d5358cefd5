package embedded_test

import (
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/runtime/embedded"
)

// withLayer adds a layer of a test's own to the top of the probe's image.
func withLayer(t *testing.T, make func(dir string)) func(*embedded.Config) {
	return func(c *embedded.Config) {
		dir := filepath.Join(built.layers, "own-"+filepath.Base(t.TempDir()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		make(dir)
		c.Images.(images)[imageProbe] = append([]string{dir}, c.Images.(images)[imageProbe]...)
	}
}

// Test32Bit runs a program of the machine's 32-bit ABI, and tries by it what an escape
// would begin with.
func Test32Bit(t *testing.T) {
	t.Parallel()
	abi, known := map[string]string{"amd64": "386", "arm64": "arm"}[goruntime.GOARCH]
	if !known {
		t.Skip("this machine has no 32-bit ABI")
	}
	s := newFixture(t, withLayer(t, func(dir string) {
		program := filepath.Join(dir, "probe32")
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./testdata/probe")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+abi)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build a 32-bit program: %v\n%s", err, out)
		}
		if err := exec.Command(program, "exit 0").Run(); err != nil {
			t.Skipf("this machine does not run 32-bit programs: %v", err)
		}
	}))
	run := func(deeds ...string) map[string]string {
		spec := probe(deeds...)
		spec.Process.Argv[0] = "/probe32"
		return s.run(spec)
	}
	s.expect(run("id", "listen 127.0.0.1:80 four", "connect 127.0.0.1:80"), map[string]string{"uid": "0 0", "connect 127.0.0.1:80": "ok"})
	for name, result := range run("attack") {
		if strings.HasPrefix(result, "SUCCESS") && name != "kill init" && name != "chroot" && name != "raw socket" {
			t.Errorf("a 32-bit program: %s: %s", name, result)
		}
	}
}
