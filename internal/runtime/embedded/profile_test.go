package embedded_test

import (
	"os"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/embedded"
)

// What cannot be confined by the profile that the operator named does not run: neither an
// instance, nor one with an init, nor a job.
func TestNothingRunsWithoutItsProfile(t *testing.T) {
	t.Parallel()
	if b, _ := os.ReadFile("/sys/module/apparmor/parameters/enabled"); strings.HasPrefix(string(b), "Y") {
		t.Skip("this kernel has AppArmor: a profile that is not loaded would show the same")
	}
	s := newFixture(t)
	embedded.WithProfile(s.driver, "slipway-instance")
	for _, init := range []bool{false, true} {
		want := probe("exit 0")
		want.Process.Init = init
		exit := s.exited(s.ensure(want))
		if !strings.Contains(exit.Reason, "AppArmor profile slipway-instance") {
			t.Errorf("init %t: ended with %+v, want a reason that names the profile", init, exit)
		}
	}
	res, err := s.driver.RunJob(t.Context(), job("exit 0"), func(runtime.Chunk) {})
	if err != nil || !strings.Contains(res.Exit.Reason, "AppArmor profile slipway-instance") {
		t.Errorf("the job ended with %+v, %v", res, err)
	}
}
