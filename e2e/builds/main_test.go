// Package builds tests services that are built from code, end to end: from a git
// repository that the test serves to answered requests.
package builds

import (
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
