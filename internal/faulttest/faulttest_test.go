package faulttest_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/atomicfile"
	"github.com/openslipway/slipway/internal/faulttest"
)

func TestMain(m *testing.M) {
	faulttest.Main(m, map[string]faulttest.Work{
		"careful":     careful,
		"unsynced":    unsynced,
		"nameless":    nameless,
		"overwriting": overwriting,
	})
}

// content is larger than a sector and differs in each.
func content(word string) []byte { return []byte(strings.Repeat(word+"\n", 3000)) }

// careful replaces a file as it should be done.
func careful(dir string, promise func(string)) error {
	for _, word := range []string{"one", "two", "three"} {
		if err := atomicfile.Write(filepath.Join(dir, "file"), content(word), 0o600); err != nil {
			return err
		}
		promise(word)
	}
	return nil
}

// unsynced gives a file its name before its content is on disk.
func unsynced(dir string, promise func(string)) error {
	temp, path := filepath.Join(dir, "temp"), filepath.Join(dir, "file")
	err := errors.Join(os.WriteFile(temp, content("one"), 0o600), os.Rename(temp, path), atomicfile.SyncDir(dir))
	promise("one")
	return err
}

// nameless syncs a file and not its directory.
func nameless(dir string, promise func(string)) error {
	f, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		return err
	}
	_, err = f.Write(content("one"))
	err = errors.Join(err, f.Sync(), f.Close())
	promise("one")
	return err
}

// overwriting writes over a file that is there.
func overwriting(dir string, promise func(string)) error {
	if err := careful(dir, promise); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "file"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content("other"), 0)
	return errors.Join(err, f.Sync(), f.Close())
}

// A file that is replaced carefully is there after every power loss, and each way of being
// careless is found.
func TestPowerLosses(t *testing.T) {
	t.Parallel()
	for work, safe := range map[string]bool{"careful": true, "unsynced": false, "nameless": false, "overwriting": false} {
		t.Run(work, func(t *testing.T) {
			t.Parallel()
			r := faulttest.Record(t, t.TempDir())
			r.Run(t, work)
			tried, lost := 0, ""
			for loss := range r.PowerLosses(1, 6, 1000) {
				tried++
				loss.In(t, func(dir string) {
					b, err := os.ReadFile(filepath.Join(dir, "file"))
					if bad := judge(string(b), err, loss.Promised); bad != "" {
						lost = loss.String() + ": " + bad
					}
				})
			}
			if safe != (lost == "") {
				t.Errorf("safe: %v; %d power losses of %d events say: %q", safe, tried, r.Len(), lost)
			}
			if tried < 4 {
				t.Errorf("only %d power losses were tried", tried)
			}
		})
	}
}

// judge says what is wrong with a file: it must have one of the contents whole, and not an
// older one than was promised.
func judge(have string, err error, promised []string) string {
	if len(promised) == 0 && (errors.Is(err, os.ErrNotExist) || have == string(content("one"))) {
		return ""
	}
	words := []string{"one", "two", "three"}
	for _, word := range words[max(len(promised)-1, 0):] {
		if have == string(content(word)) {
			return ""
		}
	}
	return "after " + strings.Join(promised, ", ") + " it has " + have[:min(len(have), 20)]
}

// A call that the test refuses fails in the process with that error.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, errno := range []unix.Errno{unix.ENOSPC, unix.EIO} {
		s := faulttest.Supervise(t, t.TempDir(), func(c faulttest.Call) unix.Errno {
			if c.Kind == faulttest.Rename {
				return errno
			}
			return 0
		})
		output, err := s.Run(t, "careful")
		if err == nil || !strings.Contains(output, errno.Error()) {
			t.Errorf("%v: %v, %s", errno, err, output)
		}
	}
}
