package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"golang.org/x/sys/unix"
)

// buildah builds the same commands on the same root file systems.
type buildah struct {
	dir   string
	bases map[types.Runtime]*bareRoot
	env   []string
	n     int
}

// newBuildah makes an image of each runtime. Its error says why there is no buildah.
func newBuildah(ctx context.Context, l *lab, bases map[types.Runtime]*bareRoot) (*buildah, error) {
	if _, err := exec.LookPath("buildah"); err != nil {
		return nil, errors.New("apt-get install buildah")
	}
	b := &buildah{dir: filepath.Join(l.dir, "buildah"), bases: bases}
	b.env = append(os.Environ(), "STORAGE_DRIVER=overlay", "BUILDAH_ISOLATION=chroot")
	for runtime, root := range bases {
		if err := b.importRoot(ctx, runtime, root); err != nil {
			return nil, errors.Join(err, b.close())
		}
	}
	return b, nil
}

func (b *buildah) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "buildah", append([]string{"--root", b.dir + "/root", "--runroot", b.dir + "/run"}, args...)...)
	cmd.Env = b.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return out, fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return out, nil
}

// baseName is the name of a runtime's image.
func baseName(runtime types.Runtime) string {
	return "localhost/bench-" + strings.ToLower(strings.ReplaceAll(string(runtime), "_", "-"))
}

// importRoot makes an image of a runtime's files.
func (b *buildah) importRoot(ctx context.Context, runtime types.Runtime, root *bareRoot) error {
	out, err := b.run(ctx, "from", "scratch")
	if err != nil {
		return err
	}
	container := lastLine(out)
	if out, err = b.run(ctx, "mount", container); err != nil {
		return err
	}
	target := lastLine(out)
	if err := b.copyLayers(ctx, root, target); err != nil {
		return err
	}
	for _, args := range [][]string{{"umount", container}, {"commit", "-q", container, baseName(runtime)}, {"rm", container}} {
		if _, err := b.run(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// copyLayers copies what a runtime's layers show together.
func (b *buildah) copyLayers(ctx context.Context, root *bareRoot, target string) error {
	source := root.layers[0]
	if len(root.layers) > 1 {
		source = filepath.Join(b.dir, "merged")
		if err := os.MkdirAll(source, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("overlay", source, "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(root.layers, ":")); err != nil {
			return fmt.Errorf("mount a runtime: %w", err)
		}
		defer unix.Unmount(source, unix.MNT_DETACH)
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", source+"/.", target).CombinedOutput(); err != nil {
		return fmt.Errorf("copy a runtime: %w\n%s", err, out)
	}
	return nil
}

func lastLine(out []byte) string {
	lines := strings.Split(string(bytes.TrimSpace(out)), "\n")
	return lines[len(lines)-1]
}

// build builds a project from its work tree, with the caches that it keeps beside its
// images. Only the build is timed.
func (b *buildah) build(ctx context.Context, p *project) (time.Duration, error) {
	root := b.bases[p.runtime]
	var file strings.Builder
	fmt.Fprintf(&file, "FROM %s\nCOPY . /app\nWORKDIR /app\n", baseName(p.runtime))
	for _, kv := range root.env {
		name, value, _ := strings.Cut(kv, "=")
		fmt.Fprintf(&file, "ENV %s=%q\n", name, value)
	}
	fmt.Fprintf(&file, "RUN %s\n", p.build)
	caches, ca := filepath.Join(b.dir, "caches-"+p.name), root.root+"/run/slipway"
	path := filepath.Join(b.dir, "Dockerfile-"+p.name)
	if err := errors.Join(os.MkdirAll(caches, 0o755), os.WriteFile(path, []byte(file.String()), 0o644), os.WriteFile(filepath.Join(b.dir, "ignore"), []byte(".git\n"), 0o644)); err != nil {
		return 0, err
	}
	args := []string{"bud", "-q", "--layers=false", "--network", "host", "--ignorefile", filepath.Join(b.dir, "ignore"), "-v", caches + ":" + cachesIn, "-f", path}
	if _, err := os.Stat(ca); err == nil {
		args = append(args, "-v", ca+":/run/slipway:ro")
	}
	b.n++
	name := fmt.Sprintf("localhost/built-%d", b.n)
	began := time.Now()
	if _, err := b.run(ctx, append(args, "-t", name, p.dir)...); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}

// close removes all that it has made.
func (b *buildah) close() error {
	_, err := b.run(context.Background(), "rm", "--all")
	if _, rerr := b.run(context.Background(), "rmi", "--all", "--force"); rerr != nil {
		err = errors.Join(err, rerr)
	}
	unmount := exec.Command("umount", b.dir+"/root/overlay") // the driver mounts its directory
	unmount.Run()                                            //nolint:errcheck // it need not be mounted
	return errors.Join(err, os.RemoveAll(b.dir))
}
