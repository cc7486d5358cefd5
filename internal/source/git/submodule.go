package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/openslipway/slipway"
)

const (
	gitmodules    = ".gitmodules"
	maxGitmodules = 1 << 20 // bytes of its settings
	maxLevels     = 3       // of submodules in submodules
	maxModules    = 64      // submodules of one fetch
)

// submodules fetches the submodules of a repository that was checked out, at the
// commits that it records. Submodules without an entry in .gitmodules stay empty
// directories, as git leaves them.
func (s *session) submodules(ctx context.Context, parent *repository, commit string, list *listing, level int) error {
	if len(list.gitlinks) == 0 || !list.modules {
		return nil
	}
	out := &bounded{most: maxGitmodules, over: fail(Invalid, "%s of %s is larger than %d bytes.", gitmodules, s.shown(), maxGitmodules)}
	err := parent.git(ctx, false, out, "config", "-z", "--no-includes", "--blob", commit+":"+gitmodules, "--get-regexp", `^submodule\..*\.(path|url)$`)
	if err != nil && out.Len() > 0 || err != nil && ctx.Err() != nil {
		return err
	}
	urls := parseModules(out.Bytes())
	for _, p := range slices.Sorted(maps.Keys(list.gitlinks)) {
		given, ok := urls[p]
		if !ok {
			continue
		}
		if level > maxLevels {
			return fail(Unsupported, "%s has submodules in submodules, more than %d levels deep.", s.shown(), maxLevels)
		}
		if err := s.submodule(ctx, parent, p, given, list.gitlinks[p], level); err != nil {
			return inSubmodule(p, err)
		}
	}
	return nil
}

// inSubmodule says in which submodule a failure was.
func inSubmodule(p string, err error) error {
	where := "Submodule " + clean([]byte(p)) + ": "
	if e, ok := errors.AsType[*Error](err); ok {
		return &Error{e.Kind, where + e.Message}
	}
	if e, ok := errors.AsType[*slipway.Error](err); ok {
		return &Error{Unsupported, where + e.Message}
	}
	return fmt.Errorf("submodule %q: %w", p, err)
}

// submodule fetches one submodule into a directory of its own, and moves it to its
// place: git never writes below a path that the parent has made.
func (s *session) submodule(ctx context.Context, parent *repository, p, given, commit string, level int) error {
	if s.modules++; s.modules > maxModules {
		return fail(TooLarge, "%s has more than %d submodules.", s.shown(), maxModules)
	}
	target, err := moduleURL(s.remote.URL, given)
	if err != nil {
		return err
	}
	child := *s
	child.remote = Remote{URL: target, Credential: s.remote.Credential}
	if child.url, err = parseURL(target); err != nil {
		return err
	}
	if err := child.allowed(); err != nil {
		return err
	}
	n := strconv.Itoa(s.modules)
	repo := &repository{session: &child, dir: "module" + n + ".git", tree: "module" + n}
	if err := os.Mkdir(filepath.Join(s.dir, "work", repo.tree), 0o755); err != nil {
		return err
	}
	if err := s.give("work/" + repo.tree); err != nil {
		return err
	}
	if err := repo.fetch(ctx, commit); err != nil {
		return err
	}
	list, err := repo.list(ctx, commit, "")
	if err != nil {
		return err
	}
	if err := repo.write(ctx, commit); err != nil {
		return err
	}
	if err := child.pointers(repo.tree); err != nil {
		return err
	}
	if err := child.submodules(ctx, repo, commit, list, level+1); err != nil {
		return err
	}
	s.bytes, s.entries, s.modules = child.bytes, child.entries, child.modules
	return s.place(repo.tree, parent.tree, p)
}

// place moves a submodule's files to where the parent has an empty directory for
// them.
func (s *session) place(from, parent, p string) error {
	root, err := os.OpenRoot(filepath.Join(s.dir, "work"))
	if err != nil {
		return err
	}
	defer root.Close()
	to := parent
	for part := range strings.SplitSeq(p, "/") {
		to += "/" + part
		info, err := root.Lstat(to)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fail(Invalid, "%s has a submodule at a path that is not a directory.", s.shown())
		}
	}
	if err := root.Remove(to); err != nil {
		return fail(Invalid, "%s has a submodule at a directory that is not empty.", s.shown())
	}
	return root.Rename(from, to)
}

// parseModules reads what git config -z lists of .gitmodules, "<key>\n<value>\0":
// the URL of each path.
func parseModules(out []byte) map[string]string {
	type module struct{ path, url string }
	modules := map[string]module{}
	for record := range bytes.SplitSeq(out, []byte{0}) {
		key, value, ok := strings.Cut(string(record), "\n")
		name, isModule := strings.CutPrefix(key, "submodule.")
		dot := strings.LastIndexByte(name, '.')
		if !ok || !isModule || dot < 0 {
			continue
		}
		m := modules[name[:dot]]
		switch name[dot+1:] {
		case "path":
			m.path = value
		case "url":
			m.url = value
		}
		modules[name[:dot]] = m
	}
	urls := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		if m := modules[name]; m.path != "" && m.url != "" {
			urls[strings.TrimSuffix(m.path, "/")] = m.url
		}
	}
	return urls
}

// moduleURL returns the URL of a submodule of the repository at parent. It must be
// of the parent's protocol, host and user: the credential is theirs.
func moduleURL(parent, given string) (string, error) {
	if strings.HasPrefix(given, "./") || strings.HasPrefix(given, "../") {
		return relativeURL(parent, given)
	}
	up, err := parseURL(parent)
	if err != nil {
		return "", err
	}
	u, err := parseURL(given)
	if err != nil {
		return "", err
	}
	sameUser := u.User.Username() == up.User.Username() || u.User == nil
	if u.Scheme != up.Scheme || !strings.EqualFold(address(u), address(up)) || !sameUser {
		return "", fail(Unsupported, "Its URL %q is not on the host of the repository, %s://%s. Submodules are fetched from there only; use a relative URL, such as ../name.git.",
			shown(given), up.Scheme, up.Host)
	}
	return given, nil
}

// relativeURL resolves a URL as git does: against the parent's path, as if that were
// a directory.
func relativeURL(parent, given string) (string, error) {
	up, err := parseURL(parent)
	if err != nil {
		return "", err
	}
	at := strings.TrimRight(up.Path, "/")
	joined := path.Join(at, given)
	if joined == "/" || strings.Count(given, "../") > strings.Count(at, "/") {
		return "", fail(Unsupported, "Its URL %q leads out of the host.", shown(given))
	}
	if m := scpLike.FindStringSubmatch(parent); m != nil {
		return m[1] + "@" + m[2] + ":" + strings.TrimPrefix(joined, "/"), nil
	}
	u := url.URL{Scheme: up.Scheme, User: up.User, Host: up.Host, Path: joined}
	return u.String(), nil
}
