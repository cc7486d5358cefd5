package clock

import (
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
