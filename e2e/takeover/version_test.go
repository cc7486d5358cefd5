package takeover

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/store"
)

// laterSchema is the version of the tables that the later version makes.
const laterSchema = 9999

// laterVersion builds a slipway of a later version, which migrates the database: it adds a
// table and empties another.
var laterVersion = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "slipway-later-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	root, err := filepath.Abs(harness.Root)
	if err != nil {
		return "", err
	}
	migration, overlay := filepath.Join(dir, "later.sql"), filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(root, fmt.Sprintf("internal/store/migrations/%05d_later.sql", laterSchema)): migration,
	}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(migration, []byte("-- +goose Up\nCREATE TABLE later (x);\nDELETE FROM event;\n"), 0o600); err != nil {
		return "", err
	}
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		return "", err
	}
	out := filepath.Join(root, "bin", "e2e", "slipway-later")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-overlay", overlay, "-o", out, "./cmd/slipway")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, text)
	}
	return out, nil
})

func later(t *testing.T) string {
	t.Helper()
	program, err := laterVersion()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// migrated reports whether the later version has migrated the database.
func (b *busy) migrated() bool {
	b.T.Helper()
	version, err := store.Verify(b.T.Context(), filepath.Join(b.DataDir, "slipway.db"))
	if err != nil {
		b.T.Fatal(err)
	}
	return version == laterSchema
}

// copies returns the copies of the database in the data directory.
func (b *busy) copies() []string {
	b.T.Helper()
	list, err := filepath.Glob(filepath.Join(b.DataDir, "slipway.db.*"))
	if err != nil {
		b.T.Fatal(err)
	}
	return list
}

// halt makes heirs wait between the migration of the database and their service: they are to
// read their master key from a pipe. resume lets one go on, with the right key or another.
func (b *busy) halt() (env []string, resume func(key []byte)) {
	b.T.Helper()
	file := filepath.Join(b.T.TempDir(), "key")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		b.T.Fatal(err)
	}
	return append(os.Environ(), "SLIPWAY_KEY_FILE="+file), func(key []byte) {
		b.T.Helper()
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.Write(key)
			f.Close()
		}
		if err != nil {
			b.T.Fatal(err)
		}
	}
}

// halted waits until the heir that takes over reads its key, and returns its process.
func (b *busy) halted(n int) (pid int) {
	b.T.Helper()
	begins := regexp.MustCompile(`another server takes over"? pid=(\d+)`)
	harness.Eventually(b.T, "an heir takes over", func() (bool, string) {
		all := begins.FindAllStringSubmatch(b.Output.String(), -1)
		if len(all) < n {
			return false, fmt.Sprint(len(all))
		}
		pid, _ = strconv.Atoi(all[n-1][1])
		// It has the database, and migrates no more: it opens its key.
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", pid))
		return waitsForPipe(pid), fmt.Sprintf("%s %v", text, err)
	})
	return pid
}

// waitsForPipe reports whether a thread of a process opens a named pipe.
func waitsForPipe(pid int) bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue
		}
		number, _, _ := strings.Cut(string(text), " ")
		if number == strconv.Itoa(syscall.SYS_OPENAT) {
			return true
		}
	}
	return false
}

type outcome struct {
	text string
	err  error
}

// begin runs an upgrade and returns where its outcome will be.
func (b *busy) begin(env []string, flags ...string) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		text, err := b.TryUpgrade(env, flags...)
		done <- outcome{text, err}
	}()
	return done
}

// TestMigration has a version take over that migrates the database. If it does not get to
// serve, the elder goes on with its own database; afterwards the way back is closed.
func TestMigration(t *testing.T) {
	t.Parallel()
	program := later(t)
	b := newBusy(t)
	env, resume := b.halt()
	untouched := func(when string) {
		t.Helper()
		b.goesOn(when, 50)
		b.works(t, when)
		if b.migrated() || len(b.copies()) > 0 {
			t.Errorf("%s: the database is migrated: %t; beside it are %v", when, b.migrated(), b.copies())
		}
	}
	b.works(t, "before")

	failed := b.begin(env, "--environment", "--program", program)
	b.halted(1)
	resume([]byte("no key"))
	if o := <-failed; o.err == nil || !strings.Contains(o.text, "key") || !strings.Contains(o.text, "serves on") {
		t.Errorf("with a wrong key: %v: %s", o.err, o.text)
	}
	untouched("after a failure")

	killed := b.begin(env, "--environment", "--program", program)
	if err := syscall.Kill(b.halted(2), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if o := <-killed; o.err == nil || !strings.Contains(o.text, "it ended") {
		t.Errorf("killed: %v: %s", o.err, o.text)
	}
	untouched("after a kill")

	if out, err := b.Upgrade("--program", program); err != nil {
		t.Fatalf("upgrade: %v: %s", err, out)
	}
	b.works(t, "migrated")
	if !b.migrated() || len(b.copies()) > 0 {
		t.Errorf("after the upgrade the database is migrated: %t; beside it are %v", b.migrated(), b.copies())
	}
	if out, err := b.Upgrade("--program", b.Binary); err == nil || !strings.Contains(out, "newer") || !strings.Contains(out, "serves on") {
		t.Errorf("back to the former version: %v: %s", err, out)
	}
	b.works(t, "in the end")
	b.ends()
}

// TestSecondUpgrade begins further upgrades while one is under way. They are refused with
// the reason, whatever is wrong with them, and the first goes on.
func TestSecondUpgrade(t *testing.T) {
	t.Parallel()
	b := newBusy(t)
	env, resume := b.halt()
	gate, script := filepath.Join(t.TempDir(), "gate"), filepath.Join(t.TempDir(), "slipway")
	if err := os.WriteFile(script, fmt.Appendf(nil, "#!/bin/sh\nuntil [ -e %s ]; do sleep 0.1; done\nexec %s \"$@\"\n", gate, b.Binary), 0o755); err != nil {
		t.Fatal(err)
	}
	before := b.PID
	first := b.begin(env, "--environment", "--program", script)
	started := regexp.MustCompile(`starting another server to take over"? pid=(\d+)`)
	var pid string
	harness.Eventually(t, "the first program is started", func() (bool, string) {
		if m := started.FindStringSubmatch(b.Output.String()); m != nil {
			pid = m[1]
		}
		return pid != "", ""
	})
	want := "another server, process " + pid + ", is taking over at this moment"
	refused := func(what, text string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(text, want) {
			t.Errorf("%s: %v: %s", what, err, text)
		}
	}
	text, err := b.TryUpgrade(os.Environ())
	refused("before the first asks for the sockets", text, err)
	if text, err := b.TryTakeOver("--account", "1"); err == nil || !strings.Contains(text, "--account") {
		t.Errorf("a server with a wrong flag: %v: %s", err, text)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.halted(1)
	text, err = b.TryUpgrade(os.Environ())
	refused("while the first opens the data directory", text, err)
	text, err = b.TryTakeOver()
	refused("a server by hand", text, err)
	b.goesOn("in between", 50)

	key, err := os.ReadFile(filepath.Join(b.DataDir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	resume(key)
	if o := <-first; o.err != nil {
		t.Fatalf("the first: %v: %s", o.err, o.text)
	}
	b.Adopt(before)
	b.works(t, "after the first")
	if out, err := b.UpgradeWith(append(os.Environ(), "SLIPWAY_KEY_FILE="+filepath.Join(b.DataDir, "master.key")), "--environment"); err != nil {
		t.Errorf("one after the other: %v: %s", err, out)
	}
	b.works(t, "after the next")
	b.ends()
}

// TestEndDuringUpgrade ends the server while another one takes over, which ends with it: the
// next one finds the database as it was.
func TestEndDuringUpgrade(t *testing.T) {
	t.Parallel()
	program := later(t)
	b := newBusy(t)
	env, _ := b.halt()
	upgrade := b.begin(env, "--environment", "--program", program)
	b.halted(1)
	b.ends()
	b.Stop()
	if o := <-upgrade; o.err == nil || !strings.Contains(o.text, "told to end") {
		t.Errorf("the upgrade: %v: %s", o.err, o.text)
	}
	if b.migrated() || len(b.copies()) > 0 {
		t.Errorf("the database is migrated: %t; beside it are %v", b.migrated(), b.copies())
	}
	b.Start()
	b.works(t, "the next server")
}
