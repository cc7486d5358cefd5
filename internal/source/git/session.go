package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/room"
	"github.com/openslipway/slipway/internal/source/git/confine"
)

// session is one call: a directory of its own, and what is left of its limits.
type session struct {
	git      *Git
	remote   Remote
	url      *url.URL
	argument string // the URL as git gets it
	dir      string // of the host
	source   string // a local repository, of the host; "": none
	progress func(line string)
	relay    *relay
	bytes    int64 // left of the files
	entries  int   // left of the files and directories
	modules  int   // submodules fetched so far
}

// begin checks a remote and makes the session's directory:
//
//	root       the program's root is mounted here
//	home       read-only: configuration, keys
//	work       the program's only writable place
func (g *Git) begin(ctx context.Context, r Remote) (_ *session, err error) {
	if g.program == "" {
		return nil, errNoProgram
	}
	u, err := parseURL(r.URL)
	if err != nil {
		return nil, err
	}
	s := &session{git: g, remote: r, url: u, progress: func(string) {}, bytes: g.cfg.MaxTree, entries: g.cfg.MaxFiles}
	if err := s.allowed(); err != nil {
		return nil, err
	}
	if u.Scheme == "ssh" && len(r.Credential.PrivateKey) == 0 {
		return nil, slipway.Errorf(slipway.InvalidRequest, "The repository URL %q uses ssh and needs a connection with a deploy key.", s.shown())
	}
	left := &atomic.Int64{}
	left.Store(g.cfg.MaxDownload)
	s.relay = &relay{dial: g.cfg.dialer(), left: left, disk: &g.disk}
	if u.Scheme == "ssh" {
		s.relay.fixed = address(u)
	}
	if err := os.MkdirAll(g.cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := room.Check(g.cfg.Dir, 0); err != nil {
		return nil, noRoom(err)
	}
	if s.dir, err = os.MkdirTemp(g.cfg.Dir, runPrefix); err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		s.end(&err)
		return nil, fmt.Errorf("prepare a run of git: %w", err)
	}
	return s, nil
}

// end removes the session's directory.
func (s *session) end(err *error) {
	if failed := os.RemoveAll(s.dir); failed != nil && *err == nil {
		*err = fmt.Errorf("remove the directory of a run of git: %w", failed)
	}
}

// shown names the repository in messages.
func (s *session) shown() string { return shown(s.remote.URL) }

// allowed refuses protocols and directories that the configuration does not name,
// and finds out how git gets the URL.
func (s *session) allowed() error {
	cfg := s.git.cfg
	if !slices.Contains(cfg.Protocols, s.url.Scheme) {
		return slipway.Errorf(slipway.InvalidRequest, "The repository URL %q uses %s; this server reads repositories by %s.",
			s.shown(), s.url.Scheme, strings.Join(cfg.Protocols, ", "))
	}
	if s.remote.Credential.header() != "" && s.url.Scheme != "https" && s.url.Scheme != "http" {
		return slipway.Errorf(slipway.InvalidRequest, "The connection of %q has a token, which only https can present; give an https URL, or a connection with a deploy key.", s.shown())
	}
	s.argument = s.url.String()
	switch s.url.Scheme {
	case "ssh":
		if _, err := os.Stat(sshProgram); err != nil {
			return slipway.Errorf(slipway.InvalidRequest, "The repository URL %q uses ssh, and the program ssh is not installed on this server.", s.shown())
		}
		if scpLike.MatchString(s.remote.URL) {
			s.argument = s.remote.URL
		} else { // the port is the relay's
			without := *s.url
			if without.Host = s.url.Hostname(); strings.Contains(without.Host, ":") {
				without.Host = "[" + without.Host + "]"
			}
			s.argument = without.String()
		}
	case "file":
		real, err := filepath.EvalSymlinks(s.url.Path)
		if err != nil || !slices.ContainsFunc(cfg.Directories, func(d string) bool { return strings.HasPrefix(real, filepath.Clean(d)+"/") }) {
			return fail(NotFound, "There is no repository %s in the directories that this server reads repositories from.", s.shown())
		}
		s.source, s.argument = real, "file://"+viewSource
	}
	return nil
}

// prepare makes what the program finds.
func (s *session) prepare() error {
	for _, dir := range []string{"root", "home/.ssh", "work/tmp", "work/tree"} {
		if err := os.MkdirAll(filepath.Join(s.dir, dir), 0o755); err != nil {
			return err
		}
	}
	passwd := "root:x:0:0::" + viewHome + ":/bin/false\n"
	group := "root:x:0:\n"
	if os.Geteuid() == 0 {
		passwd += fmt.Sprintf("git:x:%d:%d::%s:/bin/false\n", s.git.cfg.User, s.git.cfg.User, viewHome)
		group += fmt.Sprintf("git:x:%d:\n", s.git.cfg.User)
	}
	files := map[string]string{
		"home/passwd":      passwd,
		"home/group":       group,
		"home/gitconfig":   configFile(settings()),
		"home/.ssh/config": sshConfig(s.url),
		"home/known_hosts": joined(s.git.cfg.KnownHosts, s.remote.Credential.KnownHosts),
		"home/key":         joined(s.remote.Credential.PrivateKey),
	}
	for name, text := range files {
		mode := os.FileMode(0o644)
		if name == "home/key" {
			mode = 0o600
		}
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), mode); err != nil {
			return err
		}
	}
	return s.give("home/key", "work", "work/tmp", "work/tree")
}

// joined joins files of lines.
func joined(files ...[]byte) string {
	var b strings.Builder
	for _, f := range files {
		if b.Write(f); len(f) > 0 && f[len(f)-1] != '\n' {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// give makes the program's user the owner of files of the session.
func (s *session) give(names ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range names {
		if err := os.Lchown(filepath.Join(s.dir, name), s.git.cfg.User, s.git.cfg.User); err != nil {
			return err
		}
	}
	return nil
}

// Limits of git's processes.
const (
	maxMemory    = 4 << 30 // bytes of address space; packs are mapped
	maxOpen      = 1024
	maxProcesses = 512 // of all calls at a time
	maxStderr    = 64 << 10
)

// run runs git once. network says whether it may connect to the server. stdout
// receives its output, and ends the run by an error.
func (s *session) run(ctx context.Context, network bool, stdout io.Writer, args ...string) error {
	stderr := &messages{progress: s.progress}
	c := confine.Command{
		Program: s.git.program,
		Args:    args,
		Env:     environment(s.git.cfg.Protocols, s.url, ""),
		Dir:     viewWork,
		Root:    filepath.Join(s.dir, "root"),
		User:    s.git.cfg.User,
		Binds: []confine.Bind{
			{Source: filepath.Join(s.dir, "home"), Target: viewHome},
			{Source: filepath.Join(s.dir, "home/passwd"), Target: "/etc/passwd"},
			{Source: filepath.Join(s.dir, "home/group"), Target: "/etc/group"},
			{Source: filepath.Join(s.dir, "work"), Target: viewWork, Write: true},
		},
		Limits: confine.Limits{Memory: maxMemory, FileSize: uint64(max(s.git.cfg.MaxTree, s.git.cfg.MaxDownload)), Files: maxOpen, Processes: maxProcesses},
		Stdout: stdout,
		Stderr: stderr,
	}
	if network {
		s.join(ctx, &c)
	}
	err := c.Run(ctx)
	stderr.flush()
	if err == nil {
		return nil
	}
	if own, ok := errors.AsType[*Error](err); ok {
		return own // of stdout
	}
	if _, exited := errors.AsType[*exec.ExitError](err); !exited && context.Cause(ctx) == nil {
		return fmt.Errorf("run git: %w", err)
	}
	return s.failed(ctx, err, stderr.text.Bytes())
}

// join lets a run reach the server.
func (s *session) join(ctx context.Context, c *confine.Command) {
	c.Env = environment(s.git.cfg.Protocols, s.url, s.remote.Credential.header())
	if s.source != "" {
		c.Binds = append(c.Binds, confine.Bind{Source: s.source, Target: viewSource})
		return
	}
	if s.git.cfg.CAFile != "" && s.url.Scheme == "https" {
		c.Binds = append(c.Binds, confine.Bind{Source: s.git.cfg.CAFile, Target: "/ca.pem"})
		c.Env = append(c.Env, "GIT_SSL_CAINFO=/ca.pem")
	}
	c.Serve = func(l net.Listener) { s.relay.serve(ctx, l) }
}

// bounded keeps output up to a limit, and ends the run that writes more.
type bounded struct {
	bytes.Buffer
	most int
	over error
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.most {
		return 0, b.over
	}
	return b.Buffer.Write(p)
}

// seed makes an empty repository with the hash function of an id.
func (s *session) seed(name, commit string) error {
	dir := filepath.Join("work", name)
	for _, d := range []string{dir, dir + "/objects", dir + "/refs"} {
		if err := os.Mkdir(filepath.Join(s.dir, d), 0o755); err != nil {
			return err
		}
	}
	config := "[core]\n\trepositoryformatversion = 0\n"
	if len(commit) == 64 {
		config = "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectFormat = sha256\n"
	}
	for file, text := range map[string]string{"HEAD": "ref: refs/heads/none\n", "config": config} {
		if err := os.WriteFile(filepath.Join(s.dir, dir, file), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return s.give(dir, dir+"/objects", dir+"/refs", dir+"/HEAD", dir+"/config")
}

// deliver hands the finished tree to the caller.
func (s *session) deliver(rev Revision, dir string) error {
	from := filepath.Join(s.dir, "work/tree")
	if err := normalize(from, rev.Time); err != nil {
		return err
	}
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, dir, unix.RENAME_NOREPLACE)
	if err != nil {
		return fmt.Errorf("move the files of a commit to %s: %w", dir, err)
	}
	return nil
}
