package builds

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// directoryOf writes files into a directory of that name and returns its path.
func directoryOf(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	for path, text := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// up deploys a directory by `slipway up` and returns what it says. The test is skipped
// where packages can't be had.
func (s *codeServer) up(t *testing.T, dir string, args ...string) string {
	t.Helper()
	code, stdout, stderr := s.ExecSlipway(t, append([]string{"up", dir}, args...)...)
	if code != 0 {
		if why := unreachable(stderr); why != "" {
			t.Skipf("a package registry cannot be reached from here: %s\n%s", why, stderr)
		}
		t.Fatalf("up exited with %d\n%s%s", code, stdout, stderr)
	}
	return stderr + stdout
}

// plain is a web service of Python's standard library, without any configuration.
const plain = `import http.server, os
WORDS = "version one"
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (WORDS + " " + os.environ.get("STAGE", "")).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), H).serve_forever()
`

// TestUp deploys a directory without configuration, and a change of it; the files that
// it has sent are nobody else's.
func TestUp(t *testing.T) {
	t.Parallel()
	s := serveCode(t)
	dir := directoryOf(t, "shop", map[string]string{
		"server.py": plain, "README.md": "about", ".gitignore": "*.log\n", "debug.log": "not sent", "node_modules/x/index.js": "not sent",
	})
	out := s.up(t, dir, "--env", "STAGE=prod")
	for _, line := range []string{"Detected Python (python311): python3 server.py on port 8080\n", "Sent 3 files, ", "shop is running (", s.HostPort()[strings.LastIndex(s.HostPort(), ":"):]} {
		if !strings.Contains(out, line) {
			t.Errorf("up does not say %q:\n%s", line, out)
		}
	}
	svc := s.named(t, "shop")
	s.answers(t, svc, "version one prod")
	if names := s.MustSlipway(t, "logs", "shop", "--deployment", s.lastOperation(t, *svc.ServiceArn)); !strings.Contains(names, "Detected: server.py -> Python.") {
		t.Errorf("the build's log does not say how it was detected:\n%s", names)
	}

	if err := os.WriteFile(filepath.Join(dir, "server.py"), []byte(strings.Replace(plain, "version one", "version two", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := s.up(t, dir); !strings.Contains(out, "Sent 1 of 3 files, ") {
		t.Errorf("of a changed file up says:\n%s", out)
	}
	s.answers(t, svc, "version two prod")
	if out := s.up(t, dir); !strings.Contains(out, "no file has changed") || !strings.Contains(out, "already runs this code") {
		t.Errorf("of an unchanged directory up says:\n%s", out)
	}
	s.Kill() // what was sent survives, and so does the way back to it
	s.Start()
	harness.NewAWSCLI(t, s.Server).Change(*svc.ServiceArn, "start-deployment")
	s.answers(t, svc, "version two prod")

	t.Run("check", s.tryChecks)
	t.Run("another user", func(t *testing.T) {
		s.tryAnotherUser(t, dir, *s.named(t, "shop").SourceConfiguration.CodeRepository.RepositoryUrl)
	})
}

// lastOperation returns the id of a service's newest operation.
func (s *codeServer) lastOperation(t *testing.T, arn string) string {
	t.Helper()
	out, err := s.Client().ListOperations(t.Context(), &apprunner.ListOperationsInput{ServiceArn: &arn})
	if err != nil || len(out.OperationSummaryList) == 0 {
		t.Fatalf("operations: %+v, %v", out, err)
	}
	return aws.ToString(out.OperationSummaryList[0].Id)
}

// tryAnotherUser: who may do everything with App Runner gets nothing of root's upload by
// its URL or by digests, and sends the same files anew.
func (s *codeServer) tryAnotherUser(t *testing.T, dir, url string) {
	t.Helper()
	var made struct {
		AccessKey struct{ AccessKeyID, SecretAccessKey string } `json:"AccessKey"`
	}
	out := s.MustSlipway(t, "iam", "user", "create", "bob", "--policy", "AWSAppRunnerFullAccess", "--key", "--json")
	if err := json.Unmarshal([]byte(strings.NewReplacer("AccessKeyId", "AccessKeyID").Replace(out)), &made); err != nil || made.AccessKey.SecretAccessKey == "" {
		t.Fatalf("%v in %s", err, out)
	}
	file := filepath.Join(t.TempDir(), "credentials")
	text := "[default]\naws_access_key_id = " + made.AccessKey.AccessKeyID + "\naws_secret_access_key = " + made.AccessKey.SecretAccessKey + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := s.ExecSlipway(t, "up", dir, "--name", "bobs", "--credentials", file)
	if code != 0 || !strings.Contains(stderr, "Sent 3 files, ") {
		t.Errorf("another user's up of the same files exits with %d and says\n%s", code, stderr)
	}
	bobs := s.named(t, "bobs")
	if aws.ToString(bobs.SourceConfiguration.CodeRepository.RepositoryUrl) == url {
		t.Error("two users have the same upload")
	}
	client := apprunner.NewFromConfig(s.SDK(), func(o *apprunner.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider(made.AccessKey.AccessKeyID, made.AccessKey.SecretAccessKey, "")
	})
	_, err := client.CreateService(t.Context(), &apprunner.CreateServiceInput{ServiceName: aws.String("stolen"), SourceConfiguration: &types.SourceConfiguration{CodeRepository: &types.CodeRepository{
		RepositoryUrl: &url, SourceCodeVersion: &types.SourceCodeVersion{Type: types.SourceCodeVersionTypeBranch, Value: aws.String("upload")},
		CodeConfiguration: &types.CodeConfiguration{ConfigurationSource: types.ConfigurationSourceRepository},
	}}})
	if err == nil || !strings.Contains(err.Error(), "you have no upload") {
		t.Errorf("a service of another user's upload: %v", err)
	}
}

// tryChecks checks directories: each answer says what is wrong, and no service is made.
func (s *codeServer) tryChecks(t *testing.T) {
	const listen = "import http.server\nhttp.server.ThreadingHTTPServer((%s), http.server.BaseHTTPRequestHandler).serve_forever()\n"
	for name, c := range map[string]struct {
		file   string
		args   []string
		passes bool
		want   string
	}{
		"right":    {plain, nil, true, "It listens on 8080 after "},
		"other":    {plain, []string{"--port", "9000"}, true, "It listens on 9000 after "},
		"port":     {strings.Replace(listen, "%s", `"", int("5000")`, 1), nil, false, "It listens on port 5000, and not on 8080\nLet it listen on the port in the variable PORT, or deploy it with --port 5000.\n"},
		"loopback": {strings.Replace(listen, "%s", `"127.0.0.1", 8080`, 1), nil, false, "It listens on 127.0.0.1:8080, which nothing outside of the instance can reach\nLet it listen on 0.0.0.0:8080.\n"},
		"crash":    {"import http.server, os\nos.environ['NEEDED']\nhttp.server.ThreadingHTTPServer(('', 8080), None).serve_forever()\n", nil, false, "KeyError: 'NEEDED'\nslipway: It ended with code 1 after "},
	} {
		code, stdout, stderr := s.ExecSlipway(t, append([]string{"check", directoryOf(t, name, map[string]string{"server.py": c.file})}, c.args...)...)
		if !strings.Contains(stdout+stderr, c.want) || (code == 0) != c.passes {
			t.Errorf("%s: check exits with %d and says\n%s%s", name, code, stdout, stderr)
		}
	}
	list, err := s.Client().ListServices(t.Context(), &apprunner.ListServicesInput{})
	if err != nil || len(list.ServiceSummaryList) != 1 {
		t.Errorf("after checks there are the services %+v, %v", list, err)
	}
}

// upProjects are directories without configuration, by language, and what each answers
// after "version one".
func upProjects() map[string]struct {
	files map[string]string
	want  string
} {
	type project = struct {
		files map[string]string
		want  string
	}
	return map[string]project{
		"nodejs": {map[string]string{
			"package.json": `{"name":"shop","version":"1.0.0","scripts":{"start":"node server.js"}}`,
			"server.js":    `require("http").createServer((q, r) => r.end("version one " + process.version)).listen(process.env.PORT)`,
		}, " v"},
		"go": {map[string]string{
			"go.mod":  "module example.com/shop\n\ngo 1.18\n",
			"main.go": "package main\n\nimport (\n\t\"fmt\"\n\t\"net/http\"\n\t\"os\"\n\t\"runtime\"\n)\n\nfunc main() {\n\thttp.HandleFunc(\"/\", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, \"version one \", runtime.Version()) })\n\tpanic(http.ListenAndServe(\":\"+os.Getenv(\"PORT\"), nil))\n}\n",
		}, " go1."},
		"ruby": {map[string]string{
			"Gemfile":  "source \"https://rubygems.org\"\n",
			"Procfile": "web: ruby server.rb\n",
			"server.rb": "require 'socket'\ns = TCPServer.new('0.0.0.0', ENV['PORT'].to_i)\nloop do\n  c = s.accept\n  while (l = c.gets) && l != \"\\r\\n\"; end\n  b = \"version one #{RUBY_VERSION}\"\n" +
				"  c.write \"HTTP/1.1 200 OK\\r\\nContent-Length: #{b.size}\\r\\nConnection: close\\r\\n\\r\\n#{b}\"\n  c.close\nend\n",
		}, " 3."},
		"php": {map[string]string{"index.php": "<?php echo 'version one ' . PHP_VERSION;"}, " 8."},
	}
}

// TestLanguagesByUp deploys a directory in each language.
func TestLanguagesByUp(t *testing.T) {
	if os.Getenv(languagesEnv) != "all" {
		t.Skip("makes runtimes, which take a minute each: " + languagesEnv + "=all or `make languages` runs it")
	}
	t.Parallel()
	s := serveCode(t)
	for name, p := range upProjects() {
		t.Run(name, func(t *testing.T) { //nolint:paralleltest // two cores: one build after the other
			dir := directoryOf(t, "up-"+name, p.files)
			s.up(t, dir)
			s.answersSo(t, s.named(t, "up-"+name), "version one"+p.want, func(body string) bool { return strings.HasPrefix(body, "version one"+p.want) })
		})
	}
}
