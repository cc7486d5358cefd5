package build_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/build"
	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/source/config"
)

// languagesEnv names what TestLanguages builds beside Python: "all" for every
// language. Making their runtimes takes a minute each: `make languages`.
const languagesEnv = "SLIPWAY_TEST_LANGUAGES"

// TestLanguagesRefresh looks for newer packages of a runtime in earnest: there are none,
// or it is made again, and then there are none.
func TestLanguagesRefresh(t *testing.T) {
	s := sharedStand(t)
	if os.Getenv(languagesEnv) != "all" {
		t.Skip("asks package archives, which takes a while: " + languagesEnv + "=all or `make languages` runs it")
	}
	before, err := s.runtimes.Resolve(t.Context(), "python311", "3.11", func(string) {})
	unreachable(t, "Debian's package archive", err, "")
	if err := s.runtimes.Refresh(t.Context()); err != nil {
		unreachable(t, "Debian's package archive", err, "")
	}
	after, err := s.runtimes.Resolve(t.Context(), "python311", "3.11", func(string) {})
	if err != nil || after.Version == "" {
		t.Fatal(err)
	}
	if err := s.runtimes.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if last, err := s.runtimes.Resolve(t.Context(), "python311", "3.11", func(string) {}); err != nil || last.Image != after.Image {
		t.Errorf("what was made again is not the newest: %s, then %s, %v", after.Image, last.Image, err)
	}
	digests, err := s.runtimes.Digests()
	if err != nil || !slices.Contains(digests, before.Image) || !slices.Contains(digests, after.Image) {
		t.Errorf("kept %v, %v; before %s, after %s", digests, err, before.Image, after.Image)
	}
}

// TestLanguages builds a service in each language, in a runtime that was made of
// packages, and runs its start command in the image.
func TestLanguages(t *testing.T) {
	s := sharedStand(t)
	for name, c := range map[string]struct {
		file     config.File
		registry string
		log      []string // what the log of the build has
		out      string   // what the service writes
	}{
		"python": {
			file: config.File{
				Runtime: "python311", Build: []string{"python3 -m py_compile server.py", "pip3 --version"}, Command: "python3 server.py",
				PostBuild: []string{"python3 server.py"},
			},
			registry: "Debian's package archive",
			log:      []string{"[AppRunner] The runtime is python311 3.11.", "[PostBuild] hello from Python 3.11."},
			out:      "hello from Python 3.11.",
		},
		"nodejs": {
			file:     config.File{Runtime: "nodejs22", Build: []string{"npm ci", "npx --version"}, Command: "node server.js"},
			registry: "the npm registry",
			log:      []string{"[AppRunner] The runtime is nodejs22 22.", "[Build] added 1 package"},
			out:      "hello from Node.js v22.",
		},
		"go": {
			file:     config.File{Runtime: "go1", Build: []string{"go build -o hello ."}, Command: "./hello"},
			registry: "the Go module proxy",
			log:      []string{"[AppRunner] The runtime is go1 1.", "[AppRunner] App Runner's go1 is Go 1.18."},
			out:      "Hello From go1.",
		},
		"ruby": {
			file:     config.File{Runtime: "ruby31", Build: []string{"bundle --version", "ruby -c server.rb"}, Command: "ruby server.rb"},
			registry: "Debian's package archive",
			log:      []string{"[AppRunner] The runtime is ruby31 3.1.", "[Build] Syntax OK"},
			out:      "hello from Ruby 3.1.",
		},
		"java": {
			file:     config.File{Runtime: "corretto11", RuntimeVersion: "11.0", Build: []string{"javac Main.java", "mvn --version"}, Command: "java Main"},
			registry: "Debian's package archive",
			log:      []string{"[AppRunner] The runtime is corretto11 11.0.", "[Build] Apache Maven 3."},
			out:      "hello from Java 11",
		},
		"php": {
			file:     config.File{Runtime: "php81", Build: []string{"php -l index.php", "composer --version --no-interaction"}, Command: "php index.php"},
			registry: "Debian's package archive",
			log:      []string{"[AppRunner] The runtime is php81 8.2.", "[AppRunner] PHP 8.1 is not packaged any more.", "[Build] No syntax errors"},
			out:      "hello from PHP 8.2.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if name != "python" && os.Getenv(languagesEnv) != "all" {
				t.Skip("makes a runtime, which takes a minute: " + languagesEnv + "=all or `make languages` runs it")
			}
			t.Parallel()
			id := fmt.Sprint(name, time.Now().UnixNano())
			log, res, err := s.build(t, build.Request{Tree: source(t, "hello-"+name), SourceID: id, File: c.file})
			unreachable(t, c.registry, err, log)
			for _, want := range c.log {
				if !strings.Contains(log, want) {
					t.Errorf("the log lacks %q", want)
				}
			}
			if out := s.start(t, res.Digest, c.file.Command); !strings.Contains(out, c.out) {
				t.Errorf("the service wrote %q", out)
			}
			again, second, err := s.build(t, build.Request{Tree: source(t, "hello-"+name), SourceID: id, File: c.file})
			if err != nil || !second.Cached || second.Digest != res.Digest {
				t.Errorf("built again: %+v, %v\n%s", second, err, again)
			}
			if t.Failed() {
				t.Log(log)
			}
		})
	}
}

// TestLanguagesBeyond makes runtimes of packages in other versions, most of which App
// Runner does not have.
func TestLanguagesBeyond(t *testing.T) {
	s := sharedStand(t)
	if os.Getenv(languagesEnv) != "all" {
		t.Skip("makes runtimes, which takes minutes: " + languagesEnv + "=all or `make languages` runs it")
	}
	for _, c := range []struct{ runtime, lock, command, says string }{
		{"nodejs12", "12.22", "npm --version && yarn --version && node --version", "v12.22."},
		{"go1", "1.18", "go version", "go version go1.18.10 "},
		{"python313", "3.13", "pip3 --version && python3 --version", "Python 3.13."},
		{"ruby33", "", "bundle --version && ruby --version", "ruby 3.3."},
		{"php84", "", "composer --version && php --version", "PHP 8.4."},
		{"corretto21", "", "mvn --version && java --version", "openjdk 21.0."},
	} {
		t.Run(c.runtime, func(t *testing.T) {
			t.Parallel()
			log, _, err := s.build(t, build.Request{Tree: source(t, "hello-python"), File: config.File{
				Runtime: c.runtime, RuntimeVersion: c.lock, Build: []string{c.command}, Command: "true",
			}})
			unreachable(t, "a package registry", err, log)
			if !strings.Contains(log, "[Build] "+c.says) {
				t.Errorf("the log lacks %q:\n%s", c.says, log)
			}
		})
	}
	log, _, err := s.build(t, build.Request{Tree: source(t, "hello-python"), File: config.File{Runtime: "nodejs22", RuntimeVersion: "22.99", Build: []string{"true"}}})
	if slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), "The specified runtime version is not supported.") || !strings.Contains(err.Error(), "There is no Node.js 22.99.") {
		t.Errorf("%v\n%s", err, log)
	}
}

// TestLanguagesProgram deploys a static Go program without its runtime: the image has
// what the program needs, and little else.
func TestLanguagesProgram(t *testing.T) {
	s := sharedStand(t)
	if os.Getenv(languagesEnv) != "all" {
		t.Skip("makes a runtime, which takes a minute: " + languagesEnv + "=all or `make languages` runs it")
	}
	log, res, err := s.build(t, build.Request{
		Tree: source(t, "program"), Program: "bin/app", Time: time.Unix(1700000000, 0),
		File: config.File{Runtime: "go1", Build: []string{"CGO_ENABLED=0 go build -trimpath -o bin/app ."}, Command: "./bin/app"},
	})
	unreachable(t, "the Go module proxy", err, log)
	img, err := s.images.Get(res.Digest)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	ended, err := s.driver.RunJob(t.Context(), runtime.JobSpec{
		ID: strings.Repeat("7", 32), Image: res.Digest,
		Workload: slipway.Workload{
			Process:   slipway.Process{Argv: []string{"./bin/app"}, Env: img.Config.Env, Dir: img.Config.Dir, User: "0:0"},
			Resources: slipway.Resources{Memory: 256},
		},
	}, func(c runtime.Chunk) { out.Write(c.Data) })
	if want := "certificates true, time zones true, users true, temporary files true\n"; err != nil || ended.Exit.Code != 0 || out.String() != want {
		t.Errorf("the program wrote %q, want %q; %+v, %v\n%s", out.String(), want, ended.Exit, err, log)
	}
	layers, err := s.images.Layers(t.Context(), res.Digest)
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, dir := range layers {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			rel := strings.TrimPrefix(path, dir)
			if !strings.HasPrefix(rel, "/usr/share/zoneinfo/") && !slices.Contains([]string{
				"/app/bin/app", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/ssl/certs/ca-certificates.crt",
			}, rel) {
				t.Errorf("the image has %s", rel)
			}
			fi, err := e.Info()
			if err == nil {
				size += fi.Size()
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if size > 12<<20 {
		t.Errorf("the image has %d bytes", size)
	}
	t.Logf("the image has %d bytes", size)
}

// start runs a command in a built image and returns what it wrote.
func (s *stand) start(t *testing.T, digest, command string) string {
	t.Helper()
	img, err := s.images.Get(digest)
	if err != nil {
		t.Fatal(err)
	}
	var out outputs
	res, err := step.Runner{Jobs: s.driver}.Run(t.Context(), step.Stage{
		Image: digest, Commands: []string{command}, Dir: img.Config.Dir, Env: img.Config.Env, Limits: step.Limits{Memory: 1024, Pids: 500},
	}, &out)
	if err != nil || res.Exit.Code != 0 {
		t.Errorf("%q ended with %+v, %v", command, res.Exit, err)
	}
	return out.String()
}

// outputs keeps what commands write.
type outputs struct{ strings.Builder }

func (*outputs) Begin(int)            {}
func (o *outputs) Output(data []byte) { o.Write(data) }
