package harness

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// MustSlipway runs a client verb that must succeed, and returns its standard output.
func (s *Server) MustSlipway(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := s.ExecSlipway(t, args...)
	if code != 0 {
		t.Fatalf("slipway %s exited with %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// ExecSlipway runs a client verb and returns its exit code and outputs.
func (s *Server) ExecSlipway(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.Binary, args...)
	cmd.Env = append(s.ClientEnv(), "NO_COLOR=1")
	var out, log strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), out.String(), log.String()
	} else if err != nil {
		t.Fatal(err)
	}
	return 0, out.String(), log.String()
}
