// Package packaging tests what a release consists of: the Debian package and what `make
// install` puts where.
package packaging

import (
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
