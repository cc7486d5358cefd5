package detect

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/openslipway/slipway/internal/source/config"
)

// version is a version's numbers; absent ones are 0.
type version [3]int

func (v version) less(w version) bool { return slices.Compare(v[:], w[:]) < 0 }

// span is the versions from lo, up to but without hi.
type span struct{ lo, hi version }

var endless = version{1 << 30, 0, 0}

func (a span) meets(b span) bool { return a.lo.less(b.hi) && b.lo.less(a.hi) }

func (a span) within(b span) span {
	if a.lo.less(b.lo) {
		a.lo = b.lo
	}
	if b.hi.less(a.hi) {
		a.hi = b.hi
	}
	return a
}

// dialect says what "~" and a bare version mean: they differ.
type dialect int

const (
	npm      dialect = iota // ~1.2 is 1.2.x; 20 is 20.x
	composer                // ~1.2 is 1.x
	pep440                  // ~=1.2 is 1.x; also poetry's ^ and ~
	gem                     // ~> 1.2 is 1.x
)

var comparator = regexp.MustCompile(`^(\^|~>|~=|~|>=|<=|===|==|=|!=|>|<)?\s*v?(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(?:[.\-+a-zA-Z0-9*]*)$`)

// spans parses a constraint on versions into its alternatives. It reports false for
// what it does not understand.
func spans(text string, d dialect) ([]span, bool) {
	var all []span
	text = strings.ReplaceAll(strings.ReplaceAll(text, "||", "|"), "\"", "")
	for _, alternative := range strings.Split(text, "|") {
		s, ok := spanOf(strings.TrimSpace(alternative), d)
		if !ok {
			return nil, false
		}
		all = append(all, s)
	}
	return all, len(all) > 0
}

var operatorGap = regexp.MustCompile(`(\^|~>|~=|~|>=|<=|==|=|!=|>|<)\s+`)

func spanOf(text string, d dialect) (span, bool) {
	s := span{hi: endless}
	if from, to, ok := strings.Cut(text, " - "); ok && d != pep440 {
		text = ">=" + strings.TrimSpace(from) + " <=" + strings.TrimSpace(to)
	}
	text = operatorGap.ReplaceAllString(text, "$1")
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
	if len(words) == 0 || len(words) > 16 {
		return s, false
	}
	for _, w := range words {
		one, ok := comparison(w, d)
		if !ok {
			return s, false
		}
		s = s.within(one)
	}
	return s, true
}

// comparison parses one comparator: ">=18.1", "^20", "3.11.*".
func comparison(text string, d dialect) (span, bool) {
	m := comparator.FindStringSubmatch(text)
	if m == nil {
		return span{}, false
	}
	var v version
	given := 0
	for i, part := range m[2:5] {
		n, err := strconv.Atoi(part)
		if err != nil || n > 1<<20 {
			break
		}
		v[i], given = n, i+1
	}
	all := span{hi: endless}
	if given == 0 {
		return all, true
	}
	exact := span{v, bump(v, given-1)}
	switch m[1] {
	case "^":
		return span{v, bump(v, caretPart(v, given))}, true
	case "~":
		if d == npm || d == pep440 {
			return span{v, bump(v, min(given-1, 1))}, true
		}
		return span{v, bump(v, max(given-2, 0))}, true
	case "~>", "~=":
		return span{v, bump(v, max(given-2, 0))}, true
	case ">=":
		return span{v, endless}, true
	case ">":
		return span{exact.hi, endless}, true
	case "<":
		return span{hi: v}, true
	case "<=":
		return span{hi: exact.hi}, true
	case "!=":
		return all, true
	}
	return exact, true
}

func caretPart(v version, given int) int {
	for i := range given {
		if v[i] != 0 {
			return i
		}
	}
	return given - 1
}

// bump returns the first version after those that begin with v's numbers up to part i.
func bump(v version, i int) version {
	w := version{}
	copy(w[:], v[:i+1])
	w[i]++
	return w
}

// preferred lists runtimes of a language in the order in which they are taken when a
// constraint allows several: first those that App Runner has and still supports, then
// those that internal/build/runtimes can make of packages, then newer ones.
var preferred = map[string][]string{
	"nodejs":   {"nodejs22", "nodejs24", "nodejs20", "nodejs18", "nodejs16", "nodejs14", "nodejs12"},
	"python":   {"python311", "python313", "python312", "python314", "python3"},
	"corretto": {"corretto11", "corretto17", "corretto21", "corretto8"},
	"dotnet":   {"dotnet8", "dotnet6"},
	"php":      {"php82", "php84", "php83", "php81"},
	"ruby":     {"ruby31", "ruby33", "ruby34"},
	"go":       {"go1"},
}

// runtimes returns the language's runtimes in order of preference. Runtimes that the
// list above does not know come last.
func runtimes(language string) []config.Runtime {
	var all []config.Runtime
	for _, r := range config.Runtimes() {
		if r.Language == language {
			all = append(all, r)
		}
	}
	rank := func(r config.Runtime) int {
		if i := slices.Index(preferred[language], r.Name); i >= 0 {
			return i
		}
		return len(preferred[language])
	}
	slices.SortStableFunc(all, func(a, b config.Runtime) int { return rank(a) - rank(b) })
	return all
}

// line returns the versions of a runtime's line: "3.11" is 3.11.0 up to 3.12.
func line(text string) span {
	s, ok := comparison(text, npm)
	if !ok {
		return span{}
	}
	// "11.0" of Java means 11, as "17.0" does 17.
	return s
}

// runtimeFor returns the preferred runtime that a constraint allows; the nearest newer
// one, and else the newest, with false when it allows none.
func runtimeFor(language, constraint string, d dialect) (config.Runtime, bool) {
	all := runtimes(language)
	if len(all) == 0 {
		return config.Runtime{}, false
	}
	want, ok := spans(constraint, d)
	if !ok {
		return all[0], constraint == ""
	}
	for _, r := range all {
		for _, l := range r.Lines {
			if slices.ContainsFunc(want, line(l).meets) {
				return r, true
			}
		}
	}
	return nearest(all, want[0].lo), false
}

// nearest returns the first runtime after a version, or the newest.
func nearest(all []config.Runtime, v version) config.Runtime {
	best := all[0]
	newest := func(r config.Runtime) version { return line(r.Lines[len(r.Lines)-1]).lo }
	for _, r := range all[1:] {
		a, b := newest(r), newest(best)
		switch {
		case v.less(b) && v.less(a) && a.less(b), // both are newer: the lesser
			!v.less(b) && b.less(a): // best is older: the newer
			best = r
		}
	}
	return best
}

// nearestOfAppRunner returns the name of App Runner's runtime of the same language
// whose version is nearest; "" when it has none.
func nearestOfAppRunner(r config.Runtime) string {
	var same []config.Runtime
	for _, o := range config.Runtimes() {
		if o.Language == r.Language && o.AppRunner() && len(o.Lines) > 0 {
			same = append(same, o)
		}
	}
	if len(same) == 0 || r.Language == "" {
		return ""
	}
	return nearest(same, line(r.Lines[0]).lo).Name
}

// pickRuntime sets the runtime by a constraint from a file; where names it: ".nvmrc
// says v20". An empty constraint takes the preferred one.
func (s *scan) pickRuntime(language, constraint, where string, d dialect) {
	r, ok := runtimeFor(language, constraint, d)
	switch {
	case constraint == "":
		s.use(r, "no version is named")
	case ok:
		s.use(r, where)
	default:
		s.use(r, where)
		s.warn("%s, but there is no such runtime: %s is taken. To have exactly that version, add a Dockerfile.", where, r.Title)
	}
}

// versionFile returns the first version in a file like .nvmrc or .python-version:
// its first line that is no comment, without a prefix.
func (s *scan) versionFile(name string, prefixes ...string) string {
	for l := range strings.Lines(s.text(name)) {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		for _, p := range prefixes {
			l = strings.TrimPrefix(l, p)
		}
		return clean(l)
	}
	return ""
}

// toolVersion returns the version of a tool in .tool-versions of asdf and mise.
func (s *scan) toolVersion(tools ...string) string {
	for l := range strings.Lines(s.text(".tool-versions")) {
		f := strings.Fields(l)
		if len(f) >= 2 && slices.Contains(tools, f[0]) {
			return clean(f[1])
		}
	}
	return ""
}

// says makes the reason for a version.
func says(where, v string) string { return fmt.Sprintf("%s says %s", where, v) }
