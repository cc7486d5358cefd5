package repository_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/build"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/source/config"
	"github.com/openslipway/slipway/internal/source/git"
	"github.com/openslipway/slipway/internal/source/repository"
)

// fakes are git, a builder and an image store. files are those of the only commit;
// a name that ends with an arrow is a symbolic link to its content.
type fakes struct {
	files    map[string]string
	fetchErr error
	buildErr error

	finds bool // an earlier build had the same inputs

	fetches  int
	remotes  []git.Remote
	requests []build.Request
	output   []string
}

func (f *fakes) Resolve(_ context.Context, r git.Remote) (string, error) {
	f.remotes = append(f.remotes, r)
	return "c0ffee", f.fetchErr
}

func (f *fakes) Inspect(context.Context, git.Remote, string) (git.Revision, error) {
	return git.Revision{DirectoryTree: "dir"}, f.fetchErr
}

func (f *fakes) Fetch(_ context.Context, r git.Remote, commit, dir string, progress func(string)) (git.Revision, error) {
	f.remotes = append(f.remotes, r)
	f.fetches++
	if f.fetchErr != nil {
		return git.Revision{}, f.fetchErr
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		return git.Revision{}, errors.New("the directory exists")
	}
	progress("Receiving objects: 100%.")
	return git.Revision{Commit: commit, Tree: "tree", DirectoryTree: "dir", Subject: "Begin"}, f.write(dir)
}

func (f *fakes) write(dir string) (err error) {
	for name, content := range f.files {
		path := filepath.Join(dir, strings.TrimSuffix(name, "->"))
		err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755))
		if strings.HasSuffix(name, "->") {
			err = errors.Join(err, os.Symlink(content, path))
		} else {
			err = errors.Join(err, os.WriteFile(path, []byte(content), 0o644))
		}
	}
	return err
}

// sent is the only upload.
var sent = slipway.Upload{ID: strings.Repeat("a", 32), Owner: "me", Snapshot: strings.Repeat("b", 64), Files: 2, CreatedAt: time.Unix(1_800_000_000, 0)}

func (f *fakes) Upload(_ context.Context, id string) (slipway.Upload, error) {
	if id != sent.ID {
		return slipway.Upload{}, slipway.Errorf(slipway.InvalidRequest, "The upload %s is not there any more.", id)
	}
	return sent, f.fetchErr
}

func (f *fakes) Materialize(_ context.Context, _ slipway.Upload, dir string) error {
	return f.write(dir)
}

func (f *fakes) Build(_ context.Context, r build.Request, log func(build.Line)) (build.Result, error) {
	f.requests = append(f.requests, r)
	log(build.Line{Phase: build.PhaseBuild, Text: "compiled"})
	return build.Result{Digest: "sha256:1", Runtime: r.File.Runtime, RuntimeVersion: "1.2"}, f.buildErr
}

func (f *fakes) Find(_ context.Context, r build.Request, _ func(build.Line)) (build.Result, bool) {
	if r.Tree != "" || r.SourceID == "" {
		return build.Result{}, false
	}
	return build.Result{Digest: "sha256:1", Cached: true}, f.finds
}

func (f *fakes) Get(digest string) (image.Image, error) {
	return image.Image{Digest: digest, Config: image.RunConfig{Env: []string{"LANG=C"}}}, nil
}

func (f *fakes) Layers(_ context.Context, digest string) ([]string, error) {
	if digest != "sha256:1" {
		return nil, image.ErrNotFound
	}
	return []string{"/layer"}, nil
}

func open(t *testing.T, f *fakes) (*repository.Maker, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "source")
	m, err := repository.New(repository.Config{
		Dir: dir, Git: f, Uploads: f, Builder: f, Images: f, Log: slog.New(slog.DiscardHandler),
		Output: func(service, operation, line string) { f.output = append(f.output, service+"/"+operation+" "+line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return m, dir
}

const file = `version: 1.0
runtime: python311
build:
  commands:
    build:
      - make
run:
  command: python3 app.py
  network:
    port: 9000
    env: WEB_PORT
  env:
    - name: STAGE
      value: prod
  secrets:
    - name: TOKEN
      value-from: /shop/token
`

func request(directory string) source.BuildRequest {
	return source.BuildRequest{Service: "s", Operation: "o", Commit: "c0ffee", Repository: source.Repository{
		URL: "https://github.com/a/b", Branch: "main", Directory: directory, Provider: "GITHUB", Token: "tok",
		Configuration: types.CodeConfiguration{ConfigurationSource: types.ConfigurationSourceRepository},
	}}
}

func TestBuildFromTheFile(t *testing.T) {
	t.Parallel()
	f := &fakes{files: map[string]string{"web/apprunner.yaml": file, "apprunner.yaml": "nonsense"}}
	m, dir := open(t, f)
	// What an attempt before a crash left is in nobody's way.
	if err := os.MkdirAll(filepath.Join(dir, "o", "left"), 0o755); err != nil {
		t.Fatal(err)
	}
	var progress []string
	b, err := m.Build(t.Context(), request("web"), func(line string) { progress = append(progress, line) })
	if err != nil {
		t.Fatal(err)
	}
	want := source.Build{
		Artifact: source.Artifact{Digest: "sha256:1", Ref: "https://github.com/a/b@c0ffee", Config: image.RunConfig{Env: []string{"LANG=C"}, Dir: "/app/web"}},
		Code: slipway.CodeVersion{
			Commit: "c0ffee", Directory: "dir", Runtime: "python311 1.2", Port: "9000", Command: "python3 app.py",
			Environment: map[string]string{"STAGE": "prod", "WEB_PORT": "9000"}, Secrets: map[string]string{"TOKEN": "/shop/token"},
		},
	}
	if d := cmp.Diff(want, b); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{
		"Pulling source code from GITHUB Repository ( https://github.com/a/b ).", "Successfully pulled your application source code.",
		"Reading apprunner.yaml config file.", "Successfully validate configuration file.",
		"Starting source code build.", "Successfully built your application source code.",
	}, progress); d != "" {
		t.Errorf("progress (-want +got):\n%s", d)
	}
	r := f.requests[0]
	if r.Origin != "https://github.com/a/b" || r.SourceID != "tree" || r.SourceDirectory != "/web" || r.File.Runtime != "python311" || !slices.Equal(r.File.Build, []string{"make"}) || r.Service != "s" {
		t.Errorf("the build got %+v", r)
	}
	if d := cmp.Diff(git.Remote{
		URL: "https://github.com/a/b", Ref: git.Ref{Name: "main"}, Directory: "web", Credential: git.Credential{Username: "x-access-token", Password: "tok"},
	}, f.remotes[0]); d != "" {
		t.Errorf("git got (-want +got):\n%s", d)
	}
	for _, line := range []string{"s/o [AppRunner] Receiving objects: 100%.", "s/o [Build] compiled"} {
		if !slices.Contains(f.output, line) {
			t.Errorf("the output lacks %q: %q", line, f.output)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v is left of the source code (%v)", left, err)
	}
}

func TestBuildFromTheAPI(t *testing.T) {
	t.Parallel()
	f := &fakes{files: map[string]string{"apprunner.yaml": "nonsense"}}
	m, _ := open(t, f)
	q := request("")
	q.Repository.Configuration = types.CodeConfiguration{
		ConfigurationSource: types.ConfigurationSourceApi,
		CodeConfigurationValues: &types.CodeConfigurationValues{
			Runtime: types.RuntimeGo1, BuildCommand: aws.String("go build"), StartCommand: aws.String("./app"), Port: aws.String("80"),
			RuntimeEnvironmentVariables: map[string]string{"A": "1"},
		},
	}
	b, err := m.Build(t.Context(), q, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if c := b.Code; c.Command != "./app" || c.Port != "80" || c.Environment["A"] != "1" {
		t.Errorf("the release would be %+v", c)
	}
	if r := f.requests[0]; r.File.Runtime != "go1" || !slices.Equal(r.File.Build, []string{"go build"}) || len(r.Env) != 0 {
		t.Errorf("the build got %+v: variables of the API are the running application's only", r)
	}
}

// The service's own settings and secrets reach the build.
func TestBuildWithSettings(t *testing.T) {
	t.Parallel()
	f := &fakes{files: map[string]string{"apprunner.yaml": file}}
	m, _ := open(t, f)
	q := request("")
	q.Repository.Build = slipway.BuildSettings{
		Mode: slipway.BuildModeKeep, Env: map[string]string{"B": "2", "A": "1"}, Secrets: map[string]string{"TOKEN": "/shop/token"},
	}
	q.Secrets = map[string]string{"TOKEN": "value"}
	if _, err := m.Build(t.Context(), q, func(string) {}); err != nil {
		t.Fatal(err)
	}
	r := f.requests[0]
	if r.Mode != build.ModeKeep || r.Settings != q.Repository.Build.Fingerprint() ||
		!slices.Equal(r.Env, []config.Variable{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}}) ||
		!slices.Equal(r.Secrets, []config.Variable{{Name: "TOKEN", Value: "value"}}) {
		t.Errorf("the build got %+v", r)
	}
}

// An upload without a configuration file is built as its files suggest, and what the
// service sets wins.
func TestBuildOfAnUpload(t *testing.T) {
	t.Parallel()
	f := &fakes{files: map[string]string{
		"requirements.txt": "flask==3.0.0\n", "app.py": "from flask import Flask\napp = Flask(__name__)\n",
		"web/apprunner.yaml": file,
	}}
	m, dir := open(t, f)
	q := request("")
	q.Repository = source.Repository{URL: sent.URL(), Configuration: types.CodeConfiguration{ConfigurationSource: types.ConfigurationSourceRepository}}
	var err error
	if q.Commit, err = m.Commit(t.Context(), q.Repository); err != nil || q.Commit != sent.Snapshot {
		t.Fatalf("the commit of an upload is %q, %v", q.Commit, err)
	}
	if d, err := m.Directory(t.Context(), q.Repository, q.Commit); d != "" || err != nil {
		t.Errorf("directory %q, %v", d, err)
	}
	b, err := m.Build(t.Context(), q, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	r := f.requests[0]
	if r.SourceID != sent.Snapshot || r.Commit != sent.Snapshot || !r.Time.Equal(sent.CreatedAt) || !strings.HasPrefix(r.File.Runtime, "python") {
		t.Errorf("the build got %+v", r)
	}
	if b.Code.Upload != sent.URL() || b.Code.Commit != sent.Snapshot || !strings.Contains(b.Code.Command, "app:app") {
		t.Errorf("the release would be %+v", b.Code)
	}
	if log := strings.Join(f.output, "\n"); !strings.Contains(log, "[AppRunner] Detected: requirements.txt -> Python.") {
		t.Errorf("the build's log does not say how it was detected:\n%s", log)
	}

	q.Repository.Directory = "web"
	q.Repository.Configuration.CodeConfigurationValues = &types.CodeConfigurationValues{
		Port: aws.String("81"), RuntimeEnvironmentVariables: map[string]string{"TOKEN": "plain", "MORE": "1"},
		RuntimeEnvironmentSecrets: map[string]string{"STAGE": "/shop/stage"},
	}
	if b, err = m.Build(t.Context(), q, func(string) {}); err != nil {
		t.Fatal(err)
	}
	want := slipway.CodeVersion{
		Commit: sent.Snapshot, Upload: sent.URL(), Runtime: "python311 1.2", Port: "81", Command: "python3 app.py",
		Environment: map[string]string{"TOKEN": "plain", "MORE": "1", "WEB_PORT": "81"}, Secrets: map[string]string{"STAGE": "/shop/stage"},
	}
	if d := cmp.Diff(want, b.Code); d != "" {
		t.Errorf("what the service sets does not win over the file (-want +got):\n%s", d)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v is left of the source code (%v)", left, err)
	}

	q.Repository.Directory = ""
	f = &fakes{files: map[string]string{"notes.md": "x"}}
	m, _ = open(t, f)
	if _, err := m.Build(t.Context(), q, func(string) {}); slipway.CodeOf(err) != slipway.InvalidRequest || len(f.requests) != 0 {
		t.Errorf("nothing to detect: %v", err)
	}
	f = &fakes{files: map[string]string{"Containerfile": "FROM scratch"}}
	m, _ = open(t, f)
	if _, err := m.Build(t.Context(), q, func(string) {}); err != nil || f.requests[0].Dockerfile != "Containerfile" {
		t.Errorf("a Dockerfile: %v, %+v", err, f.requests)
	}
	q.Repository.URL = "upload://" + strings.Repeat("c", 32)
	if _, err := m.Build(t.Context(), q, func(string) {}); slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), "is not there any more") {
		t.Errorf("an upload that is gone: %v", err)
	}
}

// A git repository is built as its files suggest only where the service says so.
func TestDetect(t *testing.T) {
	t.Parallel()
	f := &fakes{files: map[string]string{"requirements.txt": "flask\n", "app.py": "from flask import Flask\napp = Flask(__name__)\n"}}
	m, _ := open(t, f)
	q := request("")
	_, err := m.Build(t.Context(), q, func(string) {})
	if err == nil || !strings.HasPrefix(err.Error(), "App Runner configuration file apprunner.yaml not found.") ||
		!strings.Contains(err.Error(), "slipway:detect=true") || !strings.Contains(err.Error(), "slipway init") {
		t.Errorf("without a file: %v", err)
	}
	q.Repository.Build.Detect = true
	if b, err := m.Build(t.Context(), q, func(string) {}); err != nil || b.Code.Upload != "" || b.Code.Command == "" {
		t.Errorf("with detection: %+v, %v", b, err)
	}
}

// A commit that was built is not fetched again, unless something has changed.
func TestBuildAgain(t *testing.T) {
	t.Parallel()
	f := &fakes{files: map[string]string{"apprunner.yaml": file}, finds: true}
	m, _ := open(t, f)
	make := func(what string, fetches int, edit func(q *source.BuildRequest)) {
		t.Helper()
		q := request("")
		edit(&q)
		b, err := m.Build(t.Context(), q, func(string) {})
		if err != nil || b.Artifact.Digest != "sha256:1" || b.Code.Command != "python3 app.py" || b.Code.Commit != q.Commit {
			t.Errorf("%s: %+v, %v", what, b, err)
		}
		if f.fetches != fetches {
			t.Errorf("%s: it was fetched %d times, want %d", what, f.fetches, fetches)
		}
	}
	same := func(*source.BuildRequest) {}
	make("at first", 1, same)
	make("the same commit", 1, same)
	make("another token", 1, func(q *source.BuildRequest) { q.Repository.Token = "new" })
	make("another setting", 2, func(q *source.BuildRequest) { q.Repository.Build.Mode = slipway.BuildModeKeep })
	make("another commit", 3, func(q *source.BuildRequest) { q.Commit = "beef" })
	make("another service", 4, func(q *source.BuildRequest) { q.Service, q.Commit = "cart", "beef" })
	make("the first commit", 5, same)
	f.finds = false
	make("an image that is gone", 6, same)
}

// What is wrong with a repository is the user's mistake, told with its place, and no
// link leads out of the tree.
func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "apprunner.yaml")
	if err := os.WriteFile(outside, []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		files     map[string]string
		directory string
		want      string
	}{
		"no file":                 {map[string]string{"a": ""}, "", "App Runner configuration file apprunner.yaml not found."},
		"file elsewhere":          {map[string]string{"apprunner.yaml": file, "web/a": ""}, "web", "App Runner configuration file apprunner.yaml not found."},
		"no directory":            {map[string]string{"a": ""}, "web", `The repository has no directory "/web"`},
		"a file as the directory": {map[string]string{"web": ""}, "web", `The repository has no directory "/web"`},
		"mistake":                 {map[string]string{"apprunner.yaml": strings.Replace(file, "python311", "cobol", 1)}, "", "apprunner.yaml:2:10: "},
		"link out":                {map[string]string{"apprunner.yaml->": outside}, "", "The configuration file apprunner.yaml can't be read"},
		"directory out":           {map[string]string{"web->": filepath.Dir(outside)}, "web", `The repository has no directory "/web"`},
		"a directory as the file": {map[string]string{"apprunner.yaml/a": ""}, "", "can't be read: it is no file"},
		"huge":                    {map[string]string{"apprunner.yaml": strings.Repeat("#", config.MaxSize+2)}, "", ": the file has"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fakes{files: c.files}
			m, dir := open(t, f)
			_, err := m.Build(t.Context(), request(c.directory), func(string) {})
			if slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one of the user's with %q", err, c.want)
			}
			if len(f.requests) != 0 {
				t.Error("it was built")
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("%v is left of the source code", left)
			}
		})
	}
}

// What may pass is tried again; what the user must mend is not.
func TestFailures(t *testing.T) {
	t.Parallel()
	m, _ := open(t, &fakes{fetchErr: &git.Error{Kind: git.Unreachable, Message: "no route"}})
	_, err := m.Commit(t.Context(), request("").Repository)
	if err == nil || slipway.CodeOf(err) != "" {
		t.Errorf("an unreachable host gives %v", err)
	}
	_, err = m.Build(t.Context(), request(""), func(string) {})
	if err == nil || slipway.CodeOf(err) != "" || err.Error() != "Failed to pull your application source code. Reason: no route" {
		t.Errorf("a fetch from an unreachable host gives %v", err)
	}
	m, _ = open(t, &fakes{fetchErr: &git.Error{Kind: git.Refused, Message: "access denied"}})
	_, err = m.Build(t.Context(), request(""), func(string) {})
	if slipway.CodeOf(err) != slipway.InvalidRequest || err.Error() != "Failed to pull your application source code. Reason: access denied" {
		t.Errorf("a refused fetch gives %v", err)
	}
	mistake := slipway.Errorf(slipway.InvalidRequest, "Failed to build your application source code. Reason: Failed to execute 'build' command.")
	m, _ = open(t, &fakes{files: map[string]string{"apprunner.yaml": file}, buildErr: mistake})
	if _, err = m.Build(t.Context(), request(""), func(string) {}); !errors.Is(err, mistake) {
		t.Errorf("a failed build gives %v", err)
	}
	if _, err := m.Built(t.Context(), "sha256:2", slipway.CodeVersion{}, source.Repository{}); err == nil {
		t.Error("an image that is not stored is found")
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ provider, token, user, password string }{
		{"GITHUB", "tok", "x-access-token", "tok"},
		{"BITBUCKET", "tok", "x-token-auth", "tok"},
		{"BITBUCKET", "me:app:pass", "me", "app:pass"},
		{"", "", "", ""},
	} {
		f := &fakes{}
		m, _ := open(t, f)
		if _, err := m.Commit(t.Context(), source.Repository{URL: "https://x/y", Provider: c.provider, Token: c.token}); err != nil {
			t.Fatal(err)
		}
		if got := f.remotes[0].Credential; got.Username != c.user || got.Password != c.password || got.Bearer != "" {
			t.Errorf("%s %q gives %+v", c.provider, c.token, got)
		}
	}
}

// A runtime-version must be one that package.json allows; a runtime's own line that it
// does not allow is worth a warning.
func TestEnginesOfNode(t *testing.T) {
	t.Parallel()
	files := func(version, engines string) map[string]string {
		text := strings.Replace(file, "python311", "nodejs18", 1)
		if version != "" {
			text = strings.Replace(text, "run:\n", "run:\n  runtime-version: "+version+"\n", 1)
		}
		return map[string]string{"web/apprunner.yaml": text, "web/package.json": `{"engines":{"node":"` + engines + `"}}`, "package.json": `{"engines":{"node":"0.12"}}`}
	}
	for name, c := range map[string]struct{ version, engines, err, warning string }{
		"agree":               {"18.17", "^18", "", ""},
		"conflict":            {"18.17.1", ">=20", `The runtime-version 18.17.1 conflicts with engines.node of package.json, which is ">=20".`, ""},
		"no version":          {"", ">=20", "", `package.json wants Node.js ">=20" (engines.node), and the runtime is nodejs18.`},
		"not understood":      {"18.17", "the newest", "", ""},
		"no version, and fit": {"", ">=16", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fakes{files: files(c.version, c.engines)}
			m, _ := open(t, f)
			_, err := m.Build(t.Context(), request("web"), func(string) {})
			if c.err == "" && err != nil || c.err != "" && (slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if warned := strings.Contains(strings.Join(f.output, "\n"), "package.json wants"); warned != (c.warning != "") || !strings.Contains(strings.Join(f.output, "\n"), c.warning) {
				t.Errorf("the output is %q, want %q", f.output, c.warning)
			}
		})
	}
}

func TestDeployKeyAndTag(t *testing.T) {
	t.Parallel()
	f := &fakes{}
	m, _ := open(t, f)
	r := source.Repository{URL: "git@git.example.com:a/b", Branch: "refs/tags/v1", Provider: "GIT", PrivateKey: []byte("key")}
	if _, err := m.Commit(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	got := f.remotes[0]
	if string(got.Credential.PrivateKey) != "key" || got.Credential.Password != "" || got.Ref != (git.Ref{Tag: "v1"}) {
		t.Errorf("git gets %+v", got)
	}
}
