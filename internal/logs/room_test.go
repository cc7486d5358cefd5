package logs_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/logs"
	"github.com/openslipway/slipway/internal/room"
	"github.com/openslipway/slipway/internal/room/roomtest"
)

// TestReserveOfTheDisk writes lines until they are refused: half of the reserve is left.
func TestReserveOfTheDisk(t *testing.T) {
	t.Parallel()
	const size = 80 << 20 // a reserve of 4 MiB
	dir := roomtest.Disk(t, "size=80m")
	s := newStore(t, logs.Config{Dir: dir})
	stream := logs.Stream{Service: service, Name: "instance/a"}
	lines := []logs.Line{{At: time.Now(), Text: strings.Repeat("x", 16<<10)}}
	var err error
	for n := 0; err == nil && n < size; n += 16 << 10 {
		_, err = s.Append(t.Context(), stream, lines)
	}
	var full *room.Error
	if !errors.As(err, &full) {
		t.Fatalf("error %v, want a *room.Error", err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	if free := int64(st.Bavail) * st.Bsize; free < 2<<20 || free > 3<<20 {
		t.Errorf("%d bytes are free, want half of the reserve of 4 MiB", free)
	}
}

// What a full disk loses of the output is not called the application's fault.
func TestCollectOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := roomtest.Disk(t, "size=8m")
	filler := filepath.Join(dir, "filler")
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, logs.Config{Dir: filepath.Join(dir, "logs")})
		src := &source{}
		c, stop := collecting(t, s, src)
		defer stop()
		c.Follow(service, "a")
		time.Sleep(2 * time.Second)
		if err := os.WriteFile(filler, make([]byte, 9<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		src.write(false, "", "lost")
		time.Sleep(2 * time.Second)
		if n := c.Dropped(); n != 1 {
			t.Fatalf("%d lines were dropped, want 1", n)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		src.write(false, "", "kept")
		time.Sleep(2 * time.Second)
		want := []string{"1 lines are missing here: the server's disk was full.", "kept"}
		if diff := cmp.Diff(want, texts(read(t, s, logs.Query{}))); diff != "" {
			t.Error(diff)
		}
		if err := c.Finish(t.Context(), "a"); err != nil {
			t.Error(err)
		}
	})
}
