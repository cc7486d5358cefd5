package logs_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/logs"
)

// unreadable has a file at the path whose descriptors can be had, and whose bytes can't.
func unreadable(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink("/proc/self/mem", path)
}

// TestDamage damages one of two streams. The other's lines are read, listed, written and
// limited as before, and new lines of the damaged one are kept. What is damaged is named once.
func TestDamage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		damage func(dir string, segments []string) error
		lost   int // of the damaged stream's 30 lines, at most
	}{
		{"the first segment cannot be read", func(_ string, s []string) error { return unreadable(s[0]) }, 12},
		{"the last segment cannot be read", func(_ string, s []string) error { return unreadable(s[len(s)-1]) }, 12},
		{"a segment is cut", func(_ string, s []string) error { return os.Truncate(s[0], 100) }, 12},
		{"a sealed block is damaged", func(_ string, s []string) error {
			f, err := os.OpenFile(s[0], os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, 20), 10)
			return errors.Join(err, f.Close())
		}, 12},
		{"a segment leads nowhere", func(_ string, s []string) error { return errors.Join(os.Remove(s[0]), os.Symlink("loop", s[0])) }, 12},
		{"a file is where the stream was", func(dir string, _ []string) error {
			return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, []byte("x"), 0o600))
		}, 30},
		{"the stream is a link to itself", func(dir string, _ []string) error {
			return errors.Join(os.RemoveAll(dir), os.Symlink(filepath.Base(dir), dir))
		}, 30},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var log bytes.Buffer
			cfg := logs.Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil)), SegmentBytes: 600}
			s := newStore(t, cfg)
			bad, good := logs.Stream{Service: service, Name: "instance/bad"}, logs.Stream{Service: service, Name: "instance/good"}
			start := time.Now().Add(-time.Hour)
			for i := range 30 {
				for _, st := range []logs.Stream{bad, good} {
					line := logs.Line{Kind: logs.Stdout, At: start.Add(time.Duration(i) * time.Second), Text: st.Name + " " + strings.Repeat("x", 20)}
					if _, err := s.Append(t.Context(), st, []logs.Line{line}); err != nil {
						t.Fatal(err)
					}
				}
			}
			s = newStore(t, cfg) // as after a restart
			s.Sweep(t.Context(), time.Now())
			at := filepath.Join(dir, service, "instance", "bad")
			segments, err := filepath.Glob(filepath.Join(at, "*"))
			if err != nil || len(segments) < 3 {
				t.Fatalf("segments %v, %v", segments, err)
			}
			if err := c.damage(at, segments); err != nil {
				t.Fatal(err)
			}
			for _, q := range []logs.Query{{}, {Tail: 1000}, {Since: start.Add(-time.Minute)}, {Since: start.Add(time.Second)}} {
				texts := texts(read(t, s, q))
				got := func(name string) (n int) {
					for _, text := range texts {
						if strings.HasPrefix(text, name+" ") {
							n++
						}
					}
					return n
				}
				if n := got(good.Name); n < 29 {
					t.Errorf("%+v: %d lines of the other stream", q, n)
				}
				if n := got(bad.Name); n < 29-c.lost {
					t.Errorf("%+v: %d lines of the damaged stream", q, n)
				}
			}
			list, err := s.Streams(service)
			if err != nil || !slices.ContainsFunc(list, func(i logs.StreamInfo) bool { return i.Name == good.Name }) {
				t.Errorf("streams are %v, %v", list, err)
			}
			s.Sweep(t.Context(), time.Now())
			s = newStore(t, cfg)
			if _, err := s.Append(t.Context(), good, []logs.Line{{Kind: logs.Stdout, At: time.Now(), Text: "later"}}); err != nil {
				t.Error(err)
			}
			if c.lost < 30 {
				if _, err := s.Append(t.Context(), bad, []logs.Line{{Kind: logs.Stdout, At: time.Now(), Text: "later"}}); err != nil {
					t.Error(err)
				}
			}
			if got := texts(read(t, s, logs.Query{Tail: 2})); !slices.Contains(got, "later") {
				t.Errorf("the last lines are %q", got)
			}
		})
	}
}

// A directory that may not be read keeps nobody from the others. Root may read all, so this
// thread gives that up for its look at files.
func TestForbiddenDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it needs root, to be somebody else")
	}
	var log bytes.Buffer
	dir := t.TempDir()
	for at := dir; at != "/"; at = filepath.Dir(at) {
		if info, err := os.Stat(at); err != nil || info.Mode()&0o001 == 0 {
			if err := os.Chmod(at, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := newStore(t, logs.Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for _, name := range []string{"instance/a", "instance/b", "instance/c"} {
		if _, err := s.Append(t.Context(), logs.Stream{Service: service, Name: name}, []logs.Line{{Kind: logs.Stdout, At: time.Now(), Text: name}}); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, _ error) error { return os.Chmod(path, 0o755) })
	if err := errors.Join(err, os.Chmod(filepath.Join(dir, service, "instance", "a"), 0)); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // which ends with this goroutine
		if err := unix.Setfsuid(65534); err != nil {
			t.Error(err)
			return
		}
		list, err := s.Streams(service)
		if err != nil || len(list) != 2 {
			t.Errorf("streams are %v, %v", list, err)
		}
		if got := texts(read(t, s, logs.Query{})); !slices.Equal(got, []string{"instance/b", "instance/c"}) {
			t.Errorf("lines are %q", got)
		}
	}()
	<-done
	if n := strings.Count(log.String(), "passed over"); n != 1 {
		t.Errorf("it was named %d times:\n%s", n, log.String())
	}
}
