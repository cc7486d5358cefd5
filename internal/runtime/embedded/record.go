package embedded

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// What a driver has written down of an instance is in two files of the same content. If one
// is damaged the other is read. If both are, the instance lives on all the same: its shim
// says in which sandbox it is. The driver discards only what has no process.

// write writes both files. A directory that is not an instance yet needs no care.
func (s spec) write(dir string) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	for _, name := range []string{fileSpec, fileCopy} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// readRecord returns what was written down of the instance in a directory. Of one of which
// nothing can be read it is the sandbox only, as long as its shim lives; 0 is none.
func (d *Driver) readRecord(id, dir string, shim int) (spec, error) {
	sandbox := "" // in which the shim is; "" if it is in none, and is to end: see killLost
	if shim > 0 {
		name, err := d.slice.GroupOf(shim)
		if isUnanswered(err) {
			return spec{}, err
		}
		if err == nil && slotOf(name) >= 0 {
			sandbox = name
		}
	}
	s, b, damage := readSpec(filepath.Join(dir, fileSpec), sandbox)
	if damage == nil {
		d.mendFile(filepath.Join(dir, fileCopy), b)
		return s, nil
	}
	if isUnanswered(damage) {
		return s, damage
	}
	s, b, err := readSpec(filepath.Join(dir, fileCopy), sandbox)
	if isUnanswered(err) {
		return s, err
	}
	if err == nil {
		d.log.Warn("the record of an instance is damaged: restored it from its copy", "instance", id, "service", s.Service, "err", damage)
		d.mendFile(filepath.Join(dir, fileSpec), b)
		return s, nil
	}
	if sandbox == "" {
		return s, damage
	}
	d.log.Error("the record of an instance is damaged, and nothing says which service it is of: it is left alone", "instance", id, "pid", shim, "err", damage)
	return spec{Sandbox: sandbox, CreatedAt: time.Now()}, nil
}

// readSpec reads one of the files, and returns its bytes, too. One that names another sandbox
// than the one that is known, "" for none, is damaged.
func readSpec(path, sandbox string) (s spec, b []byte, err error) {
	if b, err = os.ReadFile(path); err != nil {
		return s, nil, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, nil, fmt.Errorf("read %s: %w", path, err)
	}
	if slotOf(s.Sandbox) < 0 || sandbox != "" && s.Sandbox != sandbox {
		return s, nil, fmt.Errorf("read %s: its sandbox has the name %q", path, s.Sandbox)
	}
	return s, b, nil
}

// mendFile has a file have these bytes, whatever is at its place. Nothing depends on it now,
// so it is not synced, and a full disk stops no start.
func (d *Driver) mendFile(path string, b []byte) {
	if has, err := os.ReadFile(path); err == nil && bytes.Equal(has, b) {
		return
	}
	next := path + ".new"
	err := os.WriteFile(next, b, 0o600)
	if err == nil {
		if err = os.Rename(next, path); errors.Is(err, unix.EISDIR) {
			err = errors.Join(os.RemoveAll(path), os.Rename(next, path))
		}
	}
	if err != nil {
		d.log.Warn("the record of an instance cannot be written again", "err", err)
	}
}

// repairStatus writes down again which process an instance's application is, if it lives.
// damage is why the status could not be read, nil if it had no record.
func (d *Driver) repairStatus(in *instance, shim int, damage error) error {
	if shim == 0 {
		return cmp.Or(damage, errNeverStarted)
	}
	number, err := in.findApplication(shim)
	if err != nil {
		return cmp.Or(err, damage)
	}
	d.log.Warn("the status of an instance is damaged: restored it from its processes", "instance", in.id, "service", in.spec.Service, "err", damage)
	in.started = &handoff.Started{PID: number, At: in.spec.CreatedAt.UnixNano()}
	if err := in.writeStarted(); err != nil {
		d.log.Warn("the record of an instance cannot be written again", "err", err)
	}
	return nil
}

// writeStarted writes the record of the start in place: the shim has the file open, and
// writes down the end there.
func (in *instance) writeStarted() error {
	f, err := os.OpenFile(filepath.Join(in.dir, fileStatus), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(in.started.Append(nil), handoff.StartedAt)
	return errors.Join(err, f.Close())
}

// findApplication returns the number of the application's process in the shim's pid
// namespace: the first process of the sandbox with a program that is not the shim's. It
// fails with errNeverStarted if there is none.
func (in *instance) findApplication(shim int) (int, error) {
	pids, err := in.group.Procs()
	if err != nil {
		return 0, err
	}
	program := func(pid int) (fs.FileInfo, error) { return os.Stat("/proc/" + strconv.Itoa(pid) + "/exe") }
	own, err := program(shim)
	if err != nil {
		return 0, errNeverStarted
	}
	first := 0
	for _, pid := range pids {
		number, err := innerPID(pid)
		if err != nil || number == shimNumber || first > 0 && number > first {
			continue
		}
		if exe, err := program(pid); err == nil && !os.SameFile(own, exe) {
			first = number
		}
	}
	if first == 0 {
		return 0, errNeverStarted
	}
	return first, nil
}
