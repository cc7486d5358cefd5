package detect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
	"go.yaml.in/yaml/v4"
)

// Limits of what is read of a tree. A tree that exceeds one is not wrong: what is
// beyond is not looked at, except for a file that must be parsed.
const (
	maxParsed  = 1 << 20   // bytes of a file that is parsed
	maxTOML    = 256 << 10 // bytes of a TOML file
	maxYAML    = 256 << 10 // bytes of a YAML file
	maxBytes   = 24 << 20  // bytes of all files
	maxFiles   = 3000      // files that are read
	maxEntries = 4000      // entries of a directory; a larger one counts as data
	maxDirs    = 2000      // directories that are listed
	maxDepth   = 6         // levels below the root
)

// tree reads a source tree within limits and remembers what it read. It keeps the
// first file that can't be parsed, for callers to look at once at the end.
type tree struct {
	fsys   fs.FS
	files  map[string][]byte
	dirs   map[string][]fs.DirEntry
	bytes  int
	broken *Malformed // the first one
	cut    string     // the first limit that was reached, for a warning
}

func newTree(fsys fs.FS) *tree {
	return &tree{fsys: fsys, files: map[string][]byte{}, dirs: map[string][]fs.DirEntry{}}
}

// skipped are directories that hold no source of the tree's own.
func skipped(name string) bool {
	switch name {
	case "node_modules", "vendor", "bower_components", "__pycache__", "venv", "env", "site-packages", "target", "dist", "build", "out", "obj", "testdata", "Godeps":
		return true
	}
	return strings.HasPrefix(name, ".") && name != "."
}

// has reports whether there is a regular file, or a link to one within the tree.
func (t *tree) has(name string) bool {
	if !fs.ValidPath(name) {
		return false
	}
	i, err := fs.Stat(t.fsys, name)
	return err == nil && i.Mode().IsRegular()
}

// hasDir reports whether there is a directory.
func (t *tree) hasDir(name string) bool {
	if !fs.ValidPath(name) {
		return false
	}
	i, err := fs.Stat(t.fsys, name)
	return err == nil && i.IsDir()
}

// first returns the first of the names that is a file; "" when none is.
func (t *tree) first(names ...string) string {
	for _, n := range names {
		if t.has(n) {
			return n
		}
	}
	return ""
}

// prefix returns the first n bytes of a file, which may be larger than the limit.
func (t *tree) prefix(name string, n int) []byte {
	if !t.has(name) {
		return nil
	}
	f, err := t.fsys.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(n)))
	if err != nil {
		return nil
	}
	return data
}

// read returns the content of a file; nil when it does not exist or is not read for a
// limit.
func (t *tree) read(name string) []byte {
	if data, ok := t.files[name]; ok {
		return data
	}
	if len(t.files) >= maxFiles || t.bytes >= maxBytes {
		t.limit(fmt.Sprintf("only %d files of the tree were read", len(t.files)))
		return nil
	}
	data := t.prefix(name, maxParsed+1)
	if len(data) > maxParsed {
		t.limit(fmt.Sprintf("%s was not read: it has more than %d bytes", name, maxParsed))
		data = nil
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	t.bytes += len(data)
	t.files[name] = data
	return data
}

func (t *tree) text(name string) string { return string(t.read(name)) }

func (t *tree) limit(what string) {
	if t.cut == "" {
		t.cut = what
	}
}

// list returns the entries of a directory in order of their names. It is empty when
// there are more than maxEntries.
func (t *tree) list(dir string) []fs.DirEntry {
	if entries, ok := t.dirs[dir]; ok {
		return entries
	}
	if len(t.dirs) >= maxDirs {
		t.limit(fmt.Sprintf("only %d directories of the tree were looked at", maxDirs))
		return nil
	}
	t.dirs[dir] = nil
	f, err := t.fsys.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	d, ok := f.(fs.ReadDirFile)
	if !ok {
		return nil
	}
	entries, err := d.ReadDir(maxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	if len(entries) > maxEntries {
		t.limit(fmt.Sprintf("the directory %s was not looked at: it has more than %d entries", dir, maxEntries))
		return nil
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	t.dirs[dir] = entries
	return entries
}

// names returns the paths of the regular files in a directory whose names match a
// pattern of path.Match, in order.
func (t *tree) names(dir, pattern string) []string {
	var names []string
	for _, e := range t.list(dir) {
		if ok, _ := path.Match(pattern, e.Name()); ok && t.has(path.Join(dir, e.Name())) {
			names = append(names, path.Join(dir, e.Name()))
		}
	}
	return names
}

// subdirs returns the paths of the directories in a directory that may hold source.
// It leaves links out.
func (t *tree) subdirs(dir string) []string {
	var dirs []string
	for _, e := range t.list(dir) {
		if e.IsDir() && !skipped(e.Name()) {
			dirs = append(dirs, path.Join(dir, e.Name()))
		}
	}
	return dirs
}

// walk returns dir and the directories below it that may hold source, parents first.
func (t *tree) walk(dir string, depth int) []string {
	dirs := []string{dir}
	if depth <= 0 {
		return dirs
	}
	for _, d := range t.subdirs(dir) {
		dirs = append(dirs, t.walk(d, depth-1)...)
	}
	return dirs
}

// find returns the files below dir whose names match a pattern.
func (t *tree) find(dir string, depth int, pattern string) []string {
	var names []string
	for _, d := range t.walk(dir, depth) {
		names = append(names, t.names(d, pattern)...)
	}
	return names
}

// fail keeps the first file that can't be read.
func (t *tree) fail(m *Malformed) {
	if t.broken == nil {
		t.broken = m
	}
}

// attempt returns the mistake of what parse does, and does not keep it: for files
// whose mistakes do not stop the detection.
func (t *tree) attempt(parse func()) *Malformed {
	before := t.broken
	t.broken = nil
	parse()
	m := t.broken
	t.broken = before
	return m
}

// parse reads a file that must be parsed. It reports false when there is none, and
// keeps the mistake when it is too large.
func (t *tree) parse(name string, limit int) ([]byte, bool) {
	if !t.has(name) {
		return nil, false
	}
	data := t.read(name)
	if data == nil || len(data) > limit {
		if len(t.prefix(name, 1)) > 0 {
			t.fail(&Malformed{File: name, Problem: fmt.Sprintf("the file has more than %d bytes, so it was not read", limit)})
			return nil, false
		}
	}
	return data, true
}

// json decodes a file; false when there is none or it is malformed.
func (t *tree) json(name string, v any) bool {
	data, ok := t.parse(name, maxParsed)
	if !ok {
		return false
	}
	err := json.Unmarshal(data, v)
	if err == nil {
		return true
	}
	m := &Malformed{File: name, Problem: "this is no valid JSON: " + clean(err.Error())}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		m.Line, m.Column = position(data, int(syntax.Offset)-1)
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		m.Line, m.Column = position(data, int(wrong.Offset)-1)
		m.Problem = fmt.Sprintf("%s is a JSON %s, which it must not be", cleanOr(wrong.Field, "the document"), wrong.Value)
	}
	t.fail(m)
	return false
}

// toml decodes a file; false when there is none or it is malformed.
func (t *tree) toml(name string, v any) bool {
	data, ok := t.parse(name, maxTOML)
	if !ok {
		return false
	}
	if at := tomlTooDeep(data); at >= 0 {
		m := &Malformed{File: name, Problem: "arrays, tables or keys are nested too deeply"}
		m.Line, m.Column = position(data, at)
		t.fail(m)
		return false
	}
	_, err := toml.Decode(string(data), v)
	if err == nil {
		return true
	}
	m := &Malformed{File: name, Problem: "this is no valid TOML: " + clean(err.Error())}
	if at, ok := errors.AsType[toml.ParseError](err); ok {
		m.Line, m.Column = position(data, at.Position.Start)
		m.Problem = "this is no valid TOML: " + clean(at.Message)
	}
	t.fail(m)
	return false
}

// yaml decodes a file; false when there is none or it is malformed.
func (t *tree) yaml(name string, v any) bool {
	data, ok := t.parse(name, maxYAML)
	if !ok {
		return false
	}
	err := yaml.Unmarshal(data, v)
	if err == nil {
		return true
	}
	m := &Malformed{File: name, Problem: "this is no valid YAML: " + clean(yamlPrefix.ReplaceAllString(err.Error(), ""))}
	if at := yamlLine.FindStringSubmatch(err.Error()); at != nil {
		m.Line, _ = strconv.Atoi(at[1])
	}
	t.fail(m)
	return false
}

var (
	yamlLine   = regexp.MustCompile(`line (\d+)`)
	yamlPrefix = regexp.MustCompile(`^yaml: (?:line \d+: )?`)
)

// position returns the line and column of an offset, from 1; the column is counted in
// characters.
func position(data []byte, offset int) (line, column int) {
	offset = max(0, min(offset, len(data)))
	before := data[:offset]
	line = 1 + bytes.Count(before, []byte("\n"))
	start := bytes.LastIndexByte(before, '\n') + 1
	return line, 1 + utf8.RuneCount(before[start:])
}

// clean makes foreign text fit for a message: one line, printable, not long.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\r' {
			return ' '
		}
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	const most = 160
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "..."
	}
	return s
}

func cleanOr(s, otherwise string) string {
	if s = clean(s); s == "" {
		return otherwise
	}
	return s
}
