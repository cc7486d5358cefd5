package readme

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/e2e/harness"
)

// mark begins the line by which a session tells that a command has ended.
const mark = "\x01the command exited with "

// limit is how long a command may take before the test gives up on it. `make run` builds
// all of Slipway.
const limit = 4 * harness.Timeout

// desk is what readers share.
type desk struct {
	tree   string // the checkout
	oldAWS bool   // the AWS CLI needs --endpoint-url
}

// reader is somebody at a shell, on a machine of their own: a network namespace, in which
// the ports that the pages name are free.
type reader struct {
	desk
	t      *testing.T
	net    *harness.Network
	shell  *exec.Cmd
	in     io.Writer
	out    *bufio.Reader
	server *harness.Server // nil before `slipway serve`
	values map[string]string
}

// sitDown starts a reader's shell in a directory.
func (d desk) sitDown(t *testing.T, dir string) *reader {
	t.Helper()
	r := &reader{desk: d, t: t, net: harness.NewNetwork(t), values: map[string]string{}}
	home := filepath.Join(t.TempDir(), "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	r.shell = exec.Command("bash", "--norc", "--noprofile")
	r.shell.Dir = dir
	r.shell.Env = []string{
		"HOME=" + home, "PATH=" + filepath.Join(d.tree, "bin") + ":" + os.Getenv("PATH"), "NO_COLOR=1",
		"GOFLAGS=-buildvcs=false -trimpath", "GOPATH=" + goEnv(t, "GOPATH"), "GOCACHE=" + goEnv(t, "GOCACHE"), "GOPROXY=off",
		"REGISTRY_AUTH_FILE=" + filepath.Join(home, "auth.json"), "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true", "PYENV_VERSION=" + os.Getenv("PYENV_VERSION"),
	}
	in, err := r.shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.shell.Stdout, r.shell.Stderr, r.in, r.out = w, w, in, bufio.NewReader(out)
	if err := r.net.Do(r.shell.Start); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if d.oldAWS { // what README and `slipway env` say about it
		r.types("shopt -s expand_aliases; alias aws='aws --endpoint-url http://127.0.0.1:8070'")
	}
	t.Cleanup(func() {
		in.Close()
		r.shell.Process.Kill()
		r.shell.Wait()
		out.Close()
	})
	return r
}

// oldAWSCLI reports whether the AWS CLI is one before 2.13 or 1.29, which knows no
// variables for endpoints.
func oldAWSCLI(t *testing.T) bool {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "aws", "--version").CombinedOutput()
	if err != nil {
		t.Fatalf("aws --version: %v\n%s", err, out)
	}
	var major, minor int
	if _, err := fmt.Sscanf(string(out), "aws-cli/%d.%d.", &major, &minor); err != nil {
		t.Fatalf("aws --version prints %q: %v", out, err)
	}
	return major == 1 && minor < 29 || major == 2 && minor < 13
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// types runs a command in the shell and returns what it prints and its exit code.
func (r *reader) types(text string) (printed string, code int) {
	r.t.Helper()
	late := time.AfterFunc(limit, func() { r.shell.Process.Kill() })
	defer late.Stop()
	fmt.Fprintf(r.in, "{ %s\n} </dev/null\nprintf '\\n\\001%s%%d\\n' $?\n", text, mark[1:])
	var b strings.Builder
	for {
		line, err := r.out.ReadString('\n')
		if ended, is := strings.CutPrefix(line, mark); is && err == nil {
			code, err = strconv.Atoi(strings.TrimSpace(ended))
			if err != nil {
				r.t.Fatal(err)
			}
			return strings.TrimSuffix(b.String(), "\n"), code
		}
		b.WriteString(line)
		if err != nil {
			r.t.Fatalf("%s\ndoes not end, or ends the shell: %v\n%s", text, err, b.String())
		}
	}
}

// serve starts the server that a command asks for, in the reader's network. Only its data
// directory is not the default one.
func (r *reader) serve(flags ...string) {
	r.t.Helper()
	r.server = harness.Prepare(r.t, r.net, flags...)
	r.server.Binary = filepath.Join(r.tree, "bin", "slipway")
	r.server.Start()
	r.types("export SLIPWAY_DATA_DIR='" + r.server.DataDir + "'")
}

// follow does what a block tells.
func (r *reader) follow(b block) {
	r.t.Helper()
	if b.first != "" {
		if out, code := r.types("set -e\n" + b.first + "\nset +e"); code != 0 {
			r.t.Fatalf("line %d: what comes first exits with %d:\n%s", b.line, code, out)
		}
	}
	for _, c := range b.commands {
		r.do(c)
	}
}

// do types a command of a page, and compares what it prints if the page shows that.
func (r *reader) do(c command) {
	r.t.Helper()
	text := c.text
	for shown, here := range r.values {
		text = strings.ReplaceAll(text, shown, here)
	}
	if words := strings.Fields(text); len(words) > 1 && filepath.Base(words[0]) == "slipway" && words[1] == "serve" {
		r.serve(words[2:]...)
		return
	}
	printed, code := r.types(text)
	refused := slices.ContainsFunc(c.output, func(line string) bool { return strings.HasPrefix(line, "slipway: ") })
	if (code != 0) != refused {
		r.t.Fatalf("line %d: %s\nexits with %d:\n%s", c.line, text, code, printed)
	}
	r.t.Logf("# %s\n%s", text, printed)
	if len(c.output) == 0 {
		return
	}
	values, err := match(c.output, printed)
	if err != nil {
		r.t.Fatalf("line %d: %s\n%v\nall of it:\n%s", c.line, text, err, printed)
	}
	for shown, here := range values {
		r.values[shown] = here
	}
}
