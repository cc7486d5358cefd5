package dirwatch

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKeep removes directories again and again, also those of which others are a part.
func TestKeep(t *testing.T) {
	t.Parallel()
	top := filepath.Join(t.TempDir(), "top")
	dirs := []string{top, filepath.Join(top, "a"), filepath.Join(top, "a", "b"), filepath.Join(top, "c")}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Keep(ctx, dirs, slog.New(slog.NewTextHandler(t.Output(), nil))) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	there := func() bool {
		for _, dir := range dirs {
			if st, err := os.Lstat(dir); err != nil || st.Mode().Perm() != 0o700 {
				return false
			}
		}
		return true
	}
	await := func(after string) {
		t.Helper()
		deadline := time.After(time.Minute)
		for !there() {
			select {
			case <-time.After(time.Millisecond):
			case <-deadline:
				t.Fatalf("the directories did not come back after %s", after)
			}
		}
	}
	await("the beginning")
	for range 3 {
		for _, dir := range dirs[1:] {
			err := os.RemoveAll(dir)
			for errors.Is(err, unix.ENOTEMPTY) { // one below it came back meanwhile
				err = os.RemoveAll(dir)
			}
			if err != nil {
				t.Fatal(err)
			}
			await("the removal of " + dir)
		}
		if err := os.Rename(top, top+".away"); err != nil {
			t.Fatal(err)
		}
		await("a rename")
		if err := os.RemoveAll(top + ".away"); err != nil {
			t.Fatal(err)
		}
		await("the removal of what was renamed")
	}
}

// TestWatch tells of an entry, whatever it is, and of none that comes.
func TestWatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan string, 10)
	ended := make(chan error, 1)
	go func() { ended <- Watch(ctx, []string{dir}, func(at, name string) { seen <- at + ":" + name }) }()
	if got := <-seen; got != ":" {
		t.Errorf("at first %q", got)
	}
	file := filepath.Join(dir, "file")
	// Whether it is watched yet shows only by the first message.
	for told := false; !told; {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-seen:
			told = true
			if got != dir+":file" {
				t.Errorf("of the removal %q", got)
			}
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
