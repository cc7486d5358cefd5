package git_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/source/git"
	"github.com/openslipway/slipway/internal/source/git/gittest"
)

// served is a bench with an https server of its repositories.
func served(t *testing.T, o gittest.Options, change func(*git.Config)) (bench, *gittest.HTTPS) {
	t.Helper()
	var h *gittest.HTTPS
	b := setup(t, func(c *git.Config) {
		h = gittest.ServeHTTPS(t, filepath.Join(filepath.Dir(c.Dir), "repositories"), o)
		c.CAFile = h.CAFile
		if change != nil {
			change(c)
		}
	})
	return b, h
}

// tree makes a tree object without git's checks: entries are "mode name", with an id.
func tree(r *gittest.Repository, entries ...[2]string) string {
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e[0])
		b.WriteByte(0)
		for i := 0; i < len(e[1]); i += 2 {
			var c byte
			_, _ = fmt.Sscanf(e[1][i:i+2], "%02x", &c)
			b.WriteByte(c)
		}
	}
	return r.GitInput(b.String(), "hash-object", "-t", "tree", "-w", "--literally", "--stdin")
}

// commitTree makes a tree the tip of main.
func commitTree(r *gittest.Repository, tree string) string {
	commit := r.Git("commit-tree", "-m", "attack", tree)
	r.Git("update-ref", "refs/heads/main", commit)
	return commit
}

func TestHostilePaths(t *testing.T) {
	t.Parallel()
	b, h := served(t, gittest.Options{}, nil)
	long := strings.Repeat("x", 300)
	for name, entries := range map[string]func(r *gittest.Repository, blob, link, dir string) string{
		"dotgit": func(r *gittest.Repository, _, _, dir string) string { return tree(r, [2]string{"40000 .git", dir}) },
		"dotGIT": func(r *gittest.Repository, _, _, dir string) string { return tree(r, [2]string{"40000 .GIT", dir}) },
		"short":  func(r *gittest.Repository, _, _, dir string) string { return tree(r, [2]string{"40000 git~1", dir}) },
		"hfs": func(r *gittest.Repository, _, _, dir string) string {
			return tree(r, [2]string{"40000 .g\u200cit", dir})
		},
		"backslash": func(r *gittest.Repository, b, _, _ string) string {
			return tree(r, [2]string{"100644 .git\\config", b})
		},
		"up": func(r *gittest.Repository, blob, _, _ string) string {
			return tree(r, [2]string{"40000 ..", tree(r, [2]string{"100644 escaped", blob})})
		},
		"slash": func(r *gittest.Repository, blob, _, _ string) string {
			return tree(r, [2]string{"100644 ../escaped", blob})
		},
		"long": func(r *gittest.Repository, blob, _, _ string) string {
			return tree(r, [2]string{"100644 " + long, blob})
		},
		"modules": func(r *gittest.Repository, _, link, _ string) string {
			return tree(r, [2]string{"120000 .gitmodules", link})
		},
		"through": func(r *gittest.Repository, _, link, dir string) string {
			return tree(r, [2]string{"120000 a", link}, [2]string{"40000 a", dir})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := gittest.New(t, b.root, name)
			blob := r.GitInput("[core]\n\tfsmonitor = false\n", "hash-object", "-w", "--stdin")
			link := r.GitInput(b.out, "hash-object", "-w", "--stdin")
			commit := commitTree(r, entries(r, blob, link, tree(r, [2]string{"100644 config", blob})))
			dir := filepath.Join(b.out, name)
			_, err := b.Fetch(t.Context(), git.Remote{URL: h.URL + "/" + name}, commit, dir, nil)
			wantFailure(t, err, git.Invalid)
			if _, err := os.Lstat(dir); err == nil {
				t.Error("there are files")
			}
		})
	}
	if left, _ := os.ReadDir(b.out); len(left) > 0 {
		t.Errorf("%v was written", left)
	}
}

func TestBombs(t *testing.T) {
	t.Parallel()
	b, h := served(t, gittest.Options{}, func(c *git.Config) {
		c.MaxFiles, c.MaxTree, c.MaxDownload = 1000, 4<<20, 2<<20
	})
	t.Run("trees", func(t *testing.T) {
		t.Parallel()
		r := gittest.New(t, b.root, "trees")
		below := tree(r, [2]string{"100644 f", r.GitInput("x", "hash-object", "-w", "--stdin")})
		for range 10 { // 10^10 files
			var entries [][2]string
			for i := range 10 {
				entries = append(entries, [2]string{fmt.Sprintf("40000 %d", i), below})
			}
			below = tree(r, entries...)
		}
		_, err := b.Fetch(t.Context(), git.Remote{URL: h.URL + "/trees"}, commitTree(r, below), filepath.Join(b.out, "trees"), nil)
		wantFailure(t, err, git.TooLarge, "1000 files")
	})
	t.Run("zeros", func(t *testing.T) {
		t.Parallel()
		r := gittest.New(t, b.root, "zeros")
		tip := r.Commit("big", map[string]string{"big": strings.Repeat("\x00", 32<<20)})
		_, err := b.Fetch(t.Context(), git.Remote{URL: h.URL + "/zeros"}, tip, filepath.Join(b.out, "zeros"), nil)
		wantFailure(t, err, git.TooLarge, "4 MiB")
	})
	t.Run("download", func(t *testing.T) {
		t.Parallel()
		r := gittest.New(t, b.root, "download")
		noise := make([]byte, 3<<20)
		x := uint32(1)
		for i := range noise {
			x ^= x << 13
			x ^= x >> 17
			x ^= x << 5
			noise[i] = byte(x)
		}
		tip := r.Commit("noise", map[string]string{"noise": string(noise)})
		_, err := b.Fetch(t.Context(), git.Remote{URL: h.URL + "/download"}, tip, filepath.Join(b.out, "download"), nil)
		wantFailure(t, err, git.TooLarge, "2 MiB", "download")
	})
	t.Run("depth", func(t *testing.T) {
		t.Parallel()
		r := gittest.New(t, b.root, "depth")
		below := tree(r, [2]string{"100644 f", r.GitInput("x", "hash-object", "-w", "--stdin")})
		for range 300 {
			below = tree(r, [2]string{"40000 d", below})
		}
		_, err := b.Fetch(t.Context(), git.Remote{URL: h.URL + "/depth"}, commitTree(r, below), filepath.Join(b.out, "depth"), nil)
		wantFailure(t, err, git.Invalid, "deeper")
	})
}

// TestHostileConfiguration fetches from a local repository whose configuration and
// hooks execute programs that fail whatever runs them.
func TestHostileConfiguration(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	r := gittest.New(t, b.root, "app")
	tip := r.Commit("First", map[string]string{".gitattributes": "* filter=bad diff=bad merge=bad\n", "a.txt": "one\n"})
	kill := "#!/bin/sh\nkill -9 $PPID\nexit 1\n"
	for _, hook := range []string{"post-checkout", "post-index-change", "reference-transaction", "fsmonitor-watchman"} {
		r.Write("*.git/hooks/"+hook, kill)
	}
	r.Write("*bad.sh", kill)
	bad := filepath.Join(r.Dir, "bad.sh")
	for _, key := range []string{"core.fsmonitor", "core.sshCommand", "uploadpack.packObjectsHook", "filter.bad.smudge", "filter.bad.process", "core.alternateRefsCommand"} {
		r.Git("config", key, bad)
	}
	r.Git("config", "filter.bad.required", "true")
	dir := filepath.Join(b.out, "app")
	if _, err := b.Fetch(t.Context(), b.file("app"), tip, dir, nil); err != nil {
		t.Fatal(err)
	}
	if got := content(t, dir, "a.txt"); got != "one\n" {
		t.Errorf("a.txt holds %q", got)
	}
}

func TestLocalDirectories(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	gittest.New(t, b.out, "app").Commit("First", nil)
	if err := os.Symlink(filepath.Join(b.out, "app"), filepath.Join(b.root, "link")); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"file://" + b.out + "/app", "file://" + b.root + "/../out/app", "file://" + b.root + "/link", "file:///etc", "file://" + b.root} {
		_, err := b.Resolve(t.Context(), git.Remote{URL: url})
		wantFailure(t, err, git.NotFound)
	}
}

func TestSubmodules(t *testing.T) {
	t.Parallel()
	const token = "s3cret"
	b, h := served(t, gittest.Options{Token: token}, nil)
	var commit string
	for i, name := range []string{"leaf", "three", "two", "one", "zero"} { // each has the one before in it
		r := gittest.New(t, b.root, name)
		files := map[string]string{"name": name}
		if i > 0 {
			below := []string{"leaf", "three", "two", "one"}[i-1]
			files[".gitmodules"] = fmt.Sprintf("[submodule %q]\n\tpath = deps/%s\n\turl = ../%s\n", below, below, below)
			r.Git("update-index", "--add", "--cacheinfo", "160000,"+commit+",deps/"+below)
			for path, text := range files {
				r.Write(path, text)
				r.Git("add", path)
			}
			r.Git("commit", "-q", "-m", name)
			commit = r.Git("rev-parse", "HEAD")
			continue
		}
		commit = r.Commit(name, files)
	}
	credential := git.Credential{Username: "x", Password: token}
	one := filepath.Join(b.root, "one")
	tip := gittest.New(t, b.root, "one").Git("rev-parse", "HEAD")
	dir := filepath.Join(b.out, "one")
	if _, err := b.Fetch(t.Context(), git.Remote{URL: h.URL + "/one", Credential: credential}, tip, dir, nil); err != nil {
		t.Fatal(one, err)
	}
	if got := content(t, dir, "deps/two/deps/three/deps/leaf/name"); got != "leaf" {
		t.Errorf("the deepest file holds %q", got)
	}
	for _, git := range []string{".git", "deps/two/.git"} {
		if _, err := os.Lstat(filepath.Join(dir, git)); err == nil {
			t.Errorf("there is %s", git)
		}
	}
	_, err := b.Fetch(t.Context(), git.Remote{URL: h.URL + "/zero", Credential: credential}, commit, filepath.Join(b.out, "zero"), nil)
	wantFailure(t, err, git.Unsupported, "3 levels")
}

func TestHostileSubmodules(t *testing.T) {
	t.Parallel()
	other, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	stranger := gittest.ServeHTTPS(t, other, gittest.Options{})
	b, h := served(t, gittest.Options{}, nil)
	for name, url := range map[string]string{
		"ext":     "ext::sh -c 'touch /tmp/owned'",
		"option":  "--upload-pack=touch",
		"file":    "file:///etc",
		"path":    "/etc",
		"host":    stranger.URL + "/app",
		"ssh":     "ssh://git@127.0.0.1/app",
		"command": "ssh://-oProxyCommand=touch/app",
		"up":      "../../../app",
		"newline": h.URL + "/app\nx",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := gittest.New(t, b.root, name)
			first := r.Commit("First", nil)
			r.Write(".gitmodules", fmt.Sprintf("[submodule \"m\"]\n\tpath = m\n\turl = %q\n", url))
			r.Git("add", ".gitmodules")
			r.Git("update-index", "--add", "--cacheinfo", "160000,"+first+",m")
			r.Git("commit", "-q", "-m", "Second")
			_, err := b.Fetch(t.Context(), git.Remote{URL: h.URL + "/" + name}, r.Git("rev-parse", "HEAD"), filepath.Join(b.out, name), nil)
			if err == nil || !strings.Contains(err.Error(), "ubmodule") && !strings.Contains(err.Error(), "unsafe") {
				t.Errorf("error %v", err)
			}
			if left, _ := os.ReadDir(filepath.Join(b.out, name)); len(left) > 0 {
				t.Error("there are files")
			}
		})
	}
	t.Cleanup(func() {
		if n := len(stranger.Requests()); n > 0 {
			t.Errorf("another host was asked %d times", n)
		}
	})
}

func TestLFS(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	tip := gittest.New(t, b.root, "app").Commit("First", map[string]string{
		"media/film.mp4": "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n",
		"notes.txt":      "version https://git-lfs.github.com/spec/v1 is what a pointer begins with\n",
	})
	_, err := b.Fetch(t.Context(), b.file("app"), tip, filepath.Join(b.out, "app"), nil)
	wantFailure(t, err, git.Unsupported, "media/film.mp4", "Git LFS")
	if strings.Contains(err.Error(), "notes.txt") {
		t.Errorf("message %q", err)
	}
}

// TestRedirect redirects to another host: without a credential git follows, with one
// nothing is sent there.
func TestRedirect(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	gittest.New(t, b.root, "app").Commit("First", nil)
	to := gittest.ServeHTTPS(t, b.root, gittest.Options{})
	from := gittest.ServeHTTPS(t, b.root, gittest.Options{Before: func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, to.URL+r.URL.RequestURI(), http.StatusMovedPermanently)
		return true
	}})
	ca := filepath.Join(b.out, "ca.pem")
	if err := os.WriteFile(ca, []byte(content(t, to.CAFile)+content(t, from.CAFile)), 0o644); err != nil {
		t.Fatal(err)
	}
	g, err := git.New(git.Config{Dir: filepath.Join(b.out, "git"), CAFile: ca, Reach: gittest.Loopback(t)})
	if err != nil {
		t.Fatal(err)
	}
	r := git.Remote{URL: from.URL + "/app", Credential: git.Credential{Username: "x", Password: "s3cret"}}
	_, err = g.Resolve(t.Context(), r)
	wantFailure(t, err, git.Moved, "new URL")
	if n := len(to.Requests()); n != 0 {
		t.Errorf("%d requests went on", n)
	}
	r.Credential = git.Credential{}
	if _, err := g.Resolve(t.Context(), r); err != nil {
		t.Error(err)
	}
}

// TestOldServer fetches from a server that gives commits only at references.
func TestOldServer(t *testing.T) {
	t.Parallel()
	b, h := served(t, gittest.Options{OldProtocol: true}, nil)
	r := gittest.New(t, b.root, "app")
	first := r.Commit("First", map[string]string{"a": "1"})
	tip := r.Commit("Second", map[string]string{"a": "2"})
	remote := git.Remote{URL: h.URL + "/app", Ref: git.Ref{Branch: "main"}}
	for commit, want := range map[string]string{tip: "2", first: "1"} {
		dir := filepath.Join(b.out, commit)
		if _, err := b.Fetch(t.Context(), remote, commit, dir, nil); err != nil {
			t.Fatal(err)
		}
		if got := content(t, dir, "a"); got != want {
			t.Errorf("a holds %q, want %q", got, want)
		}
	}
	_, err := b.Fetch(t.Context(), remote, strings.Repeat("ab", 20), filepath.Join(b.out, "none"), nil)
	wantFailure(t, err, git.NoRef)
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	b, h := served(t, gittest.Options{Before: func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	}}, func(c *git.Config) { c.Timeout = time.Second })
	_, err := b.Resolve(t.Context(), git.Remote{URL: h.URL + "/app"})
	wantFailure(t, err, git.TimedOut, "1s")
}

func TestUntrustedCertificate(t *testing.T) {
	t.Parallel()
	b, h := served(t, gittest.Options{}, func(c *git.Config) { c.CAFile = "" })
	_, err := b.Resolve(t.Context(), git.Remote{URL: h.URL + "/app"})
	wantFailure(t, err, git.Untrusted, "certificate")
}

func TestRemoteRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	key := git.Credential{PrivateKey: []byte("key")}
	for text, r := range map[string]git.Remote{
		"password":       {URL: "https://ada:pass-word@example.com/app"},
		"understood":     {URL: "-oProxyCommand=touch"},
		"not understood": {URL: "ext::sh -c true"},
		"git://":         {URL: "git://example.com/app"},
		"host":           {URL: "ssh://-oProxyCommand=touch/app", Credential: key},
		"user":           {URL: "ssh://-l@example.com/app", Credential: key},
		"control":        {URL: "https://example.com/app\nx"},
		"query":          {URL: "https://example.com/app?x=y"},
		"no path":        {URL: "https://example.com"},
		"uses http":      {URL: "http://example.com/app"},
		"deploy key":     {URL: "git@example.com:app.git"},
		"only https":     {URL: "git@example.com:app.git", Credential: git.Credential{Bearer: "x"}},
		"branch":         {URL: "https://example.com/app", Ref: git.Ref{Branch: "--upload-pack=x"}},
		"tag":            {URL: "https://example.com/app", Ref: git.Ref{Tag: "a..b"}},
		"commit id":      {URL: "https://example.com/app", Ref: git.Ref{Commit: "HEAD"}},
		"Only one":       {URL: "https://example.com/app", Ref: git.Ref{Branch: "a", Tag: "b"}},
	} {
		_, err := b.Resolve(t.Context(), r)
		if err == nil || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "pass-word") {
			t.Errorf("%+v: error %v, want one about %q", r, err, text)
		}
	}
}
