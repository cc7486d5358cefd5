package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway/internal/image/imagetest"
)

func shopImage(t *testing.T, text string) v1.Image {
	t.Helper()
	return imagetest.Image(t, imagetest.Options{Ports: []string{"3000/tcp", "53/udp"}}, imagetest.Layer(t, imagetest.Text("etc/motd", text)))
}

// show records the calls that change something.
func (s *session) show() {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	for _, c := range s.server.calls {
		s.transcript.WriteString("> " + c + "\n")
	}
	s.server.calls = nil
	s.transcript.WriteByte('\n')
}

func TestUp(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	one := imagetest.SaveTar(t, shopImage(t, "one"), "shop:1.0")
	two := imagetest.SaveLayout(t, shopImage(t, "two"), "shop:2.0")
	file := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(file, []byte("# settings\nCOLOR=blue\nHOME_TOWN\nNOTE=\"as is\" # all of it\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env["HOME_TOWN"], s.env["SIZE"] = "Ulm", "xl"

	s.runAs("up shop.tar --env-file .env -e COLOR=red -e SIZE -e EMPTY= --cpu 0.5 --memory 1GB --min 2 --health-path /health",
		"up", one, "--env-file", file, "-e", "COLOR=red", "-e", "SIZE", "-e", "EMPTY=", "--cpu", "0.5", "--memory", "1GB", "--min", "2", "--health-path", "/health")
	s.show()
	s.runAs("up shop.tar", "up", one)
	s.show()
	s.runAs("up layout --unset-env EMPTY -e SIZE=s", "up", two, "--unset-env", "EMPTY", "-e", "SIZE=s")
	s.show()
	s.runAs("up layout --port 9000 --start-command serve --json", "up", two, "--port", "9000", "--start-command", "serve", "--json")
	s.show()
	s.runAs("up layout --max 1 --wait=false", "up", two, "--max", "1", "--wait=false")
	s.show()
	s.golden()
}

func TestUpByName(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.quietly(t.Context(), "image", "import", imagetest.SaveTar(t, shopImage(t, "one"), "team/shop:1.0"))
	s.run("up", "team/shop:1.0")
	s.show()
	s.run("up", "team/shop:1.0")
	s.show()
	s.run("up", "nginx", "--name", "front", "--concurrency", "50")
	s.show()
	s.run("up", "public.ecr.aws/nginx/nginx:1.27", "--name", "front", "--min", "3", "--max", "5", "--concurrency", "50")
	s.show()
	s.golden()
}

// The last part of an image's name is no reason to deploy it to a service of another
// repository's images.
func TestUpOfAnotherRepository(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	for _, name := range []string{"team-a/shop:1.0", "team-b/shop:1.0", "shop:1.0", "web-site:1"} {
		s.quietly(t.Context(), "image", "import", imagetest.SaveTar(t, shopImage(t, name), name))
	}
	up := func(want string, args ...string) {
		t.Helper()
		s.server.mu.Lock()
		s.server.calls = nil
		s.server.mu.Unlock()
		code, _, stderr := s.quietly(t.Context(), append([]string{"up"}, args...)...)
		s.server.mu.Lock()
		defer s.server.mu.Unlock()
		if refused := want != ""; (code != exitOK) != refused || refused != (len(s.server.calls) == 0) || !strings.Contains(stderr, want) {
			t.Errorf("up %v: exit code %d, calls %v, %q; want %q", args, code, s.server.calls, stderr, want)
		}
	}
	const own = "000000000000.dkr.ecr.us-east-1.amazonaws.com/"
	up("", "team-a/shop:1.0")
	up("", "team-a/shop:1.0")
	up("service shop is deployed from the repository "+own+"team-a/shop, and "+own+"team-b/shop is another one", "team-b/shop:1.0")
	up("and ghcr.io/acme/shop is another one", "ghcr.io/acme/shop:1.0")
	up("", "team-b/shop:1.0", "--name", "shop")
	up("", "shop:1.0") // the repository that is called as the service
	up("", "docker.io/library/web.site:1")
	up("", "docker.io/library/web.site:2")
	up("service web-site is deployed from the repository docker.io/library/web.site, and ghcr.io/acme/web.site is another one", "ghcr.io/acme/web.site:1")
}

// The name of a service deploys that service with the image or the code that it has.
func TestUpOfAServiceByItsName(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.server.add("shop", types.ServiceStatusRunning)
	s.server.add("cart", types.ServiceStatusRunning).SourceConfiguration = &types.SourceConfiguration{
		AuthenticationConfiguration: &types.AuthenticationConfiguration{ConnectionArn: aws.String("arn:aws:apprunner:us-east-1:000000000000:connection/code/1")},
		CodeRepository: &types.CodeRepository{
			RepositoryUrl: aws.String("https://git.example.com/cart"), SourceDirectory: aws.String("/web"),
			SourceCodeVersion: &types.SourceCodeVersion{Type: types.SourceCodeVersionTypeBranch, Value: aws.String("main")},
			CodeConfiguration: &types.CodeConfiguration{ConfigurationSource: types.ConfigurationSourceApi, CodeConfigurationValues: &types.CodeConfigurationValues{
				Runtime: types.RuntimePython311, StartCommand: aws.String("python3 app.py"), RuntimeEnvironmentVariables: map[string]string{"A": "1"},
			}},
		},
	}
	s.server.add("file", types.ServiceStatusRunning).SourceConfiguration = &types.SourceConfiguration{CodeRepository: &types.CodeRepository{
		RepositoryUrl: aws.String("https://git.example.com/file"), CodeConfiguration: &types.CodeConfiguration{ConfigurationSource: types.ConfigurationSourceRepository},
	}}
	s.quietly(t.Context(), "image", "import", imagetest.SaveTar(t, shopImage(t, "stranger"), "docker.io/library/shop:1"), "docker.io/library/shop:1")
	for _, args := range [][]string{
		{"up", "shop", "--env", "A=2"},
		{"up", "shop"},
		{"up", "shop", "--name", "shop", "--cpu", "2", "--memory", "4"},
		{"up", "cart", "--env", "A=2"},
		{"up", "cart"},
		{"up", "file"},
		{"up", "file", "--env", "A=2"},
		{"up", "shop:9.9"},                                       // the image: the server decides what it means
		{"up", "docker.io/library/shop:1", "--name", "from-hub"}, // never this registry's repository of that name
	} {
		s.run(args...)
		s.show()
	}
	s.golden()
}

// A file or directory of a service's name comes first.
func TestUpOfADirectoryNamedLikeAService(t *testing.T) {
	s := newSession(t)
	s.server.add("shop", types.ServiceStatusRunning)
	t.Chdir(t.TempDir())
	if err := os.WriteFile("shop", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.run("up", "shop")
	s.show()
	if out := s.transcript.String(); !strings.Contains(out, "exit 1") || strings.Contains(out, "\n> ") {
		t.Errorf("it is not taken for an image file:\n%s", out)
	}
}

func TestUpWaitsForARunningOperation(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	shop := s.server.add("shop", types.ServiceStatusRunning)
	s.run("pause", "shop", "--wait=false") // up finds a live operation, then a paused service
	s.run("up", "shop:2.0", "--name", "shop")
	s.show()
	s.run("pause", "shop")
	s.server.stale = 1
	s.run("up", "shop:2.0", "--name", "shop")
	s.show()
	s.server.services[0].Status = types.ServiceStatusCreateFailed
	s.run("up", "shop:2.0", "--name", "shop")
	s.show()
	shop.SourceConfiguration = &types.SourceConfiguration{CodeRepository: &types.CodeRepository{RepositoryUrl: aws.String("https://git.example.com/shop")}}
	s.run("up", "shop:2.0", "--name", "shop")
	s.show()
	s.golden()
}

func TestUpProblems(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	dir := filepath.Join(t.TempDir(), "layout")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "oci-layout"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.runAs("up layout", "up", dir)
	s.run("up", "./absent")
	s.run("up", "absent.tar")
	s.run("up", "Not/A:Name!")
	s.run("up", "shop:1", "-e", "=x")
	s.run("up", "shop:1", "-e", "A B=secret")
	s.run("up", "shop:1", "--env-file", "absent.env")
	s.run("up", "shop:1", "--min", "0")
	s.run("up", "shop:1", "--max", "many")
	s.server.ending = types.OperationStatusFailed
	s.server.lines = []string{"The image shop:1 was not found."}
	s.run("up", "shop:1")
	s.golden()
	if strings.Count(s.transcript.String(), "secret") != 1 { // in the command itself
		t.Error("a value was repeated in an error")
	}
}

// foreground is a session without a server, where up may start one.
func foreground(t *testing.T) (*session, chan ServerOptions, chan struct{}) {
	t.Helper()
	s := newSession(t)
	asked, stopped := make(chan ServerOptions, 1), make(chan struct{})
	keys := writeKeys(t, t.TempDir())
	delete(s.env, "AWS_ACCESS_KEY_ID")
	s.env["SLIPWAY_ENDPOINT"] = "http://127.0.0.1:1"
	s.start = func(ctx context.Context, want ServerOptions) (*Server, error) {
		asked <- want
		return &Server{Endpoint: s.server.URL, Credentials: keys, Wait: func() error {
			<-ctx.Done()
			close(stopped)
			return nil
		}}, nil
	}
	return s, asked, stopped
}

func TestUpServesInTheForeground(t *testing.T) {
	t.Parallel()
	s, asked, stopped := foreground(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, code := make(lineWriter), make(chan int)
	m := &Main{Stdout: out, Stderr: io.Discard, Getenv: func(n string) string { return s.env[n] }, Now: epoch.Local, StartServer: s.start}
	go func() { code <- m.Run(ctx, []string{"up", "shop:1"}) }()
	want := ServerOptions{DataDir: s.env["SLIPWAY_DATA_DIR"], APIAddr: "127.0.0.1:1"}
	if got := <-asked; got != want {
		t.Errorf("the server was started with %+v, want %+v", got, want)
	}
	if url := <-out; !strings.HasPrefix(url, "http://url") {
		t.Errorf("printed %q, want the service's URL", url)
	}
	select {
	case <-stopped:
		t.Error("the server ended by itself")
	default:
	}
	cancel() // Ctrl-C
	if c := <-code; c != exitOK {
		t.Errorf("exit code %d", c)
	}
	<-stopped
}

func TestUpEndsTheServerItStartedWhenItFails(t *testing.T) {
	t.Parallel()
	s, _, stopped := foreground(t)
	s.server.ending = types.OperationStatusFailed
	if code, _, stderr := s.quietly(t.Context(), "up", "shop:1"); code != exitFailed {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	<-stopped
}

func TestUpWhereNoServerCanBe(t *testing.T) {
	t.Parallel()
	s, _, _ := foreground(t)
	s.start = func(context.Context, ServerOptions) (*Server, error) { return nil, errors.New("not root") }
	if code, _, stderr := s.quietly(t.Context(), "up", "shop:1"); code != exitFailed || !strings.Contains(stderr, "start a server: not root") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	s.start = func(context.Context, ServerOptions) (*Server, error) {
		t.Error("a server was started for another machine's endpoint")
		return nil, nil
	}
	code, _, stderr := s.quietly(t.Context(), "up", "shop:1", "--endpoint", "http://192.0.2.1:1", "--credentials", "/absent")
	if code != exitFailed {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
