// Package soak has a server serve some twenty services for a while, as a machine of a small
// company does: clients change the services at random and send requests all the time, and
// the server, instances and the processes beside them are killed at random. A book says what
// each service must be like. What differs from it, what fails without a cause that the test
// has made, and what is left over is a fault of the server.
//
// It measures no speed, and it does not replace the tests of single faults: what it finds
// gets a test of its own.
package soak

import (
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
