package embedded_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/room/roomtest"
	"github.com/openslipway/slipway/internal/runtime"
)

// TestFullDisks: it is known whose disk is full: the instance's own, or the host's.
func TestFullDisks(t *testing.T) {
	t.Parallel()
	dir := roomtest.Disk(t, "size=160m,mode=755")
	cfg := config(t)
	cfg.Dir, cfg.Disk, cfg.Pool = filepath.Join(dir, "state"), 32<<20, -1
	d, drop := openUntil(t, cfg)
	s := &fixture{t, d}
	is := func(id string, want runtime.Full) {
		t.Helper()
		eventually(t, fmt.Sprintf("the disk is full: %q", want), func() error {
			if o := s.observe(id); o == nil || !o.Running || o.Full != want || o.Disk != 32<<20 {
				return fmt.Errorf("the instance is %+v", o)
			}
			return nil
		})
	}
	good := s.ensure(probe("print hello", "signals"))
	s.prints(good, "listening")
	is(good, "")
	full := s.ensure(probe("fill /filler", "signals"))
	s.prints(full, "listening")
	is(full, runtime.FullOwn)
	is(good, "")
	if exit := s.exited(s.ensure(probe("fill /filler", "exit 3"))); exit.Code != 3 || !strings.Contains(exit.Reason, "code 3 after it had filled its disk of 32 MiB") {
		t.Errorf("it ended with %+v", exit)
	}
	if exit := s.exited(s.ensure(probe("exit 3"))); exit.Code != 3 || exit.Reason != "" {
		t.Errorf("it ended with %+v", exit)
	}

	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 64<<10))
	}
	if !errors.Is(errors.Join(err, f.Close()), unix.ENOSPC) {
		t.Fatal(err)
	}
	is(good, runtime.FullHost)
	is(full, runtime.FullOwn)
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	is(good, "")
	s.clear()
	drop()
	nothingLeft(t, cfg.Dir)
}
