package e2e

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// root is the module's directory.
const root = ".."

// slipway is the binary under test, built by TestMain.
var slipway = filepath.Join(root, "bin", "slipway")

// scratch holds compiled test programs for the whole run.
var scratch string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		fmt.Println("skipped: end-to-end tests start containers and need root")
		return 0
	}
	// Servers outlive tests that are killed. With what whoever started the tests
	// has open they would hold that too, a lock for instance.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		fmt.Fprintln(os.Stderr, "keep descriptors from servers:", err)
		return 1
	}
	build := exec.Command("make", "--no-print-directory", "-s", "-C", root, "build")
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "make build:", err)
		return 1
	}
	dir, err := os.MkdirTemp("", "slipway-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	scratch = dir
	// The Go SDK refuses to add a machine's own authorities to an HTTP client of
	// the caller's; nothing here speaks TLS.
	os.Unsetenv("AWS_CA_BUNDLE")
	return m.Run()
}

// Programs, compiled once each: those that run in containers, and the server
// with the race detector in it.
var (
	app     = program("CGO_ENABLED=0", "./testdata/app", "-trimpath", "-ldflags=-s -w")
	hostile = program("CGO_ENABLED=0", "./testdata/hostile", "-trimpath", "-ldflags=-s -w")
	raced   = program("CGO_ENABLED=1", "../cmd/slipway", "-race")
)

// program returns a function that compiles a main package at its first call
// and gives the binary's path, whose last element is the package's.
func program(variable, pkg string, flags ...string) func(testing.TB) string {
	build := sync.OnceValues(func() (string, error) {
		name := filepath.Base(pkg)
		out := filepath.Join(scratch, name)
		cmd := exec.Command("go", append(append([]string{"build", "-o", out}, flags...), pkg)...)
		cmd.Env = append(os.Environ(), variable)
		if text, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", name, err, text)
		}
		return out, nil
	})
	return func(t testing.TB) string {
		t.Helper()
		path, err := build()
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
}

// within is how long anything asynchronous may take before a test gives up on
// it. It is no measure of speed: a loaded machine must not fail a test.
const within = 90 * time.Second

// eventually asks until holds says yes, and fails the test with the last
// answer when it never does.
func eventually(t testing.TB, what string, holds func() (ok bool, state string)) {
	t.Helper()
	deadline := time.Now().Add(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, state := holds()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v; last: %s", what, within, state)
		}
		<-tick.C
	}
}
