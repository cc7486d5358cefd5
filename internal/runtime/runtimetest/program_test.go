package runtimetest_test

import (
	"bytes"
	"errors"
	"os/exec"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/runtime/runtimetest"
)

// TestProgram runs the real executable with every harmless field set; it
// refuses fields that it does not know.
func TestProgram(t *testing.T) {
	t.Parallel()
	path := runtimetest.BuildProgram(t)
	argv := runtimetest.Program{
		Stdout: "out \xff\n", Stderr: "err\n", PrintEnv: []string{"COLOUR"}, Flood: 128,
		Memory: 1, NoListen: true, Port: 1, ListenAfter: 1, SickAfter: 1, UnreachableAfter: 1,
		IgnoreStop: true, StopTakes: 1,
		Exit: &runtimetest.Exit{After: time.Millisecond, Code: 3},
	}.Argv()
	cmd := exec.CommandContext(t.Context(), path, argv[1:]...)
	cmd.Env = []string{"COLOUR=dark blue"}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 3 {
		t.Errorf("the program ended with %v, want exit code 3", err)
	}
	want := "out \xff\nCOLOUR=dark blue\n" + runtimetest.FloodLine(0) + runtimetest.FloodLine(64)
	if got := stdout.String(); got != want {
		t.Errorf("stdout is %q, want %q", got, want)
	}
	if got := stderr.String(); got != "err\n" {
		t.Errorf("stderr is %q", got)
	}
}
