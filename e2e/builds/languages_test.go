package builds

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// languagesEnv is "all" where what takes minutes may be tried, such as making the
// runtimes of all languages: `make languages`.
const languagesEnv = "SLIPWAY_TEST_LANGUAGES"

// project is a directory of testdata/projects, and how a service is made of it.
type project struct {
	directory     string // SourceDirectory; "" for the root
	configuration string // of the API, "" for the file's
	client        string // that creates it: "boto3", "go"; "" is the AWS CLI
	detect        bool   // built as its files suggest
	log           string // what the log of the build has; "" for anything
	file          string // that has the words "version one"
	want          string // in the answer, after these words
}

// projects are the services of this test, by name.
func projects() map[string]project {
	return map[string]project{
		"python": {file: "app.py", want: "! Python 3.11."},
		"nodejs": {client: "boto3", file: "apprunner.yaml", want: " Node.js v22."},
		"go":     {directory: "services/shop", client: "go", file: "libs/greet/greet.go", want: " go1."},
		// Detected, and deployed without the runtime and the source.
		"program": {detect: true, client: "go", log: "bin/app is a static program", file: "main.go", want: " go1."},
		"ruby": {
			configuration: apiValues("RUBY_31", "bundle config set --local path vendor/bundle && bundle install --local", "bundle exec ruby server.rb", "4567", "prod"),
			file:          "vendor/greet/lib/greet.rb", want: " Ruby 3.1.",
		},
		"php": {
			configuration: apiValues("PHP_81", "COMPOSER_ALLOW_SUPERUSER=1 composer install --no-dev --no-interaction", "php -S 0.0.0.0:$PORT -t public", "8081", "prod"),
			client:        "boto3", file: "lib/greet/src/Words.php", want: " PHP 8.",
		},
		"java": {
			configuration: apiValues("CORRETTO_11", "mkdir -p out && javac -d out src/*.java", "java -cp out Shop", "8082", "prod"),
			file:          "src/Shop.java", want: " Java ",
		},
	}
}

// TestLanguages makes a service in each language from a private repository, with its
// dependencies, and deploys a change of each.
func TestLanguages(t *testing.T) {
	t.Parallel()
	s := serveCode(t)
	for name, p := range projects() {
		t.Run(name, func(t *testing.T) { //nolint:paralleltest // two cores: one build after the other
			if name != "python" && os.Getenv(languagesEnv) != "all" {
				t.Skip("makes a runtime, which takes a minute: " + languagesEnv + "=all or `make languages` runs it")
			}
			s.tryProject(t, name, p)
		})
	}
}

// tryProject makes a service of a project and deploys a change of it.
func (s *codeServer) tryProject(t *testing.T, name string, p project) {
	t.Helper()
	files, service := projectFiles(t, name), "shop-"+name
	r := s.repository(t, name, files)
	configuration := p.configuration
	if configuration == "" {
		configuration = fromFile
	}
	switch source := s.source(r, p.directory, configuration); p.client {
	case "boto3":
		s.createByBoto3(t, service, source)
	case "go":
		var tags []types.Tag
		if p.detect {
			tags = append(tags, types.Tag{Key: aws.String("slipway:detect"), Value: aws.String("true")})
		}
		s.createBySDK(t, service, source, tags...)
	default:
		s.create(t, service, source)
	}
	svc := s.named(t, service)
	greets := func(body, version string) bool {
		return strings.Contains(strings.ToLower(body), version+strings.ToLower(p.want)) && strings.HasSuffix(strings.TrimSpace(body), " prod")
	}
	if log := s.MustSlipway(t, "logs", service, "--deployment", s.lastOperation(t, *svc.ServiceArn)); !strings.Contains(log, p.log) {
		t.Errorf("the build's log lacks %q:\n%s", p.log, log)
	}
	s.answersSo(t, svc, "version one"+p.want, func(body string) bool { return greets(body, "version one") })

	r.Commit("Change a word", map[string]string{p.file: strings.Replace(files[p.file], "version one", "version two", 1)})
	harness.NewAWSCLI(t, s.Server).Change(*svc.ServiceArn, "start-deployment")
	s.answersSo(t, svc, "version two"+p.want, func(body string) bool { return greets(body, "version two") })
}

// projectFiles reads a project.
func projectFiles(t *testing.T, name string) map[string]string {
	t.Helper()
	dir := filepath.Join("testdata/projects", name)
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		files[rel] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if name == "python" {
		files["wheels/greet-1.0-py3-none-any.whl"] = wheel(t)
	}
	return files
}

// wheel makes a package of Python in its installable form.
func wheel(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	const info = "greet-1.0.dist-info/"
	for _, f := range [][2]string{
		{"greet.py", "def polite(words):\n    return words + '!'\n"},
		{info + "METADATA", "Metadata-Version: 2.1\nName: greet\nVersion: 1.0\n"},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{info + "RECORD", "greet.py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "RECORD,,\n"},
	} {
		w, err := z.Create(f[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
