package imagetest

import (
	"archive/tar"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// shellTools are the programs in the image of Shell, beside sh and what is built into it.
var shellTools = []string{
	"cat", "chmod", "chown", "cp", "dd", "env", "find", "grep", "head", "id", "ln", "ls", "mkdir", "mknod", "mount", "mv", "rm", "sed", "sleep",
	"sort", "stat", "tar", "touch", "wc",
}

// Shell returns an image with the shell and the common tools of this machine, for tests
// that run commands: a base image that needs no registry. It has the users root and
// app (1000). Without options it starts sh.
func Shell(tb testing.TB, o Options) v1.Image {
	tb.Helper()
	files := []File{
		Dir("usr/", 0o755), Dir("usr/bin/", 0o755), Dir("usr/lib/", 0o755), Dir("usr/lib64/", 0o755),
		Symlink("bin", "usr/bin"), Symlink("lib", "usr/lib"), Symlink("lib64", "usr/lib64"),
		Dir("etc/", 0o755), Dir("tmp/", 0o1777), Dir("root/", 0o700), Dir("var/", 0o755), Symlink("var/run", "/run"), Dir("run/", 0o755),
		Text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"),
		Text("etc/group", "root:x:0:\napp:x:1000:\nweb:x:2000:app\n"),
	}
	var libraries []string
	for _, name := range append([]string{"sh"}, shellTools...) {
		path, err := exec.LookPath(name)
		if err != nil {
			tb.Skipf("this machine has no %s to make an image of", name)
		}
		real, err := filepath.EvalSymlinks(path)
		check(tb, err)
		body, err := os.ReadFile(real)
		check(tb, err)
		files = append(files, Exec("usr/bin/"+name, body))
		libraries = append(libraries, linked(real)...)
	}
	slices.Sort(libraries)
	for _, name := range slices.Compact(libraries) {
		real, err := filepath.EvalSymlinks(name)
		check(tb, err)
		body, err := os.ReadFile(real)
		check(tb, err)
		to := strings.TrimPrefix(name, "/")
		if !strings.HasPrefix(to, "usr/") {
			to = "usr/" + to
		}
		for _, dir := range above(to) {
			if !slices.ContainsFunc(files, func(f File) bool { return f.Header.Name == dir }) {
				files = append(files, Dir(dir, 0o755))
			}
		}
		files = append(files, File{Header: tar.Header{Name: to, Mode: 0o755}, Body: body})
	}
	if len(o.Entrypoint) == 0 && len(o.Cmd) == 0 {
		o.Cmd = []string{"/bin/sh"}
	}
	o.Files = append(files, o.Files...)
	return Image(tb, o)
}

// above returns the directories above a file.
func above(name string) (list []string) {
	for i, c := range name {
		if c == '/' {
			list = append(list, name[:i+1])
		}
	}
	return list
}

// linked returns the shared libraries of a program, none for a static one.
func linked(program string) (paths []string) {
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(out)) {
		for _, f := range strings.Fields(line) {
			if strings.HasPrefix(f, "/") {
				paths = append(paths, f)
				break
			}
		}
	}
	return paths
}
