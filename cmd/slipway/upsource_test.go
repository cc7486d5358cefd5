package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/cli/term"
	"github.com/openslipway/slipway/internal/wire"
)

// callUpload answers the calls about uploads. The contents that came are in f.contents.
func (f *fakeServer) callUpload(operation string, body []byte) (any, error) {
	if operation == "PutUploadContents" {
		in, err := decode[struct {
			Contents []struct {
				Sha256 string
				Size   int64
				Data   []byte
			}
		}](body)
		if err != nil {
			return nil, err
		}
		for _, c := range in.Contents {
			sum := sha256.Sum256(c.Data)
			if hex.EncodeToString(sum[:]) != c.Sha256 || int64(len(c.Data)) != c.Size {
				return nil, wire.NewException("InvalidRequestException", "The content that was sent is another one.")
			}
			f.contents = append(f.contents, c.Sha256)
			f.calls = append(f.calls, fmt.Sprintf("PutUploadContents %q", c.Data))
		}
		return struct{}{}, nil
	}
	in, err := decode[struct {
		Files []struct{ Path, Sha256 string }
	}](body)
	if err != nil {
		return nil, err
	}
	var missing []string
	call := "CreateUpload"
	for _, file := range in.Files {
		call += " " + file.Path
		if file.Sha256 != "" && !slices.Contains(f.contents, file.Sha256) {
			missing = append(missing, file.Sha256)
		}
	}
	f.calls = append(f.calls, call)
	if len(missing) > 0 {
		return struct{ Missing []string }{missing}, nil
	}
	sum := sha256.Sum256(body)
	return struct {
		Upload struct{ RepositoryUrl string }
	}{struct{ RepositoryUrl string }{"upload://" + hex.EncodeToString(sum[:16])}}, nil
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A directory is sent, only what has changed is sent again, flags win over its files,
// and the output of its build is shown in short.
func TestUpSource(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	dir := filepath.Join(t.TempDir(), "Shop")
	write(t, dir, map[string]string{
		"requirements.txt": "flask==3.0.0\ngunicorn==22.0.0\n", "app.py": "from flask import Flask\napp = Flask(__name__)\n",
		".gitignore": "*.pyc\n.env\n", ".env": "SECRET=1", "a.pyc": "x", ".git/HEAD": "x",
	})
	s.server.lines = []string{
		"Detected: requirements.txt -> Python.", "The runtime python311 is being made from packages, once for all services. This takes a minute or two.",
		"Successfully built your application source code.",
	}
	s.runAs("up Shop -e A=1 --health-path /ok", "up", dir, "-e", "A=1", "--health-path", "/ok")
	s.show()
	s.runAs("up Shop", "up", dir)
	s.show()
	write(t, dir, map[string]string{"app.py": "from flask import Flask\napp = Flask('shop')\n"})
	s.runAs("up Shop --port 81 --unset-env A --start-command serve --verbose", "up", dir, "--port", "81", "--unset-env", "A", "--start-command", "serve", "--verbose")
	s.show()
	s.server.ending = types.OperationStatusRollbackSucceeded
	s.server.lines = []string{"Starting source code build.", "Failed to build your application source code. Reason: Failed to execute 'build' command."}
	s.runAs("up Shop -e A=2", "up", dir, "-e", "A=2")
	s.show()
	s.golden()
}

// The output of a build is shown at its failure only, unless all of it is.
func TestQuiet(t *testing.T) {
	t.Parallel()
	lines := []string{
		"[AppRunner] Detected: go.mod -> Go.", "[AppRunner] The runtime go1 is go1 1.18.10.", "[AppRunner] The runtime go1 is being made.",
		"[Build] $ go build", "[AppRunner] Built.", "[AppRunner] Built.", "[AppRunner] Failed to build.", "no prefix",
	}
	for i := range 30 {
		lines = append(lines, fmt.Sprintf("[Build] line %d", i))
	}
	for _, c := range []struct {
		all         bool
		want, never string
	}{
		{false, "The runtime go1 is being made.\n    0.0s  Built.\n    0.0s  Failed to build.\n    0.0s  no prefix\n          [Build] line 10\n", "line 9\n"},
		{true, "Detected: go.mod -> Go.\n    0.0s  The runtime go1 is go1 1.18.10.\n    0.0s  The runtime go1 is being made.\n    0.0s  [Build] $ go build\n    0.0s  Built.\n    0.0s  Built.\n", "          [Build]"},
	} {
		var out strings.Builder
		q := quiet{p: term.NewProgress(&out, term.Style{}), all: c.all}
		for _, l := range lines {
			q.line(l, 0)
		}
		q.failed()
		if text := out.String(); !strings.Contains(text, c.want) || strings.Contains(text, c.never) {
			t.Errorf("all %t:\n%s", c.all, text)
		}
	}
}

func TestUpSourceProblems(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	root := t.TempDir()
	const web = "package main\nimport \"net/http\"\nfunc main() { http.ListenAndServe(\":8080\", nil) }\n"
	write(t, root, map[string]string{
		"none/notes.md": "x", "empty/.gitignore": "*",
		"two/go.mod": "module x\ngo 1.22\n", "two/cmd/a/main.go": web, "two/cmd/b/main.go": web,
		"shop/server.py": "import http.server\nhttp.server.ThreadingHTTPServer(('', 8080), None).serve_forever()\n",
	})
	if err := os.Symlink("/etc/passwd", filepath.Join(root, "none", "link")); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{
		"none", "empty", "absent/", "two", "two --choose main=./cmd/c", "two --choose main=./cmd/b --wait=false", "shop:1 --choose main=./cmd/a",
		"shop --choose colour=red",
	} {
		words := strings.Fields(args)
		if !strings.Contains(words[0], ":") {
			words[0] = root + "/" + words[0]
		}
		code := s.runAs("up "+args, append([]string{"up"}, words...)...)
		if (code == 0) != strings.Contains(args, "cmd/b") {
			t.Errorf("up %s: exit %d", args, code)
		}
	}
	s.show()
	shop := s.server.add("shop", types.ServiceStatusRunning)
	s.runAs("up shop", "up", root+"/shop")
	shop.SourceConfiguration = &types.SourceConfiguration{CodeRepository: &types.CodeRepository{RepositoryUrl: aws.String("https://git.example.com/shop")}}
	s.runAs("up shop", "up", root+"/shop")
	text := strings.ReplaceAll(s.transcript.String(), root, "ROOT")
	s.transcript.Reset()
	s.transcript.WriteString(text)
	s.golden()
}

// TestQuietNow: the status line says what the build does until the service says more.
func TestQuietNow(t *testing.T) {
	t.Parallel()
	q := quiet{p: term.NewProgress(io.Discard, term.Style{})}
	for _, step := range []struct{ line, want string }{
		{"[AppRunner] The runtime go1 is being made of packages.", ""},
		{"[AppRunner] Making go1: installing Debian packages.", "Making go1: installing Debian packages."},
		{"[Build] $ go build", "[Build] $ go build"},
		{"[Build] compiling", "[Build] compiling"},
		{"[AppRunner] Successfully built your application source code.", ""},
	} {
		if q.line(step.line, time.Second); q.now != step.want {
			t.Errorf("after %q the status is %q, want %q", step.line, q.now, step.want)
		}
	}
}
