package pack_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/openslipway/slipway/internal/image/pack"
	"github.com/openslipway/slipway/internal/image/unpack"
)

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("makes whiteouts and files of other owners: needs root")
	}
}

// must fails a test of the calls that make its files.
func must(t interface{ Fatal(...any) }, errs ...error) {
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// write makes a regular file whose modification time has a fraction.
func write(path, text string, mode uint32, uid, gid int) error {
	return errors.Join(
		os.WriteFile(path, []byte(text), 0o600),
		os.Chown(path, uid, gid), unix.Chmod(path, mode),
		os.Chtimes(path, time.Time{}, time.Unix(1700000000, 999_999_999)),
	)
}

// entries lists a tar, one line each.
func entries(t *testing.T, dir string) (lines []string) {
	t.Helper()
	var b bytes.Buffer
	must(t, pack.Write(t.Context(), &b, dir))
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if err == io.EOF {
			return lines
		}
		must(t, err)
		text, err := io.ReadAll(r)
		must(t, err)
		line := fmt.Sprintf("%c %s %04o %d:%d @%d", h.Typeflag, h.Name, h.Mode, h.Uid, h.Gid, h.ModTime.UnixNano())
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		}
		if len(text) > 0 {
			line += fmt.Sprintf(" %q", text)
		}
		for key, value := range h.PAXRecords {
			line += fmt.Sprintf(" %s=%q", key, value)
		}
		lines = append(lines, line)
	}
}

// TestEntries has one of everything that a layer may hold.
func TestEntries(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	must(t,
		write(at("z"), "last", 0o4755, 12, 34), os.Link(at("z"), at("m-link")),
		os.Symlink("../out", at("link")), unix.Mkfifo(at("pipe"), 0o622), os.Chmod(at("pipe"), 0o622),
		unix.Mknod(at("gone"), unix.S_IFCHR, 0), unix.Mknod(at("device"), unix.S_IFCHR, int(unix.Mkdev(1, 3))),
		unix.Bind(fd, &unix.SockaddrUnix{Name: at("socket")}),
		os.Mkdir(at("dir"), 0o711), pack.SetOpaque(at("dir")), os.Mkdir(at("dir-b"), 0o755), write(at("dir/f"), "x", 0o644, 0, 0),
		unix.Lsetxattr(at("dir/f"), "trusted.note", []byte("dropped"), 0),
	)
	for _, name := range []string{"link", "pipe", "dir", "dir-b"} {
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, at(name), []unix.Timespec{{Sec: 5}, {Sec: 7, Nsec: 1}}, unix.AT_SYMLINK_NOFOLLOW))
	}
	want := []string{
		"5 dir/ 0711 0:0 @7000000000", "0 dir/.wh..wh..opq 0000 0:0 @0", `0 dir/f 0644 0:0 @1700000000000000000 "x"`,
		"5 dir-b/ 0755 0:0 @7000000000",
		"0 .wh.gone 0000 0:0 @0",
		"2 link 0777 0:0 @7000000000 -> ../out",
		`0 m-link 4755 12:34 @1700000000000000000 "last"`,
		"6 pipe 0622 0:0 @7000000000",
		"1 z 4755 12:34 @1700000000000000000 -> m-link",
	}
	if diff := cmp.Diff(want, entries(t, dir)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	l, err := pack.Digest(t.Context(), dir)
	must(t, err)
	var b bytes.Buffer
	must(t, pack.Write(t.Context(), &b, dir))
	if sum := fmt.Sprintf("sha256:%x", sha256.Sum256(b.Bytes())); l.DiffID != sum || l.Size != int64(b.Len()) || l.Entries != len(want) {
		t.Errorf("the layer is %+v, but its tar has %d bytes and %s", l, b.Len(), sum)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, ".wh.x"), nil, 0o600))
	if _, err := pack.Digest(t.Context(), dir); err == nil || !strings.Contains(err.Error(), `".wh.x"`) {
		t.Errorf("a file that looks like a whiteout was packed: %v", err)
	}
	if _, err := pack.Digest(t.Context(), filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that does not exist was packed: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pack.Digest(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled, it returned %v", err)
	}
}

// TestRoundTrip checks that unpacking a directory's tar gives a directory with
// the same tar.
func TestRoundTrip(t *testing.T) {
	needRoot(t)
	t.Parallel()
	base := t.TempDir()
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		dir, again := filepath.Join(base, fmt.Sprint(n, "a")), filepath.Join(base, fmt.Sprint(n, "b"))
		must(r, os.Mkdir(dir, 0o755), os.Mkdir(again, 0o755))
		grow(r, dir)
		var b bytes.Buffer
		must(r, pack.Write(context.Background(), &b, dir))
		sum := sha256.Sum256(b.Bytes())
		digest := fmt.Sprintf("sha256:%x", sum)
		limits := unpack.Limits{Bytes: 1 << 30, Entries: 1000, Ratio: 1000, Slack: 1 << 30}
		_, err := unpack.Layer(context.Background(), bytes.NewReader(b.Bytes()), unpack.Digests{Blob: digest, Diff: digest},
			again, unpack.Below{Known: true}, limits.Budget(int64(b.Len()), nil), slog.New(slog.DiscardHandler))
		must(r, err)
		l, err := pack.Digest(context.Background(), again)
		must(r, err)
		if l.DiffID != digest {
			r.Errorf("%s became %s", digest, l.DiffID)
		}
	})
}

// grow fills a directory with files of any kind and name.
func grow(r *rapid.T, dir string) {
	dirs, files := []string{dir}, []string(nil)
	name := rapid.StringMatching(`[a-z.é -]{1,4}|[a-z]{90,120}`).Filter(func(s string) bool {
		return s != "." && s != ".." && !strings.HasPrefix(s, ".wh.")
	})
	id := rapid.IntRange(0, 65535)
	for range rapid.IntRange(0, 12).Draw(r, "entries") {
		path := filepath.Join(rapid.SampledFrom(dirs).Draw(r, "in"), name.Draw(r, "name"))
		if _, err := os.Lstat(path); err == nil || slices.Contains(files, path) {
			continue
		}
		mode := rapid.Uint32Range(0, 0o7777).Draw(r, "mode")
		switch rapid.SampledFrom([]string{"dir", "opaque", "file", "link", "symlink", "fifo", "whiteout"}).Draw(r, "kind") {
		case "dir":
			must(r, os.Mkdir(path, 0o755), os.Lchown(path, id.Draw(r, "uid"), 0), unix.Chmod(path, mode))
			dirs = append(dirs, path)
		case "opaque":
			must(r, os.Mkdir(path, 0o755), pack.SetOpaque(path))
			dirs = append(dirs, path)
		case "file":
			must(r, write(path, rapid.String().Draw(r, "text"), mode, id.Draw(r, "uid"), id.Draw(r, "gid")))
			files = append(files, path)
		case "link":
			if len(files) > 0 {
				must(r, os.Link(rapid.SampledFrom(files).Draw(r, "of"), path))
			}
		case "symlink":
			must(r, os.Symlink(rapid.StringMatching(`[a-z/.]{1,150}`).Draw(r, "target"), path), os.Lchown(path, id.Draw(r, "uid"), 0))
		case "fifo":
			must(r, unix.Mkfifo(path, 0o600), unix.Chmod(path, mode))
		case "whiteout":
			must(r, unix.Mknod(path, unix.S_IFCHR, 0))
		}
	}
}
