package git

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Limits of a path in a repository.
const (
	maxPath  = 4096 // bytes
	maxDepth = 256  // directories
)

// listing reads the entries of a commit's tree as ls-tree lists them, before any of
// them becomes a file. It ends the run that lists more than the session's limits
// allow: trees that name each other many times are small to send and endless to
// write.
type listing struct {
	session   *session
	directory string            // whose tree is looked for
	tree      string            // its id
	gitlinks  map[string]string // path -> commit of a submodule
	modules   bool              // there is a .gitmodules
	rest      []byte            // the beginning of an entry
}

// maxEntry bounds one entry of ls-tree.
const maxEntry = maxPath + 256

func (l *listing) Write(p []byte) (int, error) {
	n := len(p)
	for {
		end := bytes.IndexByte(p, 0)
		if end < 0 {
			break
		}
		entry := p[:end]
		if len(l.rest) > 0 {
			entry = append(l.rest, entry...)
			l.rest = l.rest[:0]
		}
		if err := l.entry(entry); err != nil {
			return 0, err
		}
		p = p[end+1:]
	}
	if len(l.rest)+len(p) > maxEntry {
		return 0, fail(Invalid, "%s has a path of more than %d bytes.", l.session.shown(), maxPath)
	}
	l.rest = append(l.rest, p...)
	return n, nil
}

// entry checks one entry, and counts it.
func (l *listing) entry(line []byte) error {
	e, ok := parseEntry(line)
	if !ok {
		return fmt.Errorf("git listed %.200q, which is no entry of a tree", line)
	}
	s := l.session
	if problem := checkPath(e.path); problem != "" {
		return fail(Invalid, "%s has a path that %s: %s.", s.shown(), problem, clean([]byte(e.path)))
	}
	if s.entries--; s.entries < 0 {
		return fail(TooLarge, "%s has more than %d files and directories, the limit of this server.", s.shown(), s.git.cfg.MaxFiles)
	}
	if s.bytes -= e.size; s.bytes < 0 {
		return fail(TooLarge, "The files of %s take more than %d MiB, the limit of this server.", s.shown(), s.git.cfg.MaxTree>>20)
	}
	switch {
	case e.kind == "commit":
		l.gitlinks[e.path] = e.id
	case e.kind == "tree" && e.path == l.directory:
		l.tree = e.id
	case e.kind == "blob" && e.path == gitmodules:
		l.modules = true
	}
	return nil
}

// treeEntry is an entry of a tree.
type treeEntry struct {
	kind string // blob, tree, commit
	id   string
	size int64 // of a blob
	path string
}

// parseEntry reads "<mode> <type> <id> <size>\t<path>".
func parseEntry(line []byte) (treeEntry, bool) {
	head, path, ok := strings.Cut(string(line), "\t")
	fields := strings.Fields(head)
	if !ok || len(fields) != 4 || path == "" || !commitID.MatchString(fields[2]) {
		return treeEntry{}, false
	}
	e := treeEntry{kind: fields[1], id: fields[2], path: path}
	if fields[3] != "-" {
		size, err := strconv.ParseInt(fields[3], 10, 64)
		if err != nil || size < 0 {
			return treeEntry{}, false
		}
		e.size = size
	}
	return e, e.kind == "blob" || e.kind == "tree" || e.kind == "commit"
}

// checkPath says what is wrong with a path of a repository; "" if it may become a
// file. git refuses more than this, when it checks what it received and when it
// writes.
func checkPath(path string) string {
	switch {
	case len(path) > maxPath:
		return fmt.Sprintf("is longer than %d bytes", maxPath)
	case strings.Count(path, "/") > maxDepth:
		return fmt.Sprintf("lies deeper than %d directories", maxDepth)
	case strings.HasPrefix(path, "/"):
		return "is absolute"
	}
	for part := range strings.SplitSeq(path, "/") {
		switch {
		case part == "" || part == "." || part == "..":
			return "is not clean"
		case len(part) > 255:
			return "has a name of more than 255 bytes"
		case strings.EqualFold(part, ".git"):
			return "names .git"
		}
	}
	return ""
}
