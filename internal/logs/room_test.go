package logs_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/logs"
	"github.com/openslipway/slipway/internal/room"
)

// TestReserveOfTheDisk writes lines until they are refused: half of the reserve is left.
func TestReserveOfTheDisk(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("mounting a file system needs root")
	}
	dir := t.TempDir()
	const size = 80 << 20 // a reserve of 4 MiB
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=80m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
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
