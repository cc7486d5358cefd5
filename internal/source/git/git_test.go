package git_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/source/git"
	"github.com/openslipway/slipway/internal/source/git/confine"
	"github.com/openslipway/slipway/internal/source/git/gittest"
)

func TestMain(m *testing.M) {
	if confine.Wanted(os.Args) {
		confine.Main()
	}
	os.Exit(m.Run())
}

// bench is a Git, and a directory for repositories and what is fetched.
type bench struct {
	*git.Git
	root string
	out  string
}

func setup(t *testing.T, change func(*git.Config)) bench {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("confining a program takes root here")
	}
	dir, err := os.MkdirTemp("", "git-test-*") // t.TempDir has parents of mode 0700
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b := bench{root: filepath.Join(dir, "repositories"), out: filepath.Join(dir, "out")}
	for _, d := range []string{b.root, b.out} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cfg := git.Config{Dir: filepath.Join(dir, "git"), Protocols: []string{"https", "ssh", "file"}, Directories: []string{b.root}, Reach: gittest.Loopback(t)}
	if change != nil {
		change(&cfg)
	}
	b.Git, err = git.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left, _ := os.ReadDir(cfg.Dir); len(left) > 0 {
			t.Errorf("%d directories of calls are left", len(left))
		}
	})
	return b
}

func (b bench) file(name string) git.Remote {
	return git.Remote{URL: "file://" + filepath.Join(b.root, name)}
}

func content(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// wantFailure requires an *Error of a kind whose message contains texts, and which
// is the user's.
func wantFailure(t *testing.T, err error, kind git.Kind, texts ...string) {
	t.Helper()
	var e *git.Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Fatalf("error %v, want kind %q", err, kind)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("message %q lacks %q", err, text)
		}
	}
	if slipway.CodeOf(err) != slipway.InvalidRequest {
		t.Errorf("code %q", slipway.CodeOf(err))
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	repo := gittest.New(t, b.root, "app")
	first := repo.Commit("First", map[string]string{"a.txt": "one\n", "*run.sh": "#!/bin/sh\n", "web/index.html": "hi", "etc": "->/etc/passwd"})
	repo.Git("tag", "-a", "v1", "-m", "version 1")
	second := repo.Commit("Second\n\nwith a body", map[string]string{"a.txt": "two\n"})
	r := b.file("app")
	for want, ref := range map[string]git.Ref{second: {}, first: {Tag: "v1"}} {
		if got, err := b.Resolve(t.Context(), git.Remote{URL: r.URL, Ref: ref}); err != nil || got != want {
			t.Errorf("Resolve(%v) = %q, %v, want %q", ref, got, err, want)
		}
	}
	r.Ref, r.Directory = git.Ref{Branch: "main"}, "/web/"
	dir := filepath.Join(b.out, "second")
	rev, err := b.Fetch(t.Context(), r, second, dir, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if rev.Commit != second || rev.Subject != "Second" || rev.Author != "Ada" || rev.Time.Unix() != 1700000000 ||
		rev.Tree != repo.Git("rev-parse", "HEAD^{tree}") || rev.DirectoryTree != repo.Git("rev-parse", "HEAD:web") {
		t.Errorf("revision %+v", rev)
	}
	if got := content(t, dir, "a.txt"); got != "two\n" {
		t.Errorf("a.txt holds %q", got)
	}
	if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
		t.Error("there is a .git")
	}
	for name, mode := range map[string]os.FileMode{"a.txt": 0o644, "run.sh": 0o755, "web": os.ModeDir | 0o755, "etc": os.ModeSymlink | 0o777, ".": os.ModeDir | 0o755} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		if info.Mode() != mode || !info.ModTime().Equal(rev.Time) || st.Uid != 0 || st.Gid != 0 {
			t.Errorf("%s: mode %v, time %v, owner %d:%d", name, info.Mode(), info.ModTime(), st.Uid, st.Gid)
		}
	}
	// A commit that is at no branch, by its id.
	old, err := b.Fetch(t.Context(), r, first, filepath.Join(b.out, "first"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !old.SameDirectory(rev) {
		t.Error("nothing in web has changed, but its tree differs")
	}
	repo.Commit("Third", map[string]string{"web/index.html": "hello"})
	third, err := b.Inspect(t.Context(), r, repo.Git("rev-parse", "HEAD"))
	if err != nil || third.SameDirectory(rev) {
		t.Errorf("web has changed: %+v, %v", third, err)
	}
}

func TestHTTPS(t *testing.T) {
	t.Parallel()
	var h *gittest.HTTPS
	const token = "s3cret-token"
	b := setup(t, func(c *git.Config) {
		h = gittest.ServeHTTPS(t, filepath.Join(filepath.Dir(c.Dir), "repositories"), gittest.Options{Token: token})
		c.CAFile = h.CAFile
	})
	repo := gittest.New(t, b.root, "app")
	tip := repo.Commit("First", map[string]string{"a.txt": strings.Repeat("one\n", 10000)})
	r := git.Remote{URL: h.URL + "/app", Ref: git.Ref{Branch: "main"}, Credential: git.Credential{Username: "git", Password: token}}
	got, err := b.Resolve(t.Context(), r)
	if err != nil || got != tip {
		t.Fatalf("Resolve = %q, %v", got, err)
	}
	if _, err := b.Fetch(t.Context(), r, tip, filepath.Join(b.out, "basic"), nil); err != nil {
		t.Fatal(err)
	}
	r.Credential = git.Credential{Bearer: token}
	if _, err := b.Fetch(t.Context(), r, tip, filepath.Join(b.out, "bearer"), nil); err != nil {
		t.Fatal(err)
	}

	_, err = b.Resolve(t.Context(), git.Remote{URL: r.URL})
	wantFailure(t, err, git.Refused, "/app", "credential")
	wrong := r
	wrong.Credential = git.Credential{Username: "git", Password: "wrong-password"}
	_, err = b.Resolve(t.Context(), wrong)
	wantFailure(t, err, git.Refused)
	if strings.Contains(err.Error(), "wrong-password") {
		t.Errorf("the message has the password: %v", err)
	}
	missing := r
	missing.URL = h.URL + "/nothing"
	_, err = b.Resolve(t.Context(), missing)
	wantFailure(t, err, git.NotFound, "/nothing")
	branch := r
	branch.Ref = git.Ref{Branch: "mian"}
	_, err = b.Resolve(t.Context(), branch)
	wantFailure(t, err, git.NoRef, `"mian"`, `"main"`)
	_, err = b.Fetch(t.Context(), r, strings.Repeat("a1", 20), filepath.Join(b.out, "none"), nil)
	wantFailure(t, err, git.NoRef, strings.Repeat("a1", 20))
}

func TestSSH(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	s := gittest.ServeSSH(t, b.root)
	repo := gittest.New(t, b.root, "app")
	tip := repo.Commit("First", map[string]string{"a.txt": "one\n"})
	r := git.Remote{URL: s.URL + "/app", Credential: git.Credential{PrivateKey: s.PrivateKey, KnownHosts: s.KnownHosts}}
	if got, err := b.Resolve(t.Context(), r); err != nil || got != tip {
		t.Fatalf("Resolve = %q, %v", got, err)
	}
	if _, err := b.Fetch(t.Context(), r, tip, filepath.Join(b.out, "app"), nil); err != nil {
		t.Fatal(err)
	}
	stranger := r
	stranger.Credential.PrivateKey, _ = gittest.NewKey(t)
	_, err := b.Resolve(t.Context(), stranger)
	wantFailure(t, err, git.Refused)
	untrusted := r
	untrusted.Credential.KnownHosts = nil
	known := strings.Fields(string(s.KnownHosts))
	key, err := base64.StdEncoding.DecodeString(known[2])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(key)
	fingerprint := "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
	_, err = b.Resolve(t.Context(), untrusted)
	wantFailure(t, err, git.Untrusted, "is not known", "--git-known-hosts", fingerprint, strings.Join(known, " "))
	changed := r
	other := gittest.ServeSSH(t, b.root)
	changed.Credential.KnownHosts = []byte(known[0] + " " + strings.Join(strings.Fields(string(other.KnownHosts))[1:], " ") + "\n")
	_, err = b.Resolve(t.Context(), changed)
	wantFailure(t, err, git.Untrusted, "another host key than the known one", fingerprint)
	keyless := r
	keyless.Credential = git.Credential{}
	if _, err := b.Resolve(t.Context(), keyless); slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), "needs a connection with a deploy key") {
		t.Errorf("without a key: %v", err)
	}
	missing := r
	missing.URL = s.URL + "/nothing"
	_, err = b.Resolve(t.Context(), missing)
	wantFailure(t, err, git.NotFound)
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	_, err := b.Resolve(t.Context(), git.Remote{URL: "https://127.0.0.1:1/app"})
	wantFailure(t, err, git.Unreachable, "the connection was refused")
	_, err = b.Resolve(t.Context(), git.Remote{URL: "https://169.254.169.254/app"})
	wantFailure(t, err, git.Forbidden, "--allow-address")
	_, err = b.Resolve(t.Context(), git.Remote{URL: "https://nowhere.invalid/app"})
	wantFailure(t, err, git.Unreachable)

	b = setup(t, func(c *git.Config) { c.Reach = nil })
	for _, to := range []string{"https://127.0.0.1:1/app", "https://localhost/app", "https://2130706433/app", "https://[::ffff:7f00:1]/app"} {
		_, err = b.Resolve(t.Context(), git.Remote{URL: to})
		wantFailure(t, err, git.Forbidden, "--allow-address")
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	var h *gittest.HTTPS
	b := setup(t, func(c *git.Config) {
		h = gittest.ServeHTTPS(t, c.Dir, gittest.Options{Before: func(_ http.ResponseWriter, r *http.Request) bool {
			close(asked)
			<-r.Context().Done() // the client is gone
			return true
		}})
		c.CAFile = h.CAFile
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if _, err := b.Resolve(ctx, git.Remote{URL: h.URL + "/app"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// The keys of public providers are those whose fingerprints they publish.
func TestPublicHosts(t *testing.T) {
	t.Parallel()
	published := map[string]string{
		"github.com,[ssh.github.com]:443 ssh-ed25519":                  "+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU",
		"github.com,[ssh.github.com]:443 ecdsa-sha2-nistp256":          "p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM",
		"gitlab.com,[altssh.gitlab.com]:443 ssh-ed25519":               "eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8",
		"gitlab.com,[altssh.gitlab.com]:443 ecdsa-sha2-nistp256":       "HbW3g8zUjNSksFbqTiUWPWg2Bq1x8xdGUrliXFzSnUw",
		"bitbucket.org,[altssh.bitbucket.org]:443 ssh-ed25519":         "ybgmFkzwOSotHTHLJgHO0QN8L0xErw6vd0VhFA9m3SM",
		"bitbucket.org,[altssh.bitbucket.org]:443 ecdsa-sha2-nistp256": "FC73VB6C4OQLSCrjEayhMp9UMxS97caD/Yyi2bhW/J0",
	}
	lines := strings.Split(strings.TrimSpace(string(git.PublicHosts())), "\n")
	if len(lines) != len(published) {
		t.Errorf("%d keys, want %d", len(lines), len(published))
	}
	for _, line := range lines {
		f := strings.Fields(line)
		key, err := base64.StdEncoding.DecodeString(f[2])
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(key)
		if got := base64.RawStdEncoding.EncodeToString(sum[:]); got != published[f[0]+" "+f[1]] {
			t.Errorf("%s %s has the fingerprint %s", f[0], f[1], got)
		}
	}
}

func TestParseRef(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("a1", 20)
	for text, want := range map[string]git.Ref{
		"main": {Name: "main"}, "refs/heads/main": {Branch: "main"}, "refs/tags/v1.2": {Tag: "v1.2"}, "v1.2": {Name: "v1.2"},
		id: {Commit: id}, strings.ToUpper(id): {Commit: id}, id[1:]: {Name: id[1:]}, "": {},
		"refs/heads/" + id: {Branch: id}, "refs/tags/" + id: {Tag: id}, "heads/main": {Name: "heads/main"}, "refs/heads/refs/tags/v1": {Branch: "refs/tags/v1"},
	} {
		if got := git.ParseRef(text); got != want {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
	}
}

// A name is a branch, or where there is none a tag; servers that give commits only at
// references give it, too.
func TestPlainTag(t *testing.T) {
	t.Parallel()
	b, h := served(t, gittest.Options{OldProtocol: true}, nil)
	repo := gittest.New(t, b.root, "app")
	first := repo.Commit("First", map[string]string{"a.txt": "one\n"})
	repo.Git("tag", "-a", "v1", "-m", "version 1")
	repo.Git("tag", "both")
	second := repo.Commit("Second", map[string]string{"a.txt": "two\n"})
	repo.Git("branch", "both")
	repo.Git("branch", first, second) // called like another commit's id
	for name, want := range map[string]string{
		"v1": first, "both": second, "refs/tags/both": first, "refs/heads/both": second, "refs/tags/v1": first,
		first: first, "refs/heads/" + first: second,
	} {
		r := git.Remote{URL: h.URL + "/app", Ref: git.ParseRef(name)}
		got, err := b.Resolve(t.Context(), r)
		if err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", name, got, err, want)
			continue
		}
		if rev, err := b.Fetch(t.Context(), r, got, filepath.Join(b.out, strings.ReplaceAll(name, "/", "-")), nil); err != nil || rev.Commit != want {
			t.Errorf("%s: %+v, %v", name, rev, err)
		}
	}
}

// A full name of a branch or a tag means nothing else.
func TestFullNames(t *testing.T) {
	t.Parallel()
	b, h := served(t, gittest.Options{}, nil)
	repo := gittest.New(t, b.root, "app")
	repo.Commit("First", map[string]string{"a.txt": "one\n"})
	repo.Git("tag", "v1")
	for _, name := range []string{"refs/heads/v1", "refs/tags/main", "heads/main", "tags/v1", "Main", "mai"} {
		id, err := b.Resolve(t.Context(), git.Remote{URL: h.URL + "/app", Ref: git.ParseRef(name)})
		if e, ok := errors.AsType[*git.Error](err); !ok || e.Kind != git.NoRef {
			t.Errorf("%s is %q, %v", name, id, err)
		}
	}
}

// A URL is refused before anything is stored about it.
func TestCheck(t *testing.T) {
	t.Parallel()
	g, err := git.New(git.Config{Dir: t.TempDir(), Program: "/usr/bin/git"})
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"https://git.example.com/a/b.git", "ssh://git@git.example.com/a", "git@git.example.com:a/b.git"} {
		if err := g.Check(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for url, want := range map[string]string{
		"http://git.example.com/a":        "uses http; this server reads repositories by https, ssh",
		"file:///srv/a":                   "uses file",
		"https://me:secret@example.com/a": "contains a password",
		"-oProxyCommand=x":                "is not understood",
		"https://example.com/":            "names no repository",
		"ext::sh -c x":                    "is not understood",
	} {
		err := g.Check(url)
		if slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want one of the user's with %q", url, err, want)
		}
	}
}
