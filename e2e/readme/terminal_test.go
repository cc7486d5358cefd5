package readme

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/e2e/harness"
)

// columns is the width of the terminal of a session.
const columns = 100

// ready is what the shell of a terminal session prints before it reads a command.
const ready = "\x1b[m# "

// terminal is a shell at a pseudo terminal, for somebody who reads what it shows.
type terminal struct {
	t       *testing.T
	emulate *os.File // the emulator's side
	url     string   // of the service, once it was shown
}

// newTerminal starts a shell at a terminal, in the reader's network and directory.
func (r *reader) newTerminal(dir string, env ...string) *terminal {
	r.t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		r.t.Skipf("no pseudo terminal here: %v", err)
	}
	r.t.Cleanup(func() { ours.Close() })
	n, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		r.t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(ours.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: columns}); err != nil {
		r.t.Fatal(err)
	}
	theirs, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		r.t.Skipf("no pseudo terminal here: %v", err)
	}
	defer theirs.Close()
	shell := exec.Command("bash", "--norc", "--noprofile", "--noediting", "-i")
	shell.Dir = dir
	shell.Env = append(append([]string{}, r.shell.Env...), append(env, "TERM=xterm", "PS1="+ready)...)
	shell.Stdin, shell.Stdout, shell.Stderr = theirs, theirs, theirs
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := r.net.Do(shell.Start); err != nil {
		r.t.Fatal(err)
	}
	tt := &terminal{t: r.t, emulate: ours}
	r.t.Cleanup(func() { shell.Process.Kill(); shell.Wait() })
	tt.read()
	return tt
}

// read returns what the terminal gets until the shell reads a command again.
func (tt *terminal) read() string {
	tt.t.Helper()
	late := time.AfterFunc(harness.Timeout, func() { tt.emulate.Close() })
	defer late.Stop()
	var all []byte
	for buf := make([]byte, 4096); !strings.HasSuffix(string(all), ready); {
		n, err := tt.emulate.Read(buf)
		if err != nil {
			tt.t.Fatalf("the shell does not read another command: %v\n%q", err, all)
		}
		all = append(all, buf[:n]...)
	}
	return strings.TrimSuffix(string(all), ready)
}

// types types a command and returns the lines that the screen shows after it.
func (tt *terminal) types(text string) []string {
	tt.t.Helper()
	if _, err := fmt.Fprintln(tt.emulate, text); err != nil {
		tt.t.Fatal(err)
	}
	lines := screen(tt.read())
	if len(lines) == 0 || lines[0] != text {
		tt.t.Fatalf("the terminal does not show the command %s but %q", text, lines)
	}
	return lines[1:]
}

var escape = regexp.MustCompile(`^\x1b\[([0-9;]*)([A-Za-z])`)

// screen returns the lines that a terminal shows after what it got: it wraps long lines,
// goes back to the first column, erases the rest of a line, and knows no other movement.
// A line that the terminal has wrapped is one.
func screen(got string) (lines []string) {
	row, column := "", 0 // the last row on the screen, and the cursor
	before := ""         // rows above, of the same line
	for got != "" {
		if found := escape.FindStringSubmatch(got); found != nil {
			if got = got[len(found[0]):]; found[2] == "K" {
				row = row[:min(column, len(row))]
			}
			continue
		}
		c := got[0]
		got = got[1:]
		switch c {
		case '\r':
			column = 0
		case '\n':
			lines = append(lines, before+row)
			before, row = "", ""
		default:
			if column == columns {
				before, row, column = before+row, "", 0
			}
			row = row[:column] + string(c) + row[min(column+1, len(row)):]
			column++
		}
	}
	if before+row != "" {
		lines = append(lines, before+row)
	}
	return lines
}

// wrap returns the rows that a line takes on the screen.
func wrap(line string) (rows []string) {
	for len(line) > columns {
		rows, line = append(rows, line[:columns]), line[columns:]
	}
	return append(rows, line)
}

func TestScreen(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", columns)
	got := fmt.Sprintf("%q", screen("a\x1b[31mb\x1b[m\r\nstatus 1\r\x1b[Kdone\r\n"+long+"yz\r\nabc\rX\r\n"))
	if want := fmt.Sprintf("%q", []string{"ab", "done", long + "yz", "Xbc"}); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// normal replaces what is different at each run by an example of it.
var normal = []struct {
	what    *regexp.Regexp
	example string
}{
	{regexp.MustCompile(`[a-z0-9]{10}\.us-east-1`), "7h3kq2wm5x.us-east-1"},
	{regexp.MustCompile(`sha256:[0-9a-f]{12,}`), "sha256:29ba230e93dc"},
	{regexp.MustCompile(`instance [0-9a-f]{12}\b`), "instance 9b5940b79adb"},
	{regexp.MustCompile(`instance [0-9a-f]{8}\b`), "instance 711038f2"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [0-9a-f]{8} `), "2026-01-31 12:00:00.000 711038f2 "},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} -- `), "2026-01-31 12:00:00.000 -- "},
	{regexp.MustCompile(`\d{4}/\d\d/\d\d \d\d:\d\d:\d\d`), "2026/01/31 12:00:00"},
	{regexp.MustCompile(`\d+(\.\d+)? MB in \d+(\.\d+)? (ms|s)`), "4.1 MB in 210 ms"},
	{regexp.MustCompile(`\((FAILED|ROLLBACK_SUCCEEDED) after \d+(\.\d+)? (ms|s)\)`), "($1 after 1.2 s)"},
	{regexp.MustCompile(`\(\d+(\.\d+)? (ms|s)\)`), "(0.4 s)"},
	{regexp.MustCompile(`ended after \d+\.\d s`), "ended after 0.0 s"},
	{regexp.MustCompile(`started in \d+m?s`), "started in 1s"},
	{regexp.MustCompile(`AGE {2,}`), "AGE        "},
	{regexp.MustCompile(`( {2,})\d+ seconds? {2,}`), "${1}2 seconds  "},
	{regexp.MustCompile(`(from|on) \d+\.\d+\.\d+\.\d+`), "$1 127.0.0.1"},
}

var update = flag.Bool("update", false, "rewrite what docs/first-steps.md shows")

// TestFirstSteps types the commands of docs/first-steps.md at a terminal: a service, a
// changed variable, a deployment that fails and is mended, logs, and the end. The terminal
// must show what the page does; -update rewrites the page.
func TestFirstSteps(t *testing.T) {
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	for _, args := range [][]string{
		{"go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(bin, "hello"), "./examples/hello"},
		{"go", "run", "./examples/ocilayout", "-out", filepath.Join(bin, "hello-oci"), filepath.Join(bin, "hello")},
		{"cp", "bin/slipway", filepath.Join(bin, "slipway")},
	} {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir, cmd.Env = harness.Root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	r := desk{tree: dir}.sitDown(t, dir)
	r.serve()
	tt := r.newTerminal(dir, "SLIPWAY_DATA_DIR="+r.server.DataDir)

	page := filepath.Join(harness.Root, "docs", "first-steps.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	var shown []string
	for at, b := 0, readPage(t, page); len(b) > 0; b = b[1:] {
		shown = append(shown, lines[at:b[0].line]...)
		for _, c := range b[0].commands {
			shown = append(shown, lines[c.line-1])
			shown = append(shown, tt.normally(c.text)...)
		}
		for at = b[0].line; lines[at] != "```"; {
			at++
		}
		if len(b) == 1 {
			shown = append(shown, lines[at:]...)
		}
	}
	got := strings.Join(shown, "\n")
	if *update {
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), got); diff != "" {
		t.Errorf("the terminal shows something else than the page (-update rewrites it; -page +terminal):\n%s", diff)
	}
}

// exampleURL stands for the URL of the service.
const exampleURL = "http://7h3kq2wm5x.us-east-1.slipway.localhost:8080"

// normally types a command of the page, and returns what the terminal shows with
// examples in place of what is different at each run.
func (tt *terminal) normally(text string) (rows []string) {
	tt.t.Helper()
	for _, line := range tt.types(strings.ReplaceAll(text, exampleURL, tt.url)) {
		if found := regexp.MustCompile(`^http://[a-z0-9]{10}\.\S+`).FindString(line); found != "" {
			tt.url = found
		}
		for _, n := range normal {
			line = n.what.ReplaceAllString(line, n.example)
		}
		rows = append(rows, wrap(line)...)
	}
	// The new instance may pass its health check before its first line is read.
	for i := 1; i < len(rows); i++ {
		if strings.Contains(rows[i-1], "-- the update is done") && strings.Contains(rows[i], "INFO listening") {
			rows[i-1], rows[i] = rows[i], rows[i-1]
		}
	}
	return rows
}
