// Package builds tests services that are built from code, end to end: from a git
// repository that the test serves to answered requests.
package builds

import (
	"fmt"
	"os"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

func TestMain(m *testing.M) {
	// For `slipway connection complete`, in all tests: they may run in parallel.
	if err := os.Setenv("SLIPWAY_CONNECTION_TOKEN", token); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	harness.Main(m, forgetRuntimes)
}
