// Package readme runs the commands that README.md and the pages of docs show, as a
// reader would type them.
package readme

import (
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
