package git

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/outbound"
	"github.com/openslipway/slipway/internal/room"
)

// Config says how git runs, and what users may reach with it.
type Config struct {
	// Dir is a directory for the files of running calls, which nothing else uses. The
	// directories that Fetch makes must be on its file system.
	Dir string

	Program string // absolute path of git; "": the one in PATH
	User    int    // id of user and group that git runs as, for a caller who is root; 0: DefaultUser

	// Protocols that users may give: of https, ssh, http and file. nil: https and ssh.
	// file reaches only repositories below Directories, and only those that User can
	// read.
	Protocols   []string
	Directories []string

	CAFile     string // certificate authorities in place of the system's; "": the system's
	KnownHosts []byte // keys of ssh servers, in the form of known_hosts

	// Reach says which addresses of servers are connected to; nil: those on the internet
	// only.
	Reach *outbound.Policy

	// Dial connects to host:port in place of a dialer with these rules. nil: the
	// dialer.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	// Limits of one call; 0: the default.
	MaxDownload int64         // bytes from the servers
	MaxTree     int64         // bytes of all files of the commit
	MaxFiles    int           // files and directories of the commit
	Timeout     time.Duration // of the whole call
}

// Defaults of a configuration.
const (
	DefaultUser        = 1<<30 - 1 // below the ids of sandboxes
	DefaultMaxDownload = 2 << 30
	DefaultMaxTree     = 4 << 30
	DefaultMaxFiles    = 500_000
	DefaultTimeout     = 10 * time.Minute
)

// Git runs git.
type Git struct {
	cfg     Config
	program string
	disk    room.Gauge // of Config.Dir
}

// runPrefix begins the names of directories of running calls.
const runPrefix = "run-"

// New checks the configuration, and removes what calls of an earlier process left
// in its directory.
func New(cfg Config) (*Git, error) {
	if !filepath.IsAbs(cfg.Dir) {
		return nil, fmt.Errorf("git: the directory %q is not absolute", cfg.Dir)
	}
	if cfg.Protocols == nil {
		cfg.Protocols = []string{"https", "ssh"}
	}
	for _, p := range cfg.Protocols {
		if !slices.Contains([]string{"https", "ssh", "http", "file"}, p) {
			return nil, fmt.Errorf("git: there is no protocol %q; use https, ssh, http or file", p)
		}
	}
	for _, d := range cfg.Directories {
		if !filepath.IsAbs(d) || filepath.Clean(d) == "/" {
			return nil, fmt.Errorf("git: repositories cannot be allowed below %q; name an absolute directory", d)
		}
	}
	if cfg.User == 0 {
		cfg.User = DefaultUser
	}
	orDefault(&cfg.MaxDownload, DefaultMaxDownload)
	orDefault(&cfg.MaxTree, DefaultMaxTree)
	orDefault(&cfg.MaxFiles, DefaultMaxFiles)
	orDefault(&cfg.Timeout, DefaultTimeout)
	program := cfg.Program
	if program == "" {
		// A missing git is told when a service is made from code: servers that deploy
		// images do not need it.
		program, _ = exec.LookPath("git")
	}
	if program != "" && !filepath.IsAbs(program) {
		return nil, fmt.Errorf("git: the program %q is not an absolute path", program)
	}
	if err := removeRuns(cfg.Dir); err != nil {
		return nil, fmt.Errorf("git: remove what is left of an earlier process: %w", err)
	}
	return &Git{cfg: cfg, program: program, disk: room.Gauge{Dir: cfg.Dir}}, nil
}

func orDefault[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

func removeRuns(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), runPrefix) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

var errNoProgram = slipway.Errorf(slipway.InvalidRequest, "This server cannot read git repositories: the program git is not installed on it.")

var errDeadline = errors.New("the time limit of git is over")

// Check refuses a repository's URL, without a credential, that Resolve would refuse
// before it asks the server. The error is a *slipway.Error.
func (g *Git) Check(repository string) error {
	if g.program == "" {
		return errNoProgram
	}
	u, err := parseURL(repository)
	if err != nil {
		return err
	}
	return (&session{git: g, remote: Remote{URL: repository}, url: u}).allowed()
}

// Resolve asks the server which commit is meant now, and returns its id. It fetches
// nothing. A reference to a commit is returned as it is: Fetch finds out whether it
// exists. Failures that are not ours are an *Error or a *slipway.Error.
func (g *Git) Resolve(ctx context.Context, r Remote) (commit string, err error) {
	if err := r.Ref.check(); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, g.cfg.Timeout, errDeadline)
	defer cancel()
	s, err := g.begin(ctx, r)
	if err != nil {
		return "", err
	}
	defer s.end(&err)
	if r.Ref.Commit != "" {
		return r.Ref.Commit, nil
	}
	return s.resolve(ctx)
}

// Revision is one commit, as people and keys need it.
type Revision struct {
	Commit        string
	Tree          string // id of the commit's tree
	DirectoryTree string // id of the tree of Remote.Directory
	Time          time.Time
	Subject       string // first line of the message, at most 200 bytes
	Author        string // name, without the address
}

// SameDirectory reports whether nothing below the directory that both were asked
// about differs between two revisions.
func (r Revision) SameDirectory(other Revision) bool {
	return r.DirectoryTree != "" && r.DirectoryTree == other.DirectoryTree
}

// Fetch makes the directory dir, which must not exist, of the files of a commit and
// of its submodules. They belong to the caller, have the commit's time, and neither
// devices nor setuid bits nor a .git are among them. Symbolic links are as in the
// repository and may lead anywhere. progress receives lines for people; it may be
// nil. Failures that are not ours are an *Error or a *slipway.Error.
func (g *Git) Fetch(ctx context.Context, r Remote, commit, dir string, progress func(line string)) (Revision, error) {
	return g.fetch(ctx, r, commit, dir, progress)
}

// Inspect returns what Fetch would return, and keeps no files. It costs the same
// download; callers compare revisions with it before they build.
func (g *Git) Inspect(ctx context.Context, r Remote, commit string) (Revision, error) {
	return g.fetch(ctx, r, commit, "", nil)
}

func (g *Git) fetch(ctx context.Context, r Remote, commit, dir string, progress func(line string)) (_ Revision, err error) {
	if err := r.Ref.check(); err != nil {
		return Revision{}, err
	}
	if !commitID.MatchString(commit) {
		return Revision{}, slipway.Errorf(slipway.InvalidRequest, "The commit %q is not a full commit id.", commit)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, g.cfg.Timeout, errDeadline)
	defer cancel()
	s, err := g.begin(ctx, r)
	if err != nil {
		return Revision{}, err
	}
	defer s.end(&err)
	if progress != nil {
		s.progress = progress
	}
	rev, err := s.checkout(ctx, commit, dir != "")
	if err != nil || dir == "" {
		return rev, err
	}
	return rev, s.deliver(rev, dir)
}
