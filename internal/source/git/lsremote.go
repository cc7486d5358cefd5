package git

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
)

// Limits of what is read of ls-remote, in bytes.
const (
	maxAdvertised = 1 << 20  // of the references asked for
	maxBranches   = 16 << 20 // of all branches
)

// resolve asks for the commit of the session's reference.
func (s *session) resolve(ctx context.Context) (string, error) {
	var names []string
	for _, name := range s.remote.Ref.names() {
		if strings.HasPrefix(name, "refs/tags/") {
			names = append(names, name+"^{}") // the commit of an annotated tag
		}
		names = append(names, name)
	}
	out := &bounded{most: maxAdvertised, over: fail(TooLarge, "The server of %s lists too many references.", s.shown())}
	if err := s.run(ctx, true, out, append([]string{"ls-remote", "--quiet", "--end-of-options", s.argument}, names...)...); err != nil {
		return "", err
	}
	found := parseReferences(out.Bytes())
	for _, name := range names {
		if id := found[name]; id != "" {
			return id, nil
		}
	}
	return "", s.missing(ctx)
}

// missing says that the reference does not exist, with the names that resemble it.
func (s *session) missing(ctx context.Context) error {
	ref, kind, prefix := s.remote.Ref, "branch", "refs/heads/"
	if ref.Tag != "" {
		kind, prefix = "tag", "refs/tags/"
	}
	out := &bounded{most: maxBranches, over: fail(NoRef, "%s does not have %s.", s.shown(), ref)}
	if err := s.run(ctx, true, out, "ls-remote", "--quiet", "--refs", "--end-of-options", s.argument, prefix+"*"); err != nil {
		return err
	}
	var names []string
	for name := range parseReferences(out.Bytes()) {
		if short, ok := strings.CutPrefix(name, prefix); ok {
			names = append(names, short)
		}
	}
	if len(names) == 0 && ref == (Ref{}) {
		return fail(NoRef, "%s is empty: it has no commit yet. Push one.", s.shown())
	}
	text := fmt.Sprintf("%s does not have %s.", s.shown(), ref)
	if ref == (Ref{}) {
		text = fmt.Sprintf("%s has no default branch. Name a branch.", s.shown())
	}
	if near := nearest(cmp.Or(ref.Name, ref.Branch, ref.Tag), names); len(near) > 0 {
		text += fmt.Sprintf(" The nearest %s names are %s.", kind, strings.Join(near, ", "))
	}
	return fail(NoRef, "%s", text)
}

// parseReferences reads the output of ls-remote: "<id>\t<name>\n". Lines of another
// form are left out.
func parseReferences(out []byte) map[string]string {
	found := map[string]string{}
	for line := range bytes.Lines(out) {
		id, name, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), "\t")
		if ok && commitID.MatchString(id) && name != "" && !strings.ContainsRune(name, 0) {
			found[name] = id
		}
	}
	return found
}

// Names that messages offer.
const (
	mostOffered = 3
	maxCompared = 1000 // names beyond are not compared
	maxName     = 100  // bytes of a compared name
)

// nearest returns the quoted names that resemble want, the nearest first.
func nearest(want string, names []string) []string {
	type near struct {
		name     string
		distance int
	}
	var all []near
	slices.Sort(names)
	for _, name := range names[:min(len(names), maxCompared)] {
		if len(name) > maxName || len(want) > maxName || !validRef(name) {
			continue
		}
		d := distance(strings.ToLower(want), strings.ToLower(name))
		if strings.Contains(strings.ToLower(name), strings.ToLower(want)) {
			d = min(d, 1)
		}
		if common := map[string]bool{"main": true, "master": true}; common[name] && common[want] {
			d = 0
		}
		if want == "" || d <= max(2, len(want)/3) {
			all = append(all, near{name, d})
		}
	}
	slices.SortStableFunc(all, func(a, b near) int { return cmp.Compare(a.distance, b.distance) })
	var quoted []string
	for _, n := range all[:min(len(all), mostOffered)] {
		quoted = append(quoted, fmt.Sprintf("%q", n.name))
	}
	return quoted
}

// distance is the number of characters to insert, remove or replace (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
