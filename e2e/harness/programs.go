package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// App returns the path of the program that most services run.
func App(t testing.TB) string {
	t.Helper()
	return program(t, "CGO_ENABLED=0", "./e2e/harness/testdata/app", "-trimpath", "-ldflags=-s -w")
}

// HostileProgram returns the path of the program that attacks its sandbox.
func HostileProgram(t testing.TB) string {
	t.Helper()
	return program(t, "CGO_ENABLED=0", "./e2e/harness/testdata/hostile", "-trimpath", "-ldflags=-s -w")
}

// racedBinary returns the path of a slipway with the race detector in it.
func racedBinary(t testing.TB) string {
	t.Helper()
	return program(t, "CGO_ENABLED=1", "./cmd/slipway", "-race")
}

// program compiles a main package of the module and returns the binary's path.
// Binaries are stored below bin/e2e. The go command sees that one is up to date, so
// test packages that run in parallel compile it once.
func program(t testing.TB, variable, pkg string, flags ...string) string {
	t.Helper()
	out, err := filepath.Abs(filepath.Join(Root, "bin", "e2e", filepath.Base(pkg)))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", append(append([]string{"build", "-buildvcs=false", "-o", out}, flags...), pkg)...)
	cmd.Dir, cmd.Env = Root, append(os.Environ(), variable)
	once, _ := built.LoadOrStore(out, sync.OnceValue(func() error { return build(cmd) }))
	if err := once.(func() error)(); err != nil {
		t.Fatal(err)
	}
	return out
}

// built holds functions that compile a program once per process, by path.
var built sync.Map

// build runs a command that writes below bin. A lock ensures that one process
// builds at a time.
func build(cmd *exec.Cmd) error {
	dir := filepath.Join(Root, "bin", "e2e")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	lock, err := os.Create(filepath.Join(dir, ".lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, text)
	}
	return nil
}
