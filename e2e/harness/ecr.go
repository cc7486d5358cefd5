package harness

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Shell runs commands that push and deploy images. Their logins are stored in a
// directory of its own.
type Shell struct {
	*Server
	t   testing.TB
	env []string
}

func (s *Server) Shell(t testing.TB) Shell {
	t.Helper()
	dir := t.TempDir()
	return Shell{s, t, append(s.ClientEnv(), "DOCKER_CONFIG="+dir, "REGISTRY_AUTH_FILE="+filepath.Join(dir, "auth.json"),
		"AWS_ENDPOINT_URL="+s.API, "PYTHONDONTWRITEBYTECODE=1")}
}

// Run runs a command with standard input and returns its standard output.
func (sh Shell) Run(stdin string, args ...string) (string, error) {
	sh.t.Helper()
	cmd := exec.CommandContext(sh.t.Context(), args[0], args[1:]...)
	cmd.Env, cmd.Stdin = sh.env, strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		out.Write(errs.Bytes())
	}
	return out.String(), err
}

// Must is Run for commands that must succeed.
func (sh Shell) Must(stdin string, args ...string) string {
	sh.t.Helper()
	out, err := sh.Run(stdin, args...)
	if err != nil {
		sh.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// ECR runs the AWS CLI's ecr commands.
func (sh Shell) ECR(args ...string) string {
	sh.t.Helper()
	return sh.Must("", append([]string{NewAWSCLI(sh.t, sh.Server).Path, "--endpoint-url", sh.API, "ecr"}, args...)...)
}
