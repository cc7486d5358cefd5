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

	Deeds []Deed `json:",omitempty"` // then these, one after another

	Memory   int64 `json:",omitempty"` // bytes to allocate and touch, before listening
	Children int   `json:",omitempty"` // processes to fork that then sleep; prints "children N\n", N as many as it could
	Disk     int64 `json:",omitempty"` // bytes to write to /disk; prints "disk N\n", N as many as it could

	NoListen         bool          `json:",omitempty"` // never listens
	Port             int           `json:",omitempty"` // listens here instead of on $PORT
	ListenAfter      time.Duration `json:",omitempty"` // since start
	SickAfter        time.Duration `json:",omitempty"` // since start; from then on every answer is 503; 0: never
	UnreachableAfter time.Duration `json:",omitempty"` // since start; from then on it no longer listens; 0: never

	Exit *Exit `json:",omitempty"` // ends by itself; nil: runs until stopped

	IgnoreStop bool          `json:",omitempty"` // prints "signal SIGNAME\n" on its stop signal and runs on
	StopTakes  time.Duration `json:",omitempty"` // from stop signal to exit
}

// Deed is one thing that a program does, most of them with a file. Each prints a
// line "DO PATH: RESULT" to stdout, where the result is "ok", what was found, or
// the name of an error (ENOENT).
type Deed struct {
	Do   string
	Path string `json:",omitempty"`
	To   string `json:",omitempty"` // of a link
	Text Bytes  `json:",omitempty"`
	Mode uint32 `json:",omitempty"`
	UID  int    `json:",omitempty"`
	GID  int    `json:",omitempty"`
}

// What a Deed can do.
const (
	DoWrite   = "write"   // makes a file with Text and Mode, or replaces its contents
	DoMkdir   = "mkdir"   // with Mode
	DoLink    = "link"    // makes Path another name of To
	DoSymlink = "symlink" // to To
	DoRemove  = "remove"  // with all that is in it
	DoChmod   = "chmod"
	DoChown   = "chown" // to UID and GID, without following a link
	DoTouch   = "touch" // sets the time to second 1,000,000,000, without following a link
	DoRead    = "read"  // finds the file's contents, quoted
	DoList    = "list"  // finds the names in a directory
	DoAwait   = "await" // waits until Path exists
	DoDial    = "dial"  // opens a TCP connection to Path, an address and port
	DoPrint   = "print" // Text to stdout, and no result
	DoWarn    = "warn"  // Text to stderr, and no result
)

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
