package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/image/pack"
	"github.com/openslipway/slipway/internal/source/config"
)

// split separates what a stage changed in /app from what it changed elsewhere, and says
// in the log what the latter is.
func (r *run) split(ctx context.Context, below []image.NewLayer, l image.NewLayer) (built, error) {
	list, err := os.ReadDir(l.Dir)
	if err != nil {
		return built{}, err
	}
	outside := image.NewLayer{Dir: l.Dir + "-outside"}
	moved := false
	for _, e := range list {
		if e.Name() == "app" {
			if !e.IsDir() {
				return built{}, slipway.Errorf(slipway.InvalidRequest, "The build removed or replaced /app. What is deployed must be in the directory /app.")
			}
			continue
		}
		if !moved {
			if err := os.Mkdir(outside.Dir, 0o755); err != nil {
				return built{}, err
			}
			moved = true
		}
		if err := os.Rename(filepath.Join(l.Dir, e.Name()), filepath.Join(outside.Dir, e.Name())); err != nil {
			return built{}, err
		}
	}
	kept, err := pack.Digest(ctx, l.Dir)
	if err != nil {
		return built{}, mistake(err)
	}
	l.DiffID, l.Size, l.Entries = kept.DiffID, kept.Size, kept.Entries
	if !moved {
		all := append(slices.Clone(below), l)
		return built{all, all}, nil
	}
	app := slices.Clone(below)
	if l.Entries > 0 {
		app = append(app, l)
	}
	if r.runtime.Kind == config.RevisedBuild { // in an original build, the build commands run again in the run image
		for _, line := range r.outsideLines(outside.Dir) {
			r.log.say(line)
		}
	}
	return built{all: append(slices.Clone(app), outside), app: app}, nil
}

// noise is what package managers and tools leave behind: nobody misses it.
var noise = []string{
	"dev", "proc", "run", "sys", "tmp", "root/.bash_history", "root/.bundle/cache", "root/.cache", "root/.config", "root/.composer", "root/.gradle",
	"root/.java", "root/.local/share/gem", "root/.m2", "root/.node-gyp", "root/.npm", "root/.wget-hsts", "root/.yarn", "root/go",
	"var/cache", "var/lib/apt", "var/lib/dpkg", "var/log", "var/tmp", "etc/ld.so.cache",
}

// place is a directory with files that are not deployed.
type place struct {
	path  string
	files int
	bytes int64
}

// maxPlaces is how many places the log names.
const maxPlaces = 8

// outsideLines says what a build stage wrote outside /app.
func (r *run) outsideLines(dir string) []string {
	places, err := outsideOf(dir)
	if err != nil {
		r.b.log.Warn("cannot list what a build wrote outside /app", "err", err)
	}
	if len(places) == 0 {
		return nil
	}
	lines := []string{"Not deployed, because the run image gets only /app of the build stage:"}
	for i, p := range places {
		if i == maxPlaces {
			lines = append(lines, fmt.Sprintf("  and %d places more", len(places)-i))
			break
		}
		lines = append(lines, fmt.Sprintf("  %s (%d files, %s)", p.path, p.files, bytesText(p.bytes)))
	}
	return append(lines, "If the application needs it, install it into /app or by a pre-run command; "+
		"or set the tag slipway:build-mode to keep, which deploys all of the build stage.")
}

// outsideOf returns the places with files in a directory of changes, most bytes first.
// A directory with nothing but one directory is named by the latter.
func outsideOf(dir string) ([]place, error) {
	byPath := map[string]*place{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || name == dir {
			return nil
		}
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(name, dir+"/")
		if slices.Contains(noise, rel) {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if e.IsDir() || e.Type()&(fs.ModeDevice|fs.ModeCharDevice) != 0 { // a device is a deleted file
			return nil
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		at := placeOf(rel)
		p := byPath[at]
		if p == nil {
			p = &place{path: at}
			byPath[at] = p
		}
		p.files++
		p.bytes += fi.Size()
		return nil
	})
	var list []place
	for _, p := range byPath {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b place) int {
		if a.bytes != b.bytes {
			return int(min(max(b.bytes-a.bytes, -1), 1))
		}
		return strings.Compare(a.path, b.path)
	})
	return list, err
}

// placeOf returns the directory by which a file is named: three levels deep, or down to
// where libraries of a language are.
func placeOf(rel string) string {
	parts := strings.Split(path.Dir(rel), "/")
	for i, p := range parts {
		switch p {
		case "site-packages", "dist-packages", "node_modules", "gems", "bin":
			return "/" + path.Join(parts[:i+1]...)
		}
	}
	return "/" + path.Join(parts[:min(len(parts), 3)]...)
}
