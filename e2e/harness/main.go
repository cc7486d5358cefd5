package harness

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Root is the module's directory as the packages of tests see it.
const Root = "../.."

// Binary is the binary under test, which make or Main builds.
var Binary = filepath.Join(Root, "bin", "slipway")

// builtEnv is set by make, which has just built the binary: once for all packages.
const builtEnv = "SLIPWAY_E2E_BUILT"

// Main runs a package's tests, then what ends them, and exits. Without root it skips
// them.
func Main(m *testing.M, ends ...func()) {
	if os.Geteuid() != 0 {
		fmt.Println("skipped: end-to-end tests start containers and need root")
		os.Exit(0)
	}
	if err := setUp(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	for _, end := range ends {
		end()
	}
	os.Exit(code)
}

func setUp() error {
	// Servers outlive tests that are killed. They must not inherit what the
	// caller of the tests has open, such as a lock.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close descriptors on exec: %w", err)
	}
	// The Go SDK refuses to add a machine's own authorities to an HTTP client of
	// the caller's; nothing here speaks TLS.
	if err := os.Unsetenv("AWS_CA_BUNDLE"); err != nil {
		return err
	}
	if os.Getenv(builtEnv) != "" {
		return nil
	}
	return build(exec.Command("make", "--no-print-directory", "-s", "-C", Root, "build"))
}

// Timeout is how long anything asynchronous may take before a test gives up on
// it. It is no measure of speed: a loaded machine must not fail a test.
const Timeout = 90 * time.Second

// Eventually asks until holds says yes, and fails the test with the last
// answer when it never does.
func Eventually(t testing.TB, what string, holds func() (ok bool, state string)) {
	t.Helper()
	deadline := time.Now().Add(Timeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, state := holds()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v; last: %s", what, Timeout, state)
		}
		<-tick.C
	}
}
