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
	return program(t, "./e2e/harness/testdata/app")
}

// HostileProgram returns the path of the program that attacks its sandbox.
func HostileProgram(t testing.TB) string {
	t.Helper()
	return program(t, "./e2e/harness/testdata/hostile")
}

// racedBinary returns the path of a slipway with the race detector in it.
func racedBinary(t testing.TB) string {
	t.Helper()
	return made(t, "slipway", exec.Command("make", "--no-print-directory", "-s", "raced"))
}

// program compiles a program of the module as a static executable without symbols and
// returns its path.
func program(t testing.TB, pkg string) string {
	t.Helper()
	name := filepath.Base(pkg)
	cmd := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join("bin", "e2e", name), pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return made(t, name, cmd)
}

// made runs a command that compiles a program to bin/e2e, and returns the program's path.
// The go command sees that one is up to date, so test packages that run in parallel
// compile it once.
func made(t testing.TB, name string, cmd *exec.Cmd) string {
	t.Helper()
	out, err := filepath.Abs(filepath.Join(Root, "bin", "e2e", name))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Dir = Root
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
