package harness

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// clockEnv names the file with the seconds by which a server's time of day is off.
const clockEnv = "SLIPWAY_TEST_CLOCK"

// The time of day of the whole server steps: it is compiled with a package time whose Now
// adds an offset, and a file of package main that reads the offset from the test's file. The
// monotonic clock goes on as it is, as when the clock of a machine is set.
const (
	nowIs      = "sec, nsec, mono := runtimeNow()\n\tif mono == 0 {\n\t\treturn Time{uint64(nsec), sec + unixToInternal, Local}"
	nowSteps   = "sec, nsec, mono := runtimeNow()\n\tsec += stepped.Load()\n\tif mono == 0 {\n\t\treturn Time{uint64(nsec), sec + unixToInternal, Local}"
	timeOffset = `package time

import "sync/atomic"

var stepped atomic.Int64

// Step has the time of day be off by seconds.
func Step(seconds int64) { stepped.Store(seconds) }
`
	mainOffset = `package main

import (
	"os"
	"strconv"
	"time"
)

func init() {
	read := func() {
		if b, err := os.ReadFile(os.Getenv("` + clockEnv + `")); err == nil {
			if n, err := strconv.ParseInt(string(b), 10, 64); err == nil {
				time.Step(n)
			}
		}
	}
	read()
	go func() {
		for {
			time.Sleep(5 * time.Millisecond)
			read()
		}
	}()
}
`
)

// Clock is the time of day of a server, beside that of the machine.
type Clock struct {
	t    testing.TB
	file string
	off  time.Duration
}

// PrepareSteppable is Prepare of a server whose time of day steps. Clients of the machine's
// own time can call it: the SDK corrects its signatures by the server's answers.
func PrepareSteppable(t testing.TB, flags ...string) (*Server, *Clock) {
	t.Helper()
	s := Prepare(t, nil, append([]string{"--api-addr", FreeAddr(t), "--http-addr", FreeAddr(t)}, flags...)...)
	c := &Clock{t: t, file: filepath.Join(t.TempDir(), "offset")}
	s.Binary = steppable(t)
	s.Env = append(os.Environ(), clockEnv+"="+c.file)
	return s, c
}

// Set has the clock be off by a duration of whole seconds.
func (c *Clock) Set(off time.Duration) {
	c.t.Helper()
	c.off = off
	next := c.file + ".next"
	if err := os.WriteFile(next, []byte(strconv.FormatInt(int64(off/time.Second), 10)), 0o644); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(next, c.file); err != nil {
		c.t.Fatal(err)
	}
}

// Step moves the clock.
func (c *Clock) Step(by time.Duration) {
	c.t.Helper()
	c.Set(c.off + by)
}

// steppable returns the path of a slipway whose time of day steps.
func steppable(t testing.TB) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	text, err := os.ReadFile(filepath.Join(source, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), nowIs) != 1 {
		t.Fatalf("time.Now of %s is not what this test knows: adapt nowIs", source)
	}
	main, err := filepath.Abs(filepath.Join(Root, "cmd", "slipway", "step.go"))
	if err != nil {
		t.Fatal(err)
	}
	dir, replace := t.TempDir(), map[string]string{}
	for path, text := range map[string]string{
		filepath.Join(source, "time.go"): strings.Replace(string(text), nowIs, nowSteps, 1),
		filepath.Join(source, "step.go"): timeOffset,
		main:                             mainOffset,
	} {
		replace[path] = filepath.Join(dir, strconv.Itoa(len(replace))+".go")
		if err := os.WriteFile(replace[path], []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-overlay", file, "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join("bin", "e2e", "slipway-steppable"), "./cmd/slipway")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return made(t, "slipway-steppable", cmd)
}
