package runtimetest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// ProgramPath is where test images keep the executable of ./program.
const ProgramPath = "/program"

// Program is what an application does. The zero Program listens at once on
// 127.0.0.1:$PORT, answers every HTTP request with 200 and its host name, and
// exits with code 0 on its stop signal.
type Program struct {
	Stdout   Bytes    `json:",omitempty"` // written first
	Stderr   Bytes    `json:",omitempty"` // written second
	PrintEnv []string `json:",omitempty"` // then "NAME=value\n" of each of these to stdout
	Flood    int64    `json:",omitempty"` // then this many bytes to stdout, lines of 64 bytes that hold their own position

	Memory   int64 `json:",omitempty"` // bytes to allocate and touch, before listening
	Children int   `json:",omitempty"` // processes to fork that then sleep; prints "children N\n", N as many as it could
	Disk     int64 `json:",omitempty"` // bytes to write to /disk; prints "disk N\n", N as many as it could

	NoListen    bool          `json:",omitempty"` // never listens
	Port        int           `json:",omitempty"` // listens here instead of on $PORT
	ListenAfter time.Duration `json:",omitempty"` // since start
	SickAfter   time.Duration `json:",omitempty"` // since start; from then on every answer is 503; 0: never
	DeafAfter   time.Duration `json:",omitempty"` // since start; from then on it no longer listens; 0: never

	Exit *Exit `json:",omitempty"` // ends by itself; nil: runs until stopped

	IgnoreStop bool          `json:",omitempty"` // prints "signal SIGNAME\n" on its stop signal and runs on
	StopTakes  time.Duration `json:",omitempty"` // from stop signal to exit
}

// Bytes is any string at all, UTF-8 or not: JSON carries it as base64.
type Bytes string

// MarshalJSON encodes b as it encodes a []byte.
func (b Bytes) MarshalJSON() ([]byte, error) { return json.Marshal([]byte(b)) }

// UnmarshalJSON is the inverse of MarshalJSON.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	var raw []byte
	err := json.Unmarshal(data, &raw)
	*b = Bytes(raw)
	return err
}

// Exit is a program's own end.
type Exit struct {
	After time.Duration `json:",omitempty"` // since start
	Code  int           `json:",omitempty"`
	Kill  bool          `json:",omitempty"` // by SIGKILL instead of Code
}

// Argv returns the command line that runs p in a test image.
func (p Program) Argv() []string {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // a struct of plain values always marshals
	}
	return []string{ProgramPath, string(b)}
}

// parseProgram is Argv's inverse.
func parseProgram(argv []string) (Program, error) {
	var p Program
	if len(argv) == 0 || argv[0] != ProgramPath {
		return p, fmt.Errorf("exec %q: no such file or directory", argv)
	}
	if len(argv) < 2 {
		return p, nil
	}
	if err := json.Unmarshal([]byte(argv[1]), &p); err != nil {
		return p, fmt.Errorf("exec %s: %w", ProgramPath, err)
	}
	return p, nil
}

// FloodLine returns the line of a flood that begins at byte position pos, a
// multiple of 64.
func FloodLine(pos int64) string { return fmt.Sprintf("%063d\n", pos) }

// BuildProgram compiles ./program as a static executable and returns its path.
// It is for the images of real drivers' tests.
func BuildProgram(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path,
		"github.com/openslipway/slipway/internal/runtime/runtimetest/program")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the test program: %v\n%s", err, out)
	}
	return path
}
