package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/image/imagetest"
)

func TestLs(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.run("ls")
	s.server.add("shop", types.ServiceStatusRunning)
	s.server.add("billing", types.ServiceStatusPaused)
	s.server.add("api-v2", types.ServiceStatusCreateFailed)
	s.run("ls")
	s.run("ls", "--json")
	s.golden()
}

func TestSBOM(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.server.add("shop", types.ServiceStatusRunning)
	s.run("sbom", "shop")
	s.run("sbom", "shop", "--json")
	s.run("sbom", "none")
	s.golden()
}

func TestExplain(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.server.add("shop", types.ServiceStatusRunning)
	s.server.add("billing", types.ServiceStatusPaused)
	s.run("explain", "shop")
	s.run("explain", "billing")
	s.run("explain", "shop", "--json")
	s.run("explain", "none")
	s.golden()
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	shop := s.server.add("shop", types.ServiceStatusRunning)
	shop.SourceConfiguration.ImageRepository.ImageConfiguration.StartCommand = aws.String("serve --fast")
	shop.HealthCheckConfiguration.Protocol, shop.HealthCheckConfiguration.Path = types.HealthCheckProtocolHttp, aws.String("/health")
	s.server.tags = []types.Tag{{Key: aws.String("team"), Value: aws.String("sales")}}
	s.server.addDomain(*shop.ServiceArn, "shop.localhost", false)
	s.server.addDomain(*shop.ServiceArn, "shop.example.com", true)
	s.server.begin(shop, types.OperationTypeUpdateService, "deployment", types.ServiceStatusRunning)
	s.run("describe", "shop")
	s.run("describe", *shop.ServiceArn, "--show-values")
	s.run("describe", "shop", "--json")
	s.golden()
	if strings.Count(s.transcript.String(), "t0psecret") != 1 {
		t.Error("a variable's value was shown without --show-values")
	}
}

func TestOps(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	shop := s.server.add("shop", types.ServiceStatusRunning)
	s.run("pause", "shop")
	s.run("resume", "shop", "--wait=false")
	s.run("ops", "shop")
	s.run("ops", *shop.ServiceArn, "--json")
	s.golden()
}

func TestPause(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.server.add("shop", types.ServiceStatusRunning)
	s.run("pause", "shop")
	s.run("pause", "shop")
	s.run("pause", "shop", "--json")
	s.golden()
}

func TestResume(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.server.add("shop", types.ServiceStatusPaused)
	s.run("resume", "shop", "--json")
	s.run("resume", "shop")
	s.golden()
}

func TestDeploy(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.server.add("shop", types.ServiceStatusRunning)
	s.run("deploy", "shop")
	s.run("deploy", "shop", "--wait=false", "--json")
	s.run("deploy", "shop")
	s.golden()
}

func TestRm(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.server.add("shop", types.ServiceStatusRunning)
	s.run("rm", "shop")
	s.run("rm", "shop", "--json")
	s.run("rm", "shop", "--yes")
	s.run("rm", "shop", "-y")
	s.golden()
}

func TestFailedOperations(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.server.add("shop", types.ServiceStatusRunning)
	s.server.lines = []string{"Starting to deploy your application image.", "Your application stopped or failed to start. Container exit code: 1"}
	for _, ending := range []types.OperationStatus{
		types.OperationStatusRollbackSucceeded, types.OperationStatusRollbackFailed, types.OperationStatusFailed,
	} {
		s.server.ending = ending
		if code := s.run("deploy", "shop"); code != exitFailed {
			t.Errorf("exit code %d after %s, want %d", code, ending, exitFailed)
		}
	}
	if code := s.run("deploy", "shop", "--json"); code != exitFailed {
		t.Errorf("exit code %d with --json, want %d", code, exitFailed)
	}
	s.golden()
}

func TestLogs(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.server.add("shop", types.ServiceStatusRunning)
	s.run("logs", "shop")
	one, two := "instance/1111111122222222", "instance/3333333344444444"
	s.server.output = []fakeLine{
		{one, "starting", epoch},
		{two, "starting\r\n", epoch.Add(time.Millisecond)},
		{one, "\x1b[32mready\x1b[0m", epoch.Add(time.Hour)},
		{two, `{"level":"info"}`, epoch.Add(119 * time.Minute)},
	}
	s.run("deploy", "shop", "--wait=false")
	s.server.operations[*s.server.services[0].ServiceArn][0].asked = 2
	for _, args := range []string{
		"", "-n 1", "--since 90m", "--since 2026-03-01T13:59:00Z --json", "--instance 3333 --raw", "--instance 9",
		"--events", "--deployment 00000000000000000000000000000002", "--deployment beef",
		"--events --instance 1", "-n 0", "--since yesterday",
		"--access", "--access --events",
	} {
		s.run(append([]string{"logs", "shop"}, strings.Fields(args)...)...)
	}
	s.server.access = []fakeLine{{"access", `{"time":"2026-03-01T12:00:00.123Z","path":"/"}`, epoch}, {"access", "{\"path\":\"\x1b[2J\"}", epoch}}
	s.run("logs", "shop", "--access")
	s.run("logs", "shop", "--access", "--json")
	s.golden()
}

func TestImage(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	img := imagetest.Image(t, imagetest.Options{}, imagetest.Layer(t, imagetest.Text("etc/motd", "hi")))
	tar, dir := imagetest.SaveTar(t, img, "localhost/team/shop:1.0"), imagetest.SaveLayout(t, img, "")
	s.run("image", "ls")
	s.runAs("image import shop.tar", "image", "import", tar)
	s.runAs("image import layout other:dev", "image", "import", dir, "other:dev")
	s.runAs("image import layout other:dev --json", "image", "import", dir, "other:dev", "--json")
	s.run("image", "ls")
	s.run("image", "ls", "--json")
	s.runAs("image import layout Bad/Name", "image", "import", dir, "Bad/Name")
	s.run("image", "import", "absent.tar")
	s.run("image", "import", "main.go")
	s.run("image", "frob")
	s.golden()
}

func TestEnv(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.run("env")
	s.run("env", "--json")
	writeKeys(t, s.env["SLIPWAY_DATA_DIR"])
	s.run("env")
	known := s.env["AWS_ACCESS_KEY_ID"]
	s.env["AWS_ACCESS_KEY_ID"] = "AKIAFORAWS"
	s.run("env")
	s.env["AWS_ACCESS_KEY_ID"] = known
	s.env["AWS_PROFILE"] = "work"
	s.run("env", "--credentials", s.env["SLIPWAY_DATA_DIR"]+"/credentials")
	delete(s.env, "AWS_ACCESS_KEY_ID")
	delete(s.env, "AWS_PROFILE")
	s.run("env", "--region", "eu-west-1")
	s.golden()
}

func TestProblems(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.server.add("shop", types.ServiceStatusOperationInProgress)
	s.run("pause", "shob")
	s.run("pause", "shop")
	s.run("pause")
	s.run("pause", "shop", "api")
	s.run("ls", "shop")
	s.run("list", "--frob")
	s.run("describ", "shop")
	s.run("describe", "arn:aws:s3:::bucket")
	s.run("ls", "--endpoint", "127.0.0.1:8070")
	s.run("ls", "--endpoint", "http://127.0.0.1:1")
	s.run("ls", "--region", "eu-west-1")
	s.env["AWS_ACCESS_KEY_ID"] = "AKIAOTHER"
	s.run("ls")
	s.run("image", "ls")
	s.golden()
}

// lineWriter passes on what is written.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}

func TestLogsFollow(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.server.add("shop", types.ServiceStatusRunning)
	line := func(text string, at time.Duration) {
		s.server.mu.Lock()
		defer s.server.mu.Unlock()
		s.server.output = append(s.server.output, fakeLine{"instance/1", text, epoch.Add(at)})
	}
	line("first", 0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, code := make(lineWriter), make(chan int)
	m := &Main{Stdout: out, Stderr: io.Discard, Getenv: func(n string) string { return s.env[n] }, Now: func() time.Time { return epoch }}
	go func() { code <- m.Run(ctx, []string{"logs", "-f", "shop", "--raw"}) }()
	if got := <-out; got != "first\n" {
		t.Errorf("began with %q", got)
	}
	line("second", time.Second)
	if got := <-out; got != "second\n" {
		t.Errorf("went on with %q", got)
	}
	cancel() // Ctrl-C
	if c := <-code; c != exitOK {
		t.Errorf("exit code %d", c)
	}
}

func TestCtrlCEndsTheWaitingAlone(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	shop := s.server.add("shop", types.ServiceStatusRunning)
	s.server.stuck = true
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	errs, code := make(lineWriter), make(chan int)
	m := &Main{Stdout: io.Discard, Stderr: errs, Getenv: func(n string) string { return s.env[n] }, Now: func() time.Time { return epoch }}
	go func() { code <- m.Run(ctx, []string{"pause", "shop"}); close(errs) }()
	var said string
	go func() {
		for range 1 {
			said += <-errs
			cancel()
		}
		for text := range errs {
			said += text
		}
		close(code)
	}()
	if c := <-code; c != exitInterrupted {
		t.Errorf("exit code %d, want %d", c, exitInterrupted)
	}
	<-code
	if !strings.Contains(said, "stopped waiting for shop; the operation continues\n`slipway ops shop` shows its status.") {
		t.Errorf("said %q", said)
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	if shop.Status != types.ServiceStatusOperationInProgress {
		t.Errorf("the service is %s", shop.Status)
	}
}

func TestRmAsks(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{"y\n": true, " YES \n": true, "\n": false, "": false, "no\n": false, "yeah\n": false} {
		var errs strings.Builder
		m := &Main{Stdin: strings.NewReader(answer), Stderr: &errs}
		if got := m.ask(deleteQuestion, "shop", "RUNNING"); got != want {
			t.Errorf("%q means %v, want %v", answer, got, want)
		}
		if !strings.Contains(errs.String(), "Delete service shop (RUNNING)") {
			t.Errorf("asked %q", errs.String())
		}
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.server.add("shop", types.ServiceStatusRunning)
	s.server.add("billing", types.ServiceStatusRunning)
	for args, want := range map[string]string{
		"pause ":         "billing\nshop\n:4\n",
		"pause shop ":    ":4\n",
		"describe --sh":  "--show-values\tshow the values of environment variables\n:4\n",
		"--endpoint x l": "lint\tCheck an apprunner.yaml, and repair it\nlogs\tShow the output of a service's instances, or its events\nls\tList services\n:4\n",
	} {
		_, out, _ := s.quietly(t.Context(), append([]string{"__complete"}, strings.Split(args, " ")...)...)
		if out != want {
			t.Errorf("completion of %q: %q, want %q", args, out, want)
		}
	}
	s.env["SLIPWAY_ENDPOINT"] = "http://127.0.0.1:1"
	if _, out, _ := s.quietly(t.Context(), "__complete", "pause", ""); out != ":4\n" {
		t.Errorf("completion without a server: %q", out)
	}
}
