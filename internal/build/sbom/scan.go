package sbom

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/image/pack"
)

// Bounds of a scan.
const (
	maxEntries    = 1_000_000 // files and directories
	maxDepth      = 64        // directories in directories
	maxFile       = 16 << 20  // bytes read of one file
	maxBytes      = 256 << 20 // bytes read of all
	maxComponents = 50_000
	maxBinaries   = 200 // programs that are searched for what the Go compiler wrote
	maxTime       = 10 * time.Second
)

// Result is what a scan found.
type Result struct {
	Components []Component
	Partial    bool // a bound was met
}

// Scan lists the packages in layers, top first: directories in the form that overlayfs
// takes. What an upper layer hides is not listed. base says that the layers are those
// of a runtime, whose programs are not searched one by one.
//
// Nobody may change the layers meanwhile. An error means that ctx ended or that a
// layer cannot be read.
func Scan(ctx context.Context, layers []string, base bool) (Result, error) {
	s := &scan{ctx: ctx, end: time.Now().Add(maxTime), base: base, hidden: map[string]bool{}, seen: map[string]bool{}}
	for _, dir := range layers {
		s.layer = dir
		if err := s.walk("", 0); err != nil {
			return Result{}, err
		}
		// What this layer hides counts for those below it only.
		for _, name := range s.hides {
			s.hidden[name] = true
		}
		s.hides = nil
	}
	return Result{sortComponents(s.preferInstalled()), s.partial}, nil
}

// Join joins the results of scans of layers that lie on each other. Of a package that
// several have, the first counts.
func Join(list ...Result) Result {
	var r Result
	for _, o := range list {
		r.Components = append(r.Components, o.Components...)
		r.Partial = r.Partial || o.Partial
	}
	r.Components = sortComponents(r.Components)
	return r
}

type scan struct {
	ctx   context.Context //nolint:containedctx // lives for one scan
	end   time.Time
	base  bool
	layer string

	hidden map[string]bool // paths that upper layers have deleted or made opaque
	hides  []string        // those of this layer
	seen   map[string]bool // files that were read in an upper layer

	entries, bytes, binaries int
	found                    []Component
	partial                  bool
}

// uninteresting directories are large and hold no records of packages.
var uninteresting = []string{
	"proc", "sys", "dev", "run", "tmp", "boot", "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/zoneinfo", "usr/include", "var/cache",
	"var/lib/apt", "var/log", "var/tmp",
}

// walk looks into a directory, "" for the root of the layer.
func (s *scan) walk(dir string, depth int) error {
	if err := s.ctx.Err(); err != nil {
		return context.Cause(s.ctx)
	}
	if depth > maxDepth || time.Now().After(s.end) {
		s.partial = true
		return nil
	}
	list, err := os.ReadDir(s.layer + "/" + dir)
	if err != nil {
		if depth > 0 && (errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENAMETOOLONG)) {
			s.partial = true
			return nil
		}
		return err
	}
	listed := isListed(dir, list)
	for _, e := range list {
		name := path.Join(dir, e.Name())
		if s.entries++; s.entries > maxEntries || len(s.found) > maxComponents {
			s.partial = true
			return nil
		}
		switch {
		case s.isHidden(name) || slices.Contains(uninteresting, name):
		case e.IsDir():
			if opaque, err := pack.IsOpaque(s.layer + "/" + name); err == nil && opaque {
				s.hides = append(s.hides, name+"/")
			}
			if listed {
				continue
			}
			if err := s.walk(name, depth+1); err != nil {
				return err
			}
		case e.Type().IsRegular():
			s.file(name, e)
		case e.Type()&fs.ModeCharDevice != 0:
			s.hides = append(s.hides, name)
		}
	}
	return nil
}

// isHidden reports whether an upper layer hides a path of this one.
func (s *scan) isHidden(name string) bool {
	if s.seen[name] {
		return true
	}
	if len(s.hidden) == 0 {
		return false
	}
	if s.hidden[name] {
		return true
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if s.hidden[dir] || s.hidden[dir+"/"] {
			return true
		}
	}
	return false
}

// isListed reports whether a directory is a node_modules of which npm has left a list,
// which makes it unnecessary to look at each package.
func isListed(dir string, list []fs.DirEntry) bool {
	return path.Base(dir) == "node_modules" &&
		slices.ContainsFunc(list, func(e fs.DirEntry) bool { return e.Name() == npmList && e.Type().IsRegular() })
}

// file reads a file that says something about packages.
func (s *scan) file(name string, e fs.DirEntry) {
	parse, most := parserOf(name)
	if parse == nil && !s.base {
		s.program(name, e)
		return
	}
	if parse == nil {
		return
	}
	data, err := s.read(name, most)
	if err != nil {
		s.partial = true
		return
	}
	s.seen[name] = true
	s.add(name, parse(name, data))
}

func (s *scan) add(name string, list []Component) {
	for _, c := range list {
		if !c.valid() {
			continue
		}
		if len(s.found) >= maxComponents {
			s.partial = true
			return
		}
		c.Found = "/" + name
		s.found = append(s.found, c)
	}
}

// open opens a file of the layer, which is none of ours.
func (s *scan) open(name string) (*os.File, error) {
	return os.OpenFile(s.layer+"/"+name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
}

// errTooLarge is returned for a file that is not read to its end.
var errTooLarge = errors.New("the file is too large")

// read reads a file of at most so many bytes; of one that is larger and whose beginning
// is enough, most is negative.
func (s *scan) read(name string, most int) ([]byte, error) {
	f, err := s.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	bound := max(most, -most)
	data, err := io.ReadAll(io.LimitReader(f, int64(bound)+1))
	if s.bytes += len(data); s.bytes > maxBytes {
		return nil, errTooLarge
	}
	if len(data) > bound {
		if most > 0 {
			return nil, errTooLarge
		}
		data = data[:bound]
	}
	return data, err
}

// program looks for what compilers and packagers have left in a program or an archive.
func (s *scan) program(name string, e fs.DirEntry) {
	fi, err := e.Info()
	if err != nil || fi.Size() == 0 {
		return
	}
	isJar := strings.HasSuffix(name, ".jar") || strings.HasSuffix(name, ".war")
	if !isJar && (fi.Mode()&0o111 == 0 || fi.Size() < 64<<10) {
		return
	}
	f, err := s.open(name)
	if err != nil {
		return
	}
	defer f.Close()
	if isJar {
		list, err := jar(f, fi.Size(), path.Base(name))
		if err != nil {
			s.partial = true
		}
		s.seen[name] = true
		s.add(name, list)
		return
	}
	var magic [4]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil || !bytes.Equal(magic[:], []byte("\x7fELF")) {
		return
	}
	if s.binaries++; s.binaries > maxBinaries {
		s.partial = true
		return
	}
	if list := goProgram(f); len(list) > 0 {
		s.seen[name] = true
		s.add(name, list)
	}
}

// preferInstalled drops what lock files declare of a language whose packages are found
// installed: a lock file also has what is not installed.
func (s *scan) preferInstalled() []Component {
	installed := map[string]bool{}
	for _, c := range s.found {
		if !c.Declared {
			installed[c.Type] = true
		}
	}
	return slices.DeleteFunc(s.found, func(c Component) bool { return c.Declared && installed[c.Type] })
}
