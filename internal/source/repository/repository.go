package repository

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/build"
	"github.com/openslipway/slipway/internal/codehost"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/source/config"
	"github.com/openslipway/slipway/internal/source/detect"
	"github.com/openslipway/slipway/internal/source/git"
)

// Git reads repositories. *git.Git does.
type Git interface {
	Resolve(ctx context.Context, r git.Remote) (commit string, err error)
	Fetch(ctx context.Context, r git.Remote, commit, dir string, progress func(line string)) (git.Revision, error)
	Inspect(ctx context.Context, r git.Remote, commit string) (git.Revision, error)
}

// Uploads are directories that users sent. *uploads.Uploads does.
type Uploads interface {
	Upload(ctx context.Context, id string) (slipway.Upload, error)
	Materialize(ctx context.Context, u slipway.Upload, dir string) error
}

// Builder builds images. *build.Builder does.
type Builder interface {
	Build(ctx context.Context, r build.Request, log func(build.Line)) (build.Result, error)
	// Find returns the image that Build would use again, and false if it would build.
	Find(ctx context.Context, r build.Request, log func(build.Line)) (build.Result, bool)
}

// Images is the part of the image store that is needed.
type Images interface {
	Get(digest string) (image.Image, error)
	// Layers fails if the store does not have the image, or not completely.
	Layers(ctx context.Context, digest string) ([]string, error)
}

// Config is what a Maker needs. All fields are required.
type Config struct {
	Dir     string // for source code; nothing else uses it. On the image store's file system
	Git     Git
	Uploads Uploads
	Builder Builder
	Images  Images
	Log     *slog.Logger

	// Output keeps a line of a build's output in the stream build/<operation> of the
	// service.
	Output func(service, operation, line string)
}

// Maker makes images of code.
type Maker struct {
	cfg Config

	mu    sync.Mutex       // guards known
	known map[string]known // by service: what its last build was of
}

// New makes the directory of source code, and removes what an earlier process left in
// it.
func New(cfg Config) (*Maker, error) {
	if !filepath.IsAbs(cfg.Dir) || cfg.Git == nil || cfg.Uploads == nil || cfg.Builder == nil || cfg.Images == nil || cfg.Log == nil || cfg.Output == nil {
		return nil, errors.New("repository: an absolute directory, git, uploads, a builder, images, a log and an output are required")
	}
	if err := os.RemoveAll(cfg.Dir); err != nil {
		return nil, fmt.Errorf("remove source code of an earlier process: %w", err)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of source code: %w", err)
	}
	return &Maker{cfg: cfg, known: map[string]known{}}, nil
}

// Commit returns the newest commit of a repository's branch, or the id of the content of
// an upload.
func (m *Maker) Commit(ctx context.Context, r source.Repository) (string, error) {
	if slipway.IsUploadURL(r.URL) {
		u, err := m.upload(ctx, r)
		return u.Snapshot, err
	}
	commit, err := m.cfg.Git.Resolve(ctx, remote(r))
	return commit, retried(err)
}

// Directory returns the id of the content that the repository's source directory has
// at a commit.
func (m *Maker) Directory(ctx context.Context, r source.Repository, commit string) (string, error) {
	if slipway.IsUploadURL(r.URL) {
		return "", nil
	}
	rev, err := m.cfg.Git.Inspect(ctx, remote(r), commit)
	return rev.DirectoryTree, retried(err)
}

// Build makes an image of a commit. The lines that progress gets are App Runner's.
func (m *Maker) Build(ctx context.Context, q source.BuildRequest, progress func(line string)) (source.Build, error) {
	b, ok, err := m.again(ctx, q, progress)
	if ok || err != nil {
		return b, err
	}
	return m.build(ctx, q, progress)
}

func (m *Maker) build(ctx context.Context, q source.BuildRequest, progress func(line string)) (source.Build, error) {
	dir := filepath.Join(m.cfg.Dir, q.Operation)
	if err := os.RemoveAll(dir); err != nil { // of an attempt before
		return source.Build{}, fmt.Errorf("remove source code: %w", err)
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			m.cfg.Log.Error("cannot remove source code; the next start will", "dir", dir, "err", err)
		}
	}()
	output := func(line string) { m.cfg.Output(q.Service, q.Operation, line) }
	r := q.Repository
	fetch := m.fetch
	if slipway.IsUploadURL(r.URL) {
		fetch = m.take
	}
	rev, err := fetch(ctx, q, dir, progress, output)
	if err != nil {
		return source.Build{}, failedToPull(err)
	}
	p, err := m.configuration(r, dir, progress, output)
	if err != nil {
		return source.Build{}, err
	}
	if p.docker == "" {
		if err := checkEngines(dir, r.Directory, p.file, output); err != nil {
			return source.Build{}, err
		}
	}
	if !detect.StartsAlone(version(rev, p.file, r).Command, p.program) {
		p.program = ""
	}
	progress("Starting source code build.")
	k := known{of: identify(q), rev: rev, plan: p}
	res, err := m.cfg.Builder.Build(ctx, k.request(q, dir), func(l build.Line) { output(l.String()) })
	if err != nil {
		return source.Build{}, err
	}
	m.remember(q.Service, k)
	return m.made(ctx, res, k, r, progress, output)
}

// made returns an image that there is now.
func (m *Maker) made(ctx context.Context, res build.Result, k known, r source.Repository, progress, output func(line string)) (source.Build, error) {
	progress("Successfully built your application source code.")
	if k.docker != "" && k.file.Port == 0 {
		port, err := m.exposed(res.Digest)
		if err != nil {
			return source.Build{}, err
		}
		if k.file.Port = port; port != 0 {
			output(fmt.Sprintf("[AppRunner] The service listens on port %d, which %s exposes.", port, k.docker))
		}
	}
	code := version(k.rev, k.file, r)
	code.Runtime = strings.TrimSpace(res.Runtime + " " + res.RuntimeVersion)
	a, err := m.Built(ctx, res.Digest, code, r)
	return source.Build{Artifact: a, Code: code}, err
}

// fetch makes dir of a commit.
func (m *Maker) fetch(ctx context.Context, q source.BuildRequest, dir string, progress, output func(line string)) (git.Revision, error) {
	r := q.Repository
	progress(fmt.Sprintf("Pulling source code from %s Repository ( %s ).", provider(r), r.URL))
	rev, err := m.cfg.Git.Fetch(ctx, remote(r), q.Commit, dir, func(line string) { output("[AppRunner] " + line) })
	if err != nil {
		return rev, err
	}
	progress("Successfully pulled your application source code.")
	output(fmt.Sprintf("[AppRunner] Commit %.12s: %s", rev.Commit, rev.Subject))
	return rev, nil
}

// take makes dir of an upload. Its commit is the id of its content.
func (m *Maker) take(ctx context.Context, q source.BuildRequest, dir string, progress, output func(line string)) (git.Revision, error) {
	u, err := m.upload(ctx, q.Repository)
	if err == nil {
		err = m.cfg.Uploads.Materialize(ctx, u, dir)
	}
	if err != nil {
		return git.Revision{}, err
	}
	progress("Successfully pulled your application source code.")
	output(fmt.Sprintf("[AppRunner] Upload %.12s: %d files, sent at %s.", u.Snapshot, u.Files, u.CreatedAt.UTC().Format(time.DateTime+" UTC")))
	return git.Revision{Commit: u.Snapshot, Tree: u.Snapshot, Time: u.CreatedAt}, nil
}

// upload returns the upload that a repository's URL names.
func (m *Maker) upload(ctx context.Context, r source.Repository) (slipway.Upload, error) {
	id, err := slipway.ParseUploadURL(r.URL)
	if err != nil {
		return slipway.Upload{}, err
	}
	return m.cfg.Uploads.Upload(ctx, id)
}

// Built returns an image that was built of a repository's commit before.
func (m *Maker) Built(ctx context.Context, digest string, code slipway.CodeVersion, r source.Repository) (source.Artifact, error) {
	if _, err := m.cfg.Images.Layers(ctx, digest); err != nil {
		return source.Artifact{}, fmt.Errorf("open the image that was built: %w", err)
	}
	img, err := m.cfg.Images.Get(digest)
	if err != nil {
		return source.Artifact{}, fmt.Errorf("open the image that was built: %w", err)
	}
	if img.Config.Labels[build.LabelRuntime] != config.Docker { // a Dockerfile says where its command runs
		img.Config.Dir = path.Join("/app", r.Directory)
	}
	return source.Artifact{Digest: digest, Ref: fmt.Sprintf("%s@%.12s", r.URL, code.Commit), Config: img.Config}, nil
}

// origin returns a URL as labels have it: without credentials.
func origin(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// exposed returns the lowest TCP port that an image exposes, 0 if it exposes none.
func (m *Maker) exposed(digest string) (lowest int, err error) {
	img, err := m.cfg.Images.Get(digest)
	if err != nil {
		return 0, fmt.Errorf("open the image that was built: %w", err)
	}
	for _, p := range img.Config.Ports {
		number, protocol, _ := strings.Cut(p, "/")
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > 65535 || protocol != "" && protocol != "tcp" {
			continue
		}
		if lowest == 0 || n < lowest {
			lowest = n
		}
	}
	return lowest, nil
}

// remote returns a repository as package git has it, with its credential.
func remote(r source.Repository) git.Remote {
	out := git.Remote{URL: r.URL, Ref: git.ParseRef(r.Branch), Directory: r.Directory}
	out.Credential.PrivateKey = r.PrivateKey
	if r.Token != "" {
		out.Credential.Username, out.Credential.Password = codehost.Basic(r.Provider, r.Token)
	}
	return out
}

// provider names the host of a repository in App Runner's lines.
func provider(r source.Repository) string {
	if r.Provider == "" {
		return "GIT"
	}
	return r.Provider
}

// retried returns err so that the deployment tries again what may pass: an error of
// the user's is not tried again.
func retried(err error) error {
	if t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err); ok && t.Temporary() {
		return errors.New(err.Error())
	}
	return err
}

// failedToPull words a failed fetch as App Runner does.
func failedToPull(err error) error {
	err = retried(err)
	const failed = "Failed to pull your application source code. Reason: "
	if code := slipway.CodeOf(err); code != "" {
		return slipway.Errorf(code, "%s%s", failed, err)
	}
	//lint:ignore ST1005 a sentence of App Runner's
	return fmt.Errorf(failed+"%w", err)
}
