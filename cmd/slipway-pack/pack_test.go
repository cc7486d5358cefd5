package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tree makes a directory with a program, whose files are younger each time.
func tree(t *testing.T, parent string) string {
	t.Helper()
	dir := filepath.Join(parent, "slipway-v1")
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"bin/slipway": 0o711, "README.md": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("the content of "+name), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Equal files give equal bytes, whatever their times and the umask of who made them.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	control := t.TempDir()
	if err := os.WriteFile(filepath.Join(control, "control"), []byte("Package: slipway\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"tar", "zip", "deb", "sbom"} {
		var written [][]byte
		for range 2 {
			parent := t.TempDir()
			dir, out := tree(t, parent), filepath.Join(parent, "out")
			old := time.Unix(int64(1000*len(written)), 0)
			if err := os.Chtimes(filepath.Join(dir, "README.md"), old, old); err != nil {
				t.Fatal(err)
			}
			if err := run([]string{kind, "-out", out, "-time", "1700000000", "-control", control, dir}); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			written = append(written, b)
		}
		if !bytes.Equal(written[0], written[1]) {
			t.Errorf("%s: equal files give other bytes", kind)
		}
	}
}

// A tar has root's files, readable by all.
func TestTar(t *testing.T) {
	t.Parallel()
	b, err := tarball(tree(t, t.TempDir()), time.Unix(1700000000, 0))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Uname != "root" || h.ModTime.Unix() != 1700000000 {
			t.Errorf("%s is %s's, of %v", h.Name, h.Uname, h.ModTime)
		}
		got = append(got, h.FileInfo().Mode().String()+" "+h.Name)
	}
	want := "drwxr-xr-x slipway-v1/, -rw-r--r-- slipway-v1/README.md, drwxr-xr-x slipway-v1/bin/, -rwxr-xr-x slipway-v1/bin/slipway"
	if strings.Join(got, ", ") != want {
		t.Errorf("the tar has %v, want %s", got, want)
	}
}

// Links are refused: what they lead to is not in the package.
func TestLinksAreRefused(t *testing.T) {
	t.Parallel()
	dir := tree(t, t.TempDir())
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"tar", "-out", filepath.Join(t.TempDir(), "out"), dir}); err == nil || !strings.Contains(err.Error(), "link") {
		t.Errorf("a link: %v", err)
	}
}

// dpkg-deb reads a package, and finds what was put into it.
func TestDebianPackage(t *testing.T) {
	t.Parallel()
	reader, err := exec.LookPath("dpkg-deb")
	if err != nil {
		t.Skip("this machine has no dpkg-deb")
	}
	control, out := t.TempDir(), filepath.Join(t.TempDir(), "slipway.deb")
	if err := os.WriteFile(filepath.Join(control, "control"), []byte("Package: slipway\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"deb", "-out", out, "-control", control, tree(t, t.TempDir())}); err != nil {
		t.Fatal(err)
	}
	text, err := exec.CommandContext(t.Context(), reader, "--info", out).CombinedOutput()
	if err != nil || !strings.Contains(string(text), "Installed-Size: 2") {
		t.Errorf("--info: %v\n%s", err, text)
	}
	text, err = exec.CommandContext(t.Context(), reader, "--contents", out).CombinedOutput()
	if err != nil || !strings.Contains(string(text), "-rwxr-xr-x root/root") || !strings.Contains(string(text), "./bin/slipway") {
		t.Errorf("--contents: %v\n%s", err, text)
	}
}
