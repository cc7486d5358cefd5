package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFlagsAreCheckedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"up shop:1 --cpu 3":                         "--cpu is 3; it can be 0.25, 0.5, 1, 2 or 4",
		"up shop:1 --cpu=":                          "--cpu is none; it can be",
		"up shop:1 --cpu 4096m":                     "--cpu is 4096m; it can be",
		"up shop:1 --memory 5":                      "--memory is 5; it can be 0.5, 1, 2, 3, 4, 6, 8, 10 or 12",
		"up shop:1 --memory 512Mi":                  "--memory is 512Mi; it can be",
		"up shop:1 --cpu 1 --memory 12":             "1 vCPU can't have 12 GB of memory; with --cpu 1, --memory can be 2, 3 or 4",
		"up shop:1 --cpu 256 --memory 2048":         "0.25 vCPU can't have 2 GB of memory; with --cpu 0.25, --memory can be 0.5 or 1",
		"up shop:1 --port 0":                        "--port is 0; it must be a port from 1 to 65535",
		"up shop:1 --port 70000":                    "--port is 70000; it must be",
		"up shop:1 --port http":                     "--port is http; it must be",
		"up shop:1 --port 80:8080":                  "--port is 80:8080; it must be",
		"up shop:1 --min 0":                         "--min is 0; it must be 1 to 25",
		"up shop:1 --min 26":                        "--min is 26; it must be 1 to 25",
		"up shop:1 --max -1":                        "--max is -1; it must be at least 1",
		"up shop:1 --min 5 --max 2":                 "the minimum can't be greater than the maximum",
		"up shop:1 --concurrency 201":               "--concurrency is 201; it must be 1 to 200",
		"up shop:1 --name ab":                       "--name is ab; a service's name is 4 to 40 letters",
		"up shop:1 --name -shop":                    "--name is -shop; a service's name is",
		"up shop:1 --health-path health":            "--health-path is health; it must be a path that begins with /",
		"up shop:1 --health-path=":                  `--health-path is ""; it must be`,
		"up shop:1 --start-command=":                "--start-command is empty",
		"up shop:1 --env PORT=80":                   "PORT is set by --port",
		"up shop:1 --env UNSET":                     "UNSET has no value: it is not set in this environment; write UNSET=value, or UNSET= for an empty one",
		"up shop:1 --env A=1 --unset-env A":         "A is given by both --env and --unset-env",
		"up shop:1 --env A=1 --secret A=b":          "A is given by both --env and --secret",
		"up shop:1 --unset-env A=1":                 "--unset-env is A=1; it must be the name of a variable",
		"up shop:1 --secret hunter2":                "--secret must be NAME=SECRET",
		"check . --port x":                          "--port is x; it must be",
		"check . --name a":                          "--name is a; a service's name is",
		"domain add shop https://a.example.com/":    "is a URL; a domain is only the host in it: a.example.com",
		"domain add shop shop":                      "is no domain of the Internet",
		"domain add shop a_b.example.com":           "is no domain; a domain is like",
		"hooks add example.com":                     "must begin with http:// or https://",
		"hooks add http://a/ --service x":           "--service is x; a service's name is",
		"hooks show 1 -n 0":                         "--number is 0; it must be at least 1",
		"secret put a:b":                            "a:b is no name; a secret's name is",
		"secret rm a --days 3 --yes":                "--days is 3; it must be 7 to 30",
		"iam user create a:b":                       "a:b is no name; a user's name is",
		"iam policy put a/b x":                      "a/b is no name; a policy's name is",
		"iam simulate ann ListServices":             "ListServices is no action; an action is service:Name",
		"iam simulate ann apprunner:X shop":         "shop is no resource; a resource is an ARN or *",
		"connection create a":                       "a is no name; a connection's name is",
		"connection create code --provider svn":     "--provider is svn; it can be github, bitbucket, gitlab, gitea or git",
		"connection create code --provider git":     "--provider git needs --host",
		"connection create code --host https://x/":  "write the name of the host only, such as git.example.com",
		"logs shop -n 0":                            "--lines is 0",
		"audit -n 0":                                "--lines is 0; it must be 1 to 10000",
		"build prune --unused-for -1h --yes":        "must not be negative",
		"connection webhook code --rotate --remove": "exclude each other",
		"hooks add http://a/ --type weather":        "--type is \"weather\"; it must be status, operation or domain",
	} {
		code, _, stderr := stderrOf(t, line)
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("slipway %s: exit code %d, said %q, want %q", line, code, stderr, want)
		}
		if strings.Contains(stderr, "hunter2") {
			t.Errorf("slipway %s repeats the secret", line)
		}
	}
}

func TestSizesOfInstances(t *testing.T) {
	t.Parallel()
	for _, ok := range [][2]string{{"", ""}, {"0.25", "0.5"}, {"1 vCPU", "2 GB"}, {"1vcpu", "2gb"}, {"1024", "3072"}, {"4", "12"}, {"2", ""}, {"", "10"}} {
		if err := checkSize(ok[0], ok[1]); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
}

func TestOneOfCPUAndMemoryMustFitTheOther(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	if code, _, stderr := s.quietly(t.Context(), "up", "nginx:1", "--name", "shop", "--cpu", "4"); code != exitUsage ||
		!strings.Contains(stderr, "4 vCPU can't have 2 GB of memory; with --cpu 4, --memory can be 8, 10 or 12\nGive --memory with --cpu; it is 2 GB by default.") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	if n := len(s.server.services); n != 0 {
		t.Errorf("%d services were created", n)
	}
	s.server.add("shop", "RUNNING")
	if code, _, stderr := s.quietly(t.Context(), "up", "nginx:1", "--name", "shop", "--memory", "8"); code != exitUsage || !strings.Contains(stderr, "Give --cpu with --memory; it is 1 vCPU now.") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

func TestEnvFile(t *testing.T) {
	t.Parallel()
	environ := func(name string) (string, bool) { return "of the shell", name == "HOME" || name == "EMPTY" }
	const text = "\ufeff# comment\r\n" +
		"PLAIN=value  \n" +
		"  export EXPORTED=a b # remark\n" +
		"HASH=pa#ss\n" +
		"URL=https://example.com/?a=b&c=$d\n" +
		"EMPTY_ONE=\n" +
		"ONLY_REMARK= # nothing\n" +
		"SINGLE='as $it \\n is' # remark\n" +
		"QUOTE='it\\'s'\n" +
		"DOUBLE=\"a\\nb\\t\\\"c\\\" \\\\ \\$ \\x\"\n" +
		"MANY=\"-----BEGIN\nkey # no remark\n-----END\"\n" +
		"spring.datasource.url = jdbc:x\n" +
		"HOME\n" +
		"\n" +
		"LAST=umlaut \u00e4\\n"
	got := map[string]string{}
	if err := parseVariables(text, got, environ); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"PLAIN": "value", "EXPORTED": "a b", "HASH": "pa#ss", "URL": "https://example.com/?a=b&c=$d", "EMPTY_ONE": "", "ONLY_REMARK": "",
		"SINGLE": `as $it \n is`, "QUOTE": "it's", "DOUBLE": "a\nb\t\"c\" \\ $ \\x", "MANY": "-----BEGIN\nkey # no remark\n-----END",
		"spring.datasource.url": "jdbc:x", "HOME": "of the shell", "LAST": "umlaut \u00e4\\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEnvFileErrorsNameTheLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"A=1\nMISSING\n":                  "line 2: MISSING has no value: it is not set in this environment",
		"A=1\n\n=x\n":                     "line 3: a name of letters, digits and _ was expected",
		"A=\"x\ny\"\nB=\"sesame\nz":       "line 3: the quote that begins the value of B is not closed",
		"A='x' y":                         "line 1: there is text after the closing quote of A",
		"A B=1":                           "line 1: = was expected after A",
		"1A=x":                            "line 1: a name",
		"A=\x00":                          "line 1: the value of A contains a NUL byte",
		"A=\xff":                          "line 1: the value of A is not UTF-8",
		"PORT=80":                         "line 1: PORT is set by --port",
		"{\"A\": 1}":                      "line 1: a name",
		"A=" + strings.Repeat("x", 51201): "line 1: the value of A has 51201 bytes; at most 51200 are allowed",
	} {
		err := parseVariables(text, map[string]string{}, func(string) (string, bool) { return "", false })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "sesame") {
			t.Errorf("the error repeats a value: %v", err)
		}
	}
	file := filepath.Join(t.TempDir(), "app.env")
	if err := os.WriteFile(file, []byte("A=1\nB C\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, stderr := stderrOf(t, "up shop:1 --env-file "+file); !strings.Contains(stderr, "--env-file "+file+": line 2: = was expected after B") {
		t.Errorf("said %q", stderr)
	}
	if _, _, stderr := stderrOf(t, "up shop:1 --env-file "+t.TempDir()); !strings.Contains(stderr, "is a directory") {
		t.Errorf("said %q", stderr)
	}
}

func FuzzEnvFile(f *testing.F) {
	for _, seed := range []string{"A=1", "export A='x\ny'\nB=\"\\\"\"", "A", "#", "\ufeffA = b # c", "A='"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		env := map[string]string{}
		if err := parseVariables(text, env, func(string) (string, bool) { return "", false }); err != nil {
			return
		}
		for name, value := range env {
			if checkVariable(name) != nil || strings.ContainsRune(value, 0) {
				t.Errorf("%q = %q", name, value)
			}
			quoted := map[string]string{}
			again := name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
			if err := parseVariables(again, quoted, nil); err != nil || quoted[name] != strings.ReplaceAll(value, "\r\n", "\n") {
				t.Errorf("%q was read as %q, %v", again, quoted[name], err)
			}
		}
	})
}

func TestANameThatWasChangedIsTold(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	_, _, stderr := s.quietly(t.Context(), "up", "docker.io/library/web:1")
	if !strings.Contains(stderr, `The service is called web-app: "web" can't be a service's name.`) {
		t.Errorf("said %q", stderr)
	}
}

func TestAFileThatIsNoImageStartsNoServer(t *testing.T) {
	t.Parallel()
	var errs strings.Builder
	m := &Main{
		Stderr: &errs, Stdout: io.Discard, Getenv: func(name string) string {
			return map[string]string{"SLIPWAY_ENDPOINT": "http://127.0.0.1:1", "SLIPWAY_DATA_DIR": t.TempDir()}[name]
		}, Now: time.Now,
		StartServer: func(context.Context, ServerOptions) (*Server, error) { return nil, errors.New("a server was started") },
	}
	if code := m.Run(t.Context(), []string{"up", "flags_test.go"}); code != exitFailed || !strings.Contains(errs.String(), "flags_test.go is not a container image") {
		t.Errorf("exit code %d, %q", code, errs.String())
	}
}
