package deploy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/kballard/go-shellquote"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/source"
)

// request is what a release is made from.
type request struct {
	spec     slipway.Spec
	settings slipway.Settings
	artifact source.Artifact
	code     *slipway.CodeVersion // nil for an image that was pulled
	scaling  slipway.Scaling
	region   string
}

// resolveRelease combines a specification, a service's settings and an image's
// configuration into a release. The specification overrides the image as in App
// Runner.
func resolveRelease(q request) (slipway.Release, error) {
	run, a := runtimeOf(q.spec, q.code), q.artifact
	r := slipway.Release{Image: a.Digest, ImageRef: a.Ref, Code: q.code, Scaling: q.scaling, HealthCheck: healthCheck(q.spec.HealthCheck)}
	var err error
	if r.Port, err = port(run.Port); err != nil {
		return r, err
	}
	if r.Process, err = process(q, run, r.Port); err != nil {
		return r, err
	}
	r.Resources, err = resources(q.spec.Instance)
	return r, err
}

func port(s string) (int, error) {
	if s == "" {
		return slipway.DefaultPort, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 {
		return 0, slipway.Errorf(slipway.InvalidRequest, "Port is %q; it must be a number from 1 to 65535.", s)
	}
	return n, nil
}

// process returns what an instance runs. A start command replaces both entry
// point and command of the image.
//
// For an image it is split into words as a shell would, but no shell runs it: as
// with App Runner, the program gets "&&" as an argument (apprunner-roadmap 180).
// For code a shell runs it, which App Runner does not do: see docs/compatibility.md.
// An image with only a static program has no shell.
func process(q request, run source.Runtime, port int) (slipway.Process, error) {
	a := q.artifact
	p := slipway.Process{Dir: a.Config.Dir, User: a.Config.User, StopSignal: a.Config.StopSignal, Volumes: a.Config.Volumes, Init: q.settings.Init}
	p.Argv = slices.Concat(a.Config.Entrypoint, a.Config.Cmd)
	switch {
	case strings.TrimSpace(run.Command) == "":
	case q.code != nil && a.HasShell():
		p.Argv = []string{"/bin/sh", "-c", replaceShell(run.Command)}
	default:
		argv, err := shellquote.Split(run.Command)
		if err != nil || len(argv) == 0 {
			return p, slipway.Errorf(slipway.InvalidRequest, "StartCommand cannot be split into words: %v.", err)
		}
		p.Argv = argv
	}
	if len(p.Argv) == 0 {
		return p, slipway.Errorf(slipway.InvalidRequest,
			"The image %s has neither an entry point nor a command, and no StartCommand is set: there is nothing to run.", a.Ref)
	}
	p.Env = environment(a.Config.Env, run.Environment, port, q.region)
	if p.Dir == "" {
		p.Dir = "/"
	}
	return p, checkStrings(p)
}

// checkStrings refuses what no process can be given. JSON can hold it.
func checkStrings(p slipway.Process) error {
	for member, list := range map[string][]string{
		"command": p.Argv, "environment": p.Env, "working directory": {p.Dir}, "user": {p.User}, "volumes": p.Volumes,
	} {
		for _, s := range list {
			if strings.Contains(s, "\x00") {
				return slipway.Errorf(slipway.InvalidRequest, "The %s of the image or the service contains a zero byte in %q.", member, s)
			}
		}
	}
	return nil
}

// replaceShell has a shell become the program that a command runs, where the command is
// one program with its arguments. A shell that stays is process 1 of the instance, and
// passes no stop signal on.
func replaceShell(command string) string {
	program, _, _ := strings.Cut(strings.TrimSpace(command), " ")
	if !isOneCommand(command) || !isProgram(program) {
		return command
	}
	return "exec " + command
}

// isOneCommand reports whether a shell takes a text for one simple command. What it would
// not do with certainty counts as no.
func isOneCommand(text string) bool {
	var quote, before rune // quote is ' or " or a backslash while it lasts
	for _, r := range text {
		switch {
		case quote == '\\', quote != 0 && r == quote:
			quote = 0
		case quote == '\'', quote == '"' && r != '\\' && r != '`' && !(before == '$' && r == '('):
		case quote == 0 && strings.ContainsRune("'\"\\", r):
			quote = r
		case quote != 0, strings.ContainsRune(";&|()\n\r\t`#", r):
			return false
		}
		before = r
	}
	return quote == 0
}

// isProgram reports whether a shell takes the first word of a command for the name of a
// program. What it would not do with certainty counts as no.
func isProgram(word string) bool {
	plain := !strings.ContainsFunc(word, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_./+-", r))
	})
	if !plain || word == "" || strings.HasPrefix(word, "-") {
		return false
	}
	switch word {
	case ".", "source", "eval", "exec", "command", "builtin", "exit", "return", "export", "readonly", "set", "unset", "local", "cd", "trap",
		"ulimit", "umask", "alias", "wait", "read", "times", "shift", "type", "hash", "jobs", "fg", "bg", "getopts", "declare", "let", "time",
		"if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "select", "function", "coproc", "in":
		return false
	}
	return true
}

// environment merges, in rising precedence, the region's variables, the image's,
// the user's and PORT. As with Docker, the last of an image's entries for a variable
// counts, and one without "=" takes the variable away.
func environment(image []string, user map[string]string, port int, region string) []string {
	merged := map[string]string{"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
	for _, kv := range image {
		switch k, v, ok := strings.Cut(kv, "="); {
		case !ok:
			delete(merged, k)
		case k != "":
			merged[k] = v
		}
	}
	maps.Copy(merged, user)
	merged["PORT"] = strconv.Itoa(port)
	env := make([]string, 0, len(merged))
	for _, k := range slices.Sorted(maps.Keys(merged)) {
		env = append(env, k+"="+merged[k])
	}
	return env
}

func resources(c types.InstanceConfiguration) (slipway.Resources, error) {
	cpu, err := strconv.Atoi(aws.ToString(c.Cpu))
	if err != nil || cpu < 1 {
		return slipway.Resources{}, fmt.Errorf("a stored specification has Cpu %q, which is not in units", aws.ToString(c.Cpu))
	}
	memory, err := strconv.Atoi(aws.ToString(c.Memory))
	if err != nil || memory < 1 {
		return slipway.Resources{}, fmt.Errorf("a stored specification has Memory %q, which is not in MB", aws.ToString(c.Memory))
	}
	return slipway.Resources{CPU: cpu, Memory: memory}, nil
}

// healthCheck applies App Runner's defaults. The API has applied them already to
// specifications that it stored.
func healthCheck(h types.HealthCheckConfiguration) slipway.HealthCheck {
	c := slipway.DefaultHealthCheck()
	c.HTTP = h.Protocol == types.HealthCheckProtocolHttp
	c.Path = cmp.Or(aws.ToString(h.Path), c.Path)
	for _, v := range []struct {
		to   *time.Duration
		from *int32 // seconds
	}{{&c.Interval, h.Interval}, {&c.Timeout, h.Timeout}} {
		if v.from != nil {
			*v.to = time.Duration(*v.from) * time.Second
		}
	}
	for _, v := range []struct {
		to   *int
		from *int32
	}{{&c.HealthyThreshold, h.HealthyThreshold}, {&c.UnhealthyThreshold, h.UnhealthyThreshold}} {
		if v.from != nil {
			*v.to = int(*v.from)
		}
	}
	return c
}
