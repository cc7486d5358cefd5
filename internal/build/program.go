package build

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/image/pack"
)

// program makes an image of the static program that the build stage has made. When it
// has made none, the image stays what it is: the runtime with all of the build stage.
func (r *run) program(ctx context.Context, a *image.Adoption) error {
	name := path.Join(r.r.dir(), r.r.Program)
	f, why := r.static(a.Layers, strings.TrimPrefix(name, "/"))
	if why != "" {
		r.log.say(fmt.Sprintf("%s %s: it is deployed with its runtime.", r.r.Program, why))
		return nil
	}
	defer f.Close()
	base, err := r.b.cfg.Runtimes.Slim(ctx, r.runtime)
	if err != nil {
		return err
	}
	dir := filepath.Join(r.dir, "program")
	size, err := r.copyProgram(f, filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("take the program: %w", err)
	}
	l, err := pack.Digest(ctx, dir)
	if err != nil {
		return err
	}
	r.log.say(fmt.Sprintf("%s is a static program of %s: it is deployed alone, with certificates and time zones. Its start command runs without a shell.", r.r.Program, bytesText(size)))
	a.Base = base
	a.Layers = []image.NewLayer{{Dir: dir, DiffID: l.DiffID, Size: l.Size, Entries: l.Entries, By: "slipway build: program"}}
	a.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	a.Config.Labels[image.LabelShell] = image.NoShell
	return nil
}

// static opens a static program of the layers; why says what it is instead. What a build
// wrote is foreign: no link is followed.
func (r *run) static(layers []image.NewLayer, name string) (f *os.File, why string) {
	for _, l := range slices.Backward(layers) {
		root, err := os.OpenRoot(l.Dir)
		if err != nil {
			return nil, "cannot be read"
		}
		st, err := root.Lstat(name)
		if err != nil {
			root.Close()
			continue
		}
		if !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
			root.Close()
			return nil, "is not an executable file"
		}
		f, err := root.Open(name)
		root.Close()
		if err != nil {
			return nil, "cannot be read"
		}
		if !isStatic(f) {
			f.Close()
			return nil, "is not a static program"
		}
		return f, ""
	}
	return nil, "was not made by the build"
}

// isStatic reports whether a file is a program that needs no interpreter.
func isStatic(f io.ReaderAt) bool {
	e, err := elf.NewFile(f)
	return err == nil && (e.Type == elf.ET_EXEC || e.Type == elf.ET_DYN) &&
		!slices.ContainsFunc(e.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}

// copyProgram copies a program to a path, below directories that it makes.
func (r *run) copyProgram(f *os.File, to string) (size int64, err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return 0, err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return 0, err
	}
	size, err = io.Copy(out, f)
	if err = errors.Join(err, out.Close()); err != nil || r.r.Time.IsZero() {
		return size, err
	}
	c := cleaner{at: r.r.Time}
	for p := to; p != filepath.Join(r.dir, "program"); p = filepath.Dir(p) {
		if err := c.owner(p, 0o755); err != nil {
			return size, err
		}
	}
	return size, nil
}
