package git

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/openslipway/slipway/internal/room"
)

const (
	maxCommit = 1 << 20 // bytes of a commit object
	maxText   = 200     // bytes of a subject or a name
	// deepest is how many commits of a branch are fetched to find one that the server
	// does not give by its id.
	deepest = 50
)

// checkout fetches a commit, checks it, and writes its files to work/tree if they
// are wanted.
func (s *session) checkout(ctx context.Context, commit string, write bool) (Revision, error) {
	directory, err := cleanDirectory(s.remote.Directory)
	if err != nil {
		return Revision{}, err
	}
	repo := &repository{session: s, dir: "repo.git", tree: "tree"}
	if err := repo.fetch(ctx, commit); err != nil {
		return Revision{}, err
	}
	rev, err := repo.read(ctx, commit)
	if err != nil {
		return Revision{}, err
	}
	list, err := repo.list(ctx, commit, directory)
	if err != nil {
		return Revision{}, err
	}
	if rev.DirectoryTree = list.tree; directory == "" {
		rev.DirectoryTree = rev.Tree
	}
	if rev.DirectoryTree == "" && write {
		return Revision{}, fail(NoRef, "%s has no directory %q at commit %.12s. Correct the source directory.", s.shown(), "/"+directory, commit)
	}
	if !write {
		return rev, nil
	}
	if err := repo.write(ctx, commit); err != nil {
		return Revision{}, err
	}
	if err := s.pointers(repo.tree); err != nil {
		return Revision{}, err
	}
	return rev, s.submodules(ctx, repo, commit, list, 1)
}

// repository is one repository of a session: the main one or a submodule's.
type repository struct {
	session *session
	dir     string // below work
	tree    string // below work
}

// git runs git on the repository.
func (r *repository) git(ctx context.Context, network bool, out *bounded, args ...string) error {
	if out == nil {
		out = &bounded{most: maxStderr, over: errors.New("git wrote more than was asked for")}
	}
	return r.session.run(ctx, network, out, append([]string{"--git-dir=" + viewWork + "/" + r.dir}, args...)...)
}

// fetch fetches one commit: by its id, or by its reference where the server gives
// none by id.
func (r *repository) fetch(ctx context.Context, commit string) error {
	s := r.session
	if err := s.seed(r.dir, commit); err != nil {
		return err
	}
	err := r.fetchRef(ctx, 1, commit)
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != NoRef {
		return err
	}
	names := s.remote.Ref.names()
	for _, name := range names {
		for _, depth := range []int{1, deepest} {
			again := r.fetchRef(ctx, depth, name)
			if e, ok := errors.AsType[*Error](again); ok && e.Kind == NoRef && len(names) > 1 {
				break // it is the other kind
			}
			if again != nil {
				return again
			}
			if r.git(ctx, false, nil, "cat-file", "-e", commit+"^{commit}") == nil {
				return nil
			}
		}
	}
	return fail(NoRef, "%s does not give the commit %s. It may have been removed, or its server gives only commits that a branch or a tag is at.", s.shown(), commit)
}

func (r *repository) fetchRef(ctx context.Context, depth int, name string) error {
	return r.git(ctx, true, nil, "fetch", "--depth="+strconv.Itoa(depth), "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head",
		"--progress", "--force", "--end-of-options", r.session.argument, name+":refs/slipway/commit")
}

// read reads what people want to know of a commit.
func (r *repository) read(ctx context.Context, commit string) (Revision, error) {
	out := &bounded{most: maxCommit, over: fail(Invalid, "The commit %s of %s has a message of more than %d bytes.", commit, r.session.shown(), maxCommit)}
	if err := r.git(ctx, false, out, "cat-file", "commit", commit); err != nil {
		return Revision{}, err
	}
	rev, ok := parseCommit(out.Bytes())
	if !ok {
		return Revision{}, fail(Invalid, "The commit %s of %s is damaged.", commit, r.session.shown())
	}
	rev.Commit = commit
	return rev, nil
}

// parseCommit reads a commit object.
func parseCommit(object []byte) (Revision, bool) {
	var rev Revision
	head, message, _ := bytes.Cut(object, []byte("\n\n"))
	for line := range bytes.Lines(head) {
		key, value, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		switch {
		case key == "tree" && rev.Tree == "" && commitID.MatchString(value):
			rev.Tree = value
		case key == "author" && rev.Author == "":
			name, _, _ := strings.Cut(value, "<")
			rev.Author = short(name)
		case key == "committer" && rev.Time.IsZero():
			_, when, _ := strings.Cut(value, "> ")
			seconds, _, _ := strings.Cut(when, " ")
			n, err := strconv.ParseInt(seconds, 10, 64)
			if err == nil && n >= 0 && n < 1<<40 {
				rev.Time = time.Unix(n, 0).UTC()
			}
		}
	}
	if rev.Time.IsZero() {
		rev.Time = time.Unix(0, 0).UTC() // some time, and always the same
	}
	subject, _, _ := bytes.Cut(bytes.TrimLeft(message, "\n"), []byte("\n"))
	rev.Subject = short(string(subject))
	return rev, rev.Tree != ""
}

// short makes a text of a stranger fit for a line.
func short(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text[:min(len(text), maxText)], ""))
	return strings.TrimSpace(text)
}

// list lists the files of a commit, and checks them.
func (r *repository) list(ctx context.Context, commit, directory string) (*listing, error) {
	l := &listing{session: r.session, directory: directory, gitlinks: map[string]string{}}
	before := r.session.bytes
	err := r.session.run(ctx, false, l, "--git-dir="+viewWork+"/"+r.dir, "ls-tree", "-r", "-t", "-z", "-l", "--full-tree", "--end-of-options", commit)
	if err == nil && len(l.rest) > 0 {
		err = errors.New("git ended in the middle of an entry")
	}
	if err != nil {
		return nil, err
	}
	if err := room.Check(r.session.git.cfg.Dir, before-r.session.bytes); err != nil {
		return nil, noRoom(err)
	}
	return l, nil
}

// write writes the files of a commit.
func (r *repository) write(ctx context.Context, commit string) error {
	return r.git(ctx, false, nil, "--work-tree="+viewWork+"/"+r.tree, "checkout", "--quiet", "--force", "--detach", commit)
}
