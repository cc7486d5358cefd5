package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// stderrOf runs a command without a server and returns what it says.
func stderrOf(t *testing.T, line string) (code int, stdout, stderr string) {
	t.Helper()
	s := &session{t: t, env: map[string]string{"SLIPWAY_ENDPOINT": "http://127.0.0.1:1", "SLIPWAY_DATA_DIR": t.TempDir(), "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s"}}
	return s.quietly(t.Context(), strings.Fields(line)...)
}

func TestUnknownCommandsLeadToOurs(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"dpeloy":                     "did you mean deploy?",
		"lgos shop":                  "did you mean logs or ls?",
		"descrbe shop":               "did you mean describe?",
		"sl":                         "did you mean ls?",
		"resum":                      "did you mean resume?",
		"secert ls":                  "did you mean secret?",
		"ps":                         "`slipway ls`",
		"status shop":                "`slipway ls`",
		"info shop":                  "`slipway describe SERVICE`",
		"delete shop":                "`slipway rm SERVICE`",
		"destroy":                    "`slipway rm SERVICE`",
		"stop shop":                  "`slipway pause SERVICE`",
		"start shop":                 "`slipway resume SERVICE`",
		"restart shop":               "`slipway deploy SERVICE`",
		"config":                     "--env NAME=value",
		"config:set A=b":             "--env NAME=value",
		"exec shop sh":               "nobody can enter an instance",
		"scale shop":                 "--min 2 --max 10",
		"run nginx":                  "`slipway up",
		"releases shop":              "`slipway ops SERVICE`",
		"tail shop":                  "`slipway logs -f SERVICE`",
		"certs":                      "`slipway domain`",
		"login":                      "access key",
		"create-service":             "`slipway up",
		"list-services":              "`slipway ls`",
		"apps:destroy":               "`slipway ls`",
		"secret set a":               "it is `slipway secret put` here",
		"secret delete a":            "it is `slipway secret rm` here",
		"secret gte a":               "did you mean get?",
		"secret frobnicate":          "there are get, ls, put, rm",
		"image push a":               "it is `slipway image import` here",
		"iam user delete x":          "it is `slipway iam user rm` here",
		"iam usr ls":                 "did you mean user?",
		"domain create a b":          "it is `slipway domain add` here",
		"connection delete":          "it is `slipway connection rm` here",
		"key renew":                  "it is `slipway key rotate` here",
		"help nope":                  `there is no command "nope"`,
		"help iam frob":              "there are key, policy, simulate, user",
		"help ls frob":               "ls has no commands",
		"completion tcsh":            "did you mean bash, fish or zsh?",
		"ls --jsno":                  "did you mean --json?",
		"up . --cpus 1":              "it is --cpu here",
		"up . --health /":            "it is --health-path here",
		"up . -p 80":                 "it is --port here",
		"up . --replicas 2":          "it is --min here",
		"up . --detach":              "it is --wait=false here",
		"up . --memroy 2":            "did you mean --memory?",
		"logs shop --tail 5":         "it is --lines here",
		"ls -o json":                 "it is --json here",
		"rm shop --force":            "it is --yes here",
		"rm shop --confirm":          "it is --yes here",
		"up . --min":                 "--min needs a value: --min NUMBER",
		"up . --max many":            `--max is "many"; it must be a whole number`,
		"up . --max 9999999999999":   `--max is "9999999999999"; it must be smaller`,
		"up . --wait=perhaps":        `--wait is "perhaps"; it must be true or false`,
		"build prune --unused-for 3": `--unused-for is "3"; it must be a time with its unit`,
		"serve --log-level loud":     `--log-level is "loud"; it must be debug, info, warn or error`,
		"serve --public-ports a":     "it must be whole numbers",
		"ls --=x":                    "is no flag",
		"rm shop":                    "add --yes",
		"image":                      "",
	} {
		code, _, stderr := stderrOf(t, line)
		if want == "" {
			continue
		}
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("slipway %s: exit code %d, said %q, want %q", line, code, stderr, want)
		}
	}
}

func TestForeignWordsAreNoCommandsOfOurs(t *testing.T) {
	t.Parallel()
	m := &Main{Getenv: func(string) string { return "" }, Now: time.Now, Stderr: io.Discard}
	root := m.newRoot()
	root.InitDefaultCompletionCmd()
	for word, text := range foreignWords {
		if c := child(root, word); c != nil {
			t.Errorf("%q is a command, and its advice is never read", word)
		}
		for _, part := range strings.Split(text, "`") { // every command that is named exists
			words := strings.Fields(part)
			if len(words) > 1 && words[0] == "slipway" && child(root, strings.TrimSuffix(words[1], ",")) == nil && words[1] != "help" {
				t.Errorf("the advice for %q names `%s`, which does not exist", word, part)
			}
		}
	}
}

func TestHelpAndVersionEverywhere(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"help up", "up --help", "up -h", "help iam user", "iam user -h", "iam -h", "-h", "--help", "help", "help help", "help ops cancel"} {
		if code, out, stderr := stderrOf(t, line); code != exitOK || !strings.Contains(out, "Usage:") {
			t.Errorf("slipway %s: exit code %d, %q %q", line, code, out, stderr)
		}
	}
	for _, line := range []string{"--version", "-v", "-V", "--json --version", "version --client"} {
		if code, out, _ := stderrOf(t, line); code != exitOK || !strings.Contains(out, "linux/") || strings.Contains(out, "server") {
			t.Errorf("slipway %s: exit code %d, %q", line, code, out)
		}
	}
	if code, out, _ := stderrOf(t, "version"); code != exitOK || !strings.Contains(out, "server  unknown: no server answers at http://127.0.0.1:1") {
		t.Errorf("version without a server: exit code %d, %q", code, out)
	}
}

func TestVersionOfTheServer(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	if code, out, _ := s.quietly(t.Context(), "version"); code != exitOK || !strings.Contains(out, "server  v9.9.9 (commit 0123456789ab, 2026-01-02) linux/amd64 go1.30 at http://") {
		t.Errorf("exit code %d, %q", code, out)
	}
	_, out, _ := s.quietly(t.Context(), "version", "--json")
	var v versions
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Server == nil || v.Server.Version != "v9.9.9" || v.Client.Platform == "" {
		t.Errorf("%s: %v", out, err)
	}
}

// eachCommand calls do with each command of the client that does something, and with
// arguments in the number that it needs.
func eachCommand(t *testing.T, do func(cmd *cobra.Command, args []string)) {
	t.Helper()
	m := &Main{Getenv: func(string) string { return "" }, Now: time.Now, Stderr: io.Discard}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			walk(c)
		}
		if cmd.HasSubCommands() && cmd.Name() != "ops" || cmd.Name() == "serve" || cmd.Name() == "help" || strings.Contains(cmd.CommandPath(), " completion") {
			return
		}
		args := strings.Fields(cmd.CommandPath())[1:]
		for _, word := range strings.Fields(cmd.Use)[1:] {
			if !strings.HasPrefix(word, "[") {
				args = append(args, map[string]string{"ACTION": "iam:ListUsers", "URL": "http://example.com/", "DOMAIN": "a.example.com"}[word])
				if args[len(args)-1] == "" {
					args[len(args)-1] = "shop"
				}
			}
		}
		if cmd.Flags().Lookup("yes") != nil {
			args = append(args, "--yes")
		}
		do(cmd, args)
	}
	walk(m.newRoot())
}

// oneDocument returns the only JSON document of a text.
func oneDocument(text string) (doc map[string]any, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	if err := d.Decode(&doc); err != nil {
		return nil, err
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return doc, errors.New("more than one document")
	}
	return doc, nil
}

// TestErrorsAreOneDocument: with --json every command answers a wrong command line, and
// a server that is not there, with exactly one document.
func TestErrorsAreOneDocument(t *testing.T) {
	t.Parallel()
	eachCommand(t, func(cmd *cobra.Command, args []string) {
		check := func(line []string, code int, name string) {
			s := &session{t: t, stdin: "x", env: map[string]string{
				"SLIPWAY_ENDPOINT": "http://127.0.0.1:1", "SLIPWAY_DATA_DIR": t.TempDir(),
				"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s",
			}}
			got, stdout, stderr := s.quietly(t.Context(), line...)
			doc, err := oneDocument(stdout)
			if err != nil || got != code {
				t.Errorf("slipway %s: exit code %d, want %d; %v: %q %q", strings.Join(line, " "), got, code, err, stdout, stderr)
				return
			}
			failed, _ := doc["Error"].(map[string]any)
			if failed["Code"] != name || failed["Message"] == "" || stderr == "" {
				t.Errorf("slipway %s: %v, want %s; %q", strings.Join(line, " "), doc, name, stderr)
			}
			for _, word := range []string{"strconv", "slog", "pflag", "json:", "net/url"} {
				if strings.Contains(stdout+stderr, word) {
					t.Errorf("slipway %s says %q: %s", strings.Join(line, " "), word, stderr)
				}
			}
		}
		check(append(args, "--no-such-flag", "--json"), exitUsage, codeUsage)
		switch cmd.Name() {
		case "env", "lint", "plan", "init", "version", "check", "import", "up", "put", "man", "uninstall", "upgrade", "backup", "restore": // not without files, or without a server
		default:
			check(append(args, "--json"), exitFailed, codeUnreachable)
		}
	})
}

// TestSuccessIsOneDocument: commands that have nothing to say print {}.
func TestSuccessIsOneDocument(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.server.add("shop", "RUNNING")
	for _, line := range []string{"ls", "image ls", "describe shop", "logs shop", "logs shop --events", "ops shop", "domain ls", "hooks ls", "connection ls", "env", "runtimes", "build prune --yes", "version", "pause shop", "rm shop --yes"} {
		code, out, stderr := s.quietly(t.Context(), append(strings.Fields(line), "--json")...)
		if _, err := oneDocument(out); err != nil || code != exitOK {
			t.Errorf("slipway %s --json: exit code %d, %v: %q %q", line, code, err, out, stderr)
		}
	}
	s.server.add("other", "RUNNING")
	code, lines, stderr := s.quietly(t.Context(), "logs", "-f", "nobody", "--json") // its error is a line, too
	if strings.Count(lines, "\n") != 1 || !strings.HasPrefix(lines, `{"Error":{`) || code != exitFailed {
		t.Errorf("logs -f --json: exit code %d, %q %q", code, lines, stderr)
	}
	var out bytes.Buffer
	m := &Main{Stdout: &out, Stderr: io.Discard, json: true}
	if err := m.finish(&cobra.Command{Use: "rm", RunE: func(*cobra.Command, []string) error { return nil }}); err != nil || out.String() != "{}\n" {
		t.Errorf("a command without a document printed %q, %v", out.String(), err)
	}
}

// TestDestructiveCommandsNeedYes: without a terminal they change nothing unless --yes.
func TestDestructiveCommandsNeedYes(t *testing.T) {
	t.Parallel()
	found := 0
	eachCommand(t, func(cmd *cobra.Command, args []string) {
		destroys := map[string]bool{"rm": true, "prune": true, "rotate": true, "uninstall": true, "trust": true}[cmd.Name()]
		if destroys != (cmd.Flags().Lookup("yes") != nil) && cmd.Name() != "webhook" {
			t.Errorf("%s: destroys something: %v, has --yes: %v", cmd.CommandPath(), destroys, !destroys)
		}
		if !destroys {
			return
		}
		found++
		code, _, stderr := stderrOf(t, strings.Join(args[:len(args)-1], " "))
		if code != exitUsage || !strings.Contains(stderr, "standard input is not a terminal; add --yes") {
			t.Errorf("%s: exit code %d, %q", cmd.CommandPath(), code, stderr)
		}
	})
	if found < 9 {
		t.Errorf("only %d destructive commands", found)
	}
}
