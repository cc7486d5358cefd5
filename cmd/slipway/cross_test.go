package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestOtherSystems compiles the client for the systems that people have who deploy to a
// server elsewhere. Without optimizations, as the result is not run; arm64 has no code
// of its own, and `make dist` compiles it.
func TestOtherSystems(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles everything that the client needs")
	}
	t.Parallel()
	for _, system := range []string{"darwin", "windows"} {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-gcflags=all=-N -l", "-ldflags=-s -w",
			"-o", filepath.Join(t.TempDir(), "slipway"), ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH=amd64")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", system, err, text)
		}
	}
}
