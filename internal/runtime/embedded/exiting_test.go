package embedded

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// A process that has ended and is not waited for yet is in no control group, which nobody took it out of.
func TestExiting(t *testing.T) {
	t.Parallel()
	if exiting(os.Getpid()) {
		t.Error("this process is about to end")
	}
	cmd := exec.CommandContext(t.Context(), "sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	if exiting(pid) {
		t.Error("a process that lives is about to end")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(time.Minute); !exiting(pid); {
		if time.Now().After(until) {
			t.Fatal("a killed process is not seen to end")
		}
		<-time.After(time.Millisecond)
	}
	_ = cmd.Wait() // it was killed
	if !exiting(pid) {
		t.Error("a process that is gone lives")
	}
}
