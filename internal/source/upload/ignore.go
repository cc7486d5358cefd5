package upload

import (
	"regexp"
	"slices"
	"strings"
)

// rule is a line of an ignore file.
type rule struct {
	match   *regexp.Regexp // of a path below the directory of the file
	negated bool           // what matches is not ignored after all
	dirs    bool           // only directories match
}

// maxPattern bounds a line of an ignore file, in bytes. Longer ones match nothing.
const maxPattern = 1024

// parseGitignore reads the lines of a .gitignore file. The grammar is git's:
// https://git-scm.com/docs/gitignore#_pattern_format
func parseGitignore(text string) []rule {
	var rules []rule
	for line := range strings.Lines(text) {
		line = trimPattern(strings.TrimRight(line, "\r\n"))
		if line == "" || line[0] == '#' || len(line) > maxPattern {
			continue
		}
		var r rule
		line, r.negated = strings.CutPrefix(line, "!")
		line, r.dirs = strings.CutSuffix(line, "/")
		prefix := ""
		if !strings.Contains(line, "/") {
			prefix = "(?:.*/)?" // at any depth
		}
		if r.match = glob(prefix, strings.TrimPrefix(line, "/")); r.match != nil {
			rules = append(rules, r)
		}
	}
	return rules
}

// trimPattern removes spaces at the end, unless a backslash is before them.
func trimPattern(line string) string {
	for strings.HasSuffix(line, " ") && !strings.HasSuffix(line, "\\ ") {
		line = line[:len(line)-1]
	}
	return line
}

// parseDockerignore reads the lines of a .dockerignore file, whose patterns all
// begin at the root: https://docs.docker.com/build/concepts/context/#syntax
func parseDockerignore(text string) []rule {
	var rules []rule
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || len(line) > maxPattern {
			continue
		}
		var r rule
		line, r.negated = strings.CutPrefix(line, "!")
		line = strings.Trim(strings.TrimPrefix(strings.TrimSpace(line), "./"), "/")
		if line == "" || line == "." {
			continue
		}
		if r.match = glob("", line); r.match != nil {
			rules = append(rules, r)
		}
	}
	return rules
}

// glob compiles a pattern with *, ?, [...], ** and backslashes; nil if it is none.
func glob(prefix, pattern string) *regexp.Regexp {
	if pattern == "" {
		return nil
	}
	var b strings.Builder
	b.WriteString("^(?s:" + prefix)
	for i := 0; i < len(pattern); i++ {
		rest := pattern[i:]
		start := i == 0 || pattern[i-1] == '/'
		switch c := pattern[i]; {
		case start && strings.HasPrefix(rest, "**/"):
			b.WriteString("(?:.*/)?")
			i += 2
		case start && rest == "**":
			b.WriteString(".+")
			i++
		case c == '*':
			b.WriteString("[^/]*")
		case c == '?':
			b.WriteString("[^/]")
		case c == '[':
			class, n := bracket(rest)
			b.WriteString(class)
			i += n - 1
		case c == '\\' && len(rest) > 1:
			i++
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		default:
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		}
	}
	b.WriteString(")$")
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil
	}
	return re
}

// bracket translates a class at the beginning of a pattern, and says how long it is.
// A bracket that does not close is an ordinary character.
func bracket(pattern string) (class string, n int) {
	end := strings.IndexByte(pattern[1:], ']')
	if end <= 0 || end == 1 && strings.ContainsAny(pattern[1:2], "!^") {
		return `\[`, 1
	}
	inside := pattern[1 : 1+end]
	not := ""
	if inside[0] == '!' || inside[0] == '^' {
		not, inside = "^/", inside[1:]
	}
	inside = strings.NewReplacer(`\`, `\\`, `[`, `\[`, `^`, `\^`, `&`, `\&`).Replace(inside)
	return "[" + not + inside + "]", end + 2
}

// ignored holds the rules that are in force in one directory.
type ignored struct {
	levels []level // the root's first
	docker []rule
}

// level are the rules of one directory's .gitignore.
type level struct {
	dir   string // "" for the root, else with a slash at its end
	rules []rule
}

// always are the files that a .dockerignore cannot leave out: the build reads them.
func always(p string) bool {
	return p == "Dockerfile" || p == ".dockerignore" || p == "apprunner.yaml"
}

// leaveOut reports whether a path is not uploaded; whole says that nothing below it
// is either.
func (g ignored) leaveOut(p string, dir bool) (out, whole bool) {
	for _, l := range slices.Backward(g.levels) { // the nearest file decides
		below, ok := strings.CutPrefix(p, l.dir)
		if !ok {
			continue
		}
		for _, r := range slices.Backward(l.rules) { // the last line decides
			if (!r.dirs || dir) && r.match.MatchString(below) {
				if !r.negated {
					return true, true
				}
				return g.byDocker(p)
			}
		}
	}
	return g.byDocker(p)
}

// byDocker applies the .dockerignore: what matches a directory matches all below it,
// and a later exception may take a file out again.
func (g ignored) byDocker(p string) (out, whole bool) {
	if always(p) {
		return false, false
	}
	exceptions := false
	for _, r := range g.docker {
		exceptions = exceptions || r.negated
		for q := p; q != ""; {
			if r.match.MatchString(q) {
				out = !r.negated
				break
			}
			q = q[:max(0, strings.LastIndexByte(q, '/'))]
		}
	}
	return out, out && !exceptions
}
