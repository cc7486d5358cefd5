package daemon

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOwnerError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode        fs.FileMode
		owner, user uint32
		want        string // in the error; "" for none
	}{
		{0o600, 0, 0, ""},
		{0o644, 0, 0, ""},
		{fs.ModeDir | 0o755, 0, 0, ""},
		{fs.ModeDir | fs.ModeSticky | 0o777, 0, 0, ""},
		{0o600, 7, 7, ""},
		{0o600, 0, 7, ""},
		{0o600, 7, 0, "chown"},
		{fs.ModeDir | 0o700, 7, 0, "id 7"},
		{fs.ModeDir | fs.ModeSticky | 0o777, 7, 0, "chown"},
		{0o620, 0, 0, "chmod"},
		{0o602, 0, 0, "chmod"},
		{fs.ModeSticky | 0o606, 0, 0, "chmod"},
		{fs.ModeDir | 0o770, 0, 0, "chmod"},
		{fs.ModeDir | 0o777, 0, 0, "-rwxrwxrwx"},
	} {
		err := ownerError("the file", "/x", c.mode, c.owner, c.user)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s of %d for %d: %v, want %q", c.mode, c.owner, c.user, err, c.want)
		}
	}
}

// TestForeignDirectories starts a server on directories and key files that others own or
// may write.
func TestForeignDirectories(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("files of others need root")
	}
	dir := t.TempDir()
	make := func(name string, mode fs.FileMode, uid int) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, uid, uid); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for path, good := range map[string]bool{
		make("good", 0o600, 0): true, make("foreign", 0o600, 12345): false, make("written", 0o666, 0): false, filepath.Join(dir, "missing"): true,
	} {
		if err := checkKeyOwner(path); (err == nil) != good {
			t.Errorf("%s: %v", path, err)
		}
	}
	foreign := dirs(filepath.Join(dir, "data"))
	if err := foreign.make(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(string(foreign), 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if err := foreign.make(); err == nil || !strings.Contains(err.Error(), "12345") {
		t.Errorf("another's data directory: %v", err)
	}
	if err := checkKeyOwner(filepath.Join(string(foreign), "master.key")); err == nil {
		t.Error("a key file in another's directory passes")
	}
}
