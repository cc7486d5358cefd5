package deploy

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/source"
)

func TestResolveRelease(t *testing.T) {
	t.Parallel()
	artifact := source.Artifact{Digest: "sha256:1", Ref: "shop:1", Config: image.RunConfig{
		Entrypoint: []string{"/entry"}, Cmd: []string{"serve"}, Env: []string{"A=image", "B=image", "PORT=1"}, User: "web",
	}}
	for _, c := range []struct {
		name  string
		image source.Artifact
		conf  types.ImageConfiguration
		argv  []string
		env   []string
		port  int
		err   slipway.Code
	}{
		{
			name: "image's own", image: artifact, argv: []string{"/entry", "serve"}, port: 8080,
			env: []string{"A=image", "AWS_DEFAULT_REGION=eu-west-1", "AWS_REGION=eu-west-1", "B=image", "PORT=8080"},
		},
		{
			name: "overridden", image: artifact, port: 3000, argv: []string{"sh", "-c", "echo 'a b' && /entry"},
			conf: types.ImageConfiguration{
				Port: aws.String("3000"), StartCommand: aws.String(`sh -c "echo 'a b' && /entry"`),
				RuntimeEnvironmentVariables: map[string]string{"A": "user", "AWS_REGION": "mine"},
			},
			env: []string{"A=user", "AWS_DEFAULT_REGION=eu-west-1", "AWS_REGION=mine", "B=image", "PORT=3000"},
		},
		{
			name: "no shell", image: artifact, conf: types.ImageConfiguration{StartCommand: aws.String("migrate && serve")},
			argv: []string{"migrate", "&&", "serve"}, port: 8080,
			env: []string{"A=image", "AWS_DEFAULT_REGION=eu-west-1", "AWS_REGION=eu-west-1", "B=image", "PORT=8080"},
		},
		{
			name: "odd environment", argv: []string{"/entry"}, port: 8080,
			image: source.Artifact{Config: image.RunConfig{Entrypoint: []string{"/entry"}, User: "web", Env: []string{"A=1", "B=1", "A=2", "A2=x=y", "=z", "B", "AWS_REGION", "C="}}},
			env:   []string{"A=2", "A2=x=y", "AWS_DEFAULT_REGION=eu-west-1", "C=", "PORT=8080"},
		},
		{name: "zero byte", image: source.Artifact{Config: image.RunConfig{Cmd: []string{"a\x00b"}}}, err: slipway.InvalidRequest},
		{name: "zero byte in a variable", image: source.Artifact{Config: image.RunConfig{Cmd: []string{"a"}, Env: []string{"A=\x00"}}}, err: slipway.InvalidRequest},
		{name: "nothing to run", image: source.Artifact{Ref: "empty"}, err: slipway.InvalidRequest},
		{name: "open quote", image: artifact, conf: types.ImageConfiguration{StartCommand: aws.String(`sh -c "oops`)}, err: slipway.InvalidRequest},
		{name: "port 0", image: artifact, conf: types.ImageConfiguration{Port: aws.String("0")}, err: slipway.InvalidRequest},
		{name: "port too high", image: artifact, conf: types.ImageConfiguration{Port: aws.String("65536")}, err: slipway.InvalidRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			spec := slipway.Spec{
				Source:   types.SourceConfiguration{ImageRepository: &types.ImageRepository{ImageConfiguration: &c.conf}},
				Instance: types.InstanceConfiguration{Cpu: aws.String("256"), Memory: aws.String("512")},
			}
			r, err := resolveRelease(request{spec: spec, artifact: c.image, scaling: slipway.Scaling{MaxConcurrency: 1, MinSize: 1, MaxSize: 1}, region: "eu-west-1"})
			if slipway.CodeOf(err) != c.err {
				t.Fatalf("err = %v, want code %q", err, c.err)
			}
			if err != nil {
				return
			}
			if d := cmp.Diff(c.argv, r.Process.Argv); d != "" {
				t.Errorf("argv: %s", d)
			}
			if d := cmp.Diff(c.env, r.Process.Env); d != "" {
				t.Errorf("env: %s", d)
			}
			if r.Port != c.port || r.Process.Dir != "/" || r.Process.User != "web" {
				t.Errorf("port %d, dir %q, user %q", r.Port, r.Process.Dir, r.Process.User)
			}
		})
	}
}

// The start command of code runs in a shell, if the image has one.
func TestShellOfCode(t *testing.T) {
	t.Parallel()
	for label, want := range map[string][]string{"": {"/bin/sh", "-c", "exec ./app -v $PORT"}, image.NoShell: {"./app", "-v", "$PORT"}} {
		a := source.Artifact{Config: image.RunConfig{Labels: map[string]string{image.LabelShell: label}}}
		p, err := process(request{code: &slipway.CodeVersion{}, artifact: a}, source.Runtime{Command: "./app -v $PORT"}, 80)
		if diff := cmp.Diff(want, p.Argv); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", label, err, diff)
		}
	}
}

func TestExitReason(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]slipway.Exit{
		"the process exited with code 1 after 0.3 s; its last lines were: no database":                                                                 {Code: 1, Ran: 300 * time.Millisecond, Tail: "no database\n"},
		"the process exited with code 0 after 1.0 s: a service runs until it is stopped, so its program must stay in the foreground; it wrote nothing": {Ran: time.Second},
		"the process was killed by SIGSEGV after 2.0 s; it wrote nothing":                                                                              {Code: 139, Signal: "SIGSEGV", Ran: 2 * time.Second},
		"the process was killed because it used more memory than the service has after 2.0 s; its last lines were: growing":                            {Code: 137, Signal: "SIGKILL", OOM: true, Ran: 2 * time.Second, Tail: "growing"},
		"the instance was stopped: it did not pass its health check":                                                                                   {Reason: "it did not pass its health check", Ran: time.Minute},
		"the process could not run: exec /app: no such file or directory":                                                                              {Code: 127, Reason: "exec /app: no such file or directory"},
	} {
		if got := exitReason(e); got != want {
			t.Errorf("exitReason = %q, want %q", got, want)
		}
	}
}

// TestReplaceShell: a command that is one program is executed in place of the shell.
func TestReplaceShell(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{
		"serve -b :${PORT:-80} a 'b\nc'": "exec serve -b :${PORT:-80} a 'b\nc'",
		"gunicorn \"app:make()\"":        "exec gunicorn \"app:make()\"",
		"{ a; }":                         "{ a; }",
		"{ a":                            "{ a",
		"a() { b":                        "a() { b",
		"node server.js":                 "exec node server.js",
		"gunicorn 'app:make()'":          "exec gunicorn 'app:make()'",
		"serve \"a;b\" it\\'s \"'\" &":   "serve \"a;b\" it\\'s \"'\" &",
		"serve \"a;b\" it\\'s \"'\" '&'": "exec serve \"a;b\" it\\'s \"'\" '&'",
		"serve \"$(a \"b;\")\"":          "serve \"$(a \"b;\")\"",
		"serve \"a":                      "serve \"a",
		"serve a\\":                      "serve a\\",
		" ./app -v \"$PORT\" > log":      "exec  ./app -v \"$PORT\" > log",
		"gunicorn -b 0.0.0.0:8080 a:b":   "exec gunicorn -b 0.0.0.0:8080 a:b",
		"A=1 node server.js":             "A=1 node server.js",
		"$RUN me":                        "$RUN me",
		"migrate && serve":               "migrate && serve",
		"serve & wait":                   "serve & wait",
		"cd app; serve":                  "cd app; serve",
		"cd app":                         "cd app",
		"exec serve":                     "exec serve",
		". ./env":                        ". ./env",
		"if x":                           "if x",
		"a\nb":                           "a\nb",
		"(serve)":                        "(serve)",
		"\"my app\" x":                   "\"my app\" x",
		"a $(b)":                         "a $(b)",
	} {
		if got := replaceShell(command); got != want {
			t.Errorf("%q becomes %q, want %q", command, got, want)
		}
	}
}
