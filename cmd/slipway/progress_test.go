package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/image/imagetest"
)

// deploymentLines are App Runner's lines about the deployment of an image.
var deploymentLines = []string{
	"Deployment with ID : 1 started. Triggering event : SERVICE_UPDATE",
	"Deployment Artifact: [Repo Type: ECR], [Image URL: 000000000000.dkr.ecr.us-east-1.amazonaws.com/shop:1.0]",
	"Pulling image 000000000000.dkr.ecr.us-east-1.amazonaws.com/shop:1.0.",
	"Successfully pulled your application image (sha256:1).",
	"Provisioning instances and deploying image for publicly accessible service.",
	"Performing health check on protocol `HTTP` [Path: '/health'], [Port: '8080'].",
}

// hostile has all that a terminal would act on.
const hostile = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[5m \u009b2J \u202eesrever \b\r\nx"

// failures are reasons, with the command that each leads to.
var failures = map[string]string{
	"it took longer than 5m0s: 0 of 1 instances passed the health check on protocol `TCP` [Port: '8080']; nothing listens on port 8080; the application listens on port 3000": "Try `slipway up shop.tar --name shop --port 3000`.",
	"the process was killed because it used more memory than the service has after 1.0 s; its last lines were: loading":                                                       "Try `slipway up shop.tar --name shop --memory` with more",
	"the process exited with code 3 after 0.9 s; its last lines were: Traceback:\n  File \"app.py\"\nKeyError: 'URL'":                                                         "Try `slipway logs shop` to see all",
	"the process could not run: exec /helo: no such file or directory":                                                                                                        "Try `slipway up shop.tar --name shop --start-command COMMAND`",
	"Failed to pull your application image. Reason: docker.io/x:1 does not exist\nIs the tag right?":                                                                          "Try `slipway logs shop --deployment ",
}

// A failure ends with its reason and the command to try, after the application's own
// last lines; App Runner's sentences are not shown.
func TestProgressOfFailures(t *testing.T) {
	t.Parallel()
	for reason, try := range failures {
		s := newSession(t)
		s.server.add("shop", types.ServiceStatusRunning)
		path := imagetest.SaveTar(t, shopImage(t, "two"), "shop:1.0")
		s.server.lines = append(deploymentLines, "Your application stopped or failed to start.", "Failed to deploy your application image.", "Service update failed. For details, see service logs.")
		s.server.cause, s.server.ending = reason, types.OperationStatusRollbackSucceeded
		s.server.output = []fakeLine{
			{"instance/old", "serving as before", epoch.Add(-time.Hour)},
			{"instance/old", "GET /", epoch.Add(time.Second)},
			{"instance/new", "starting", epoch.Add(time.Second)},
			{"instance/new", "KeyError " + hostile, epoch.Add(2 * time.Second)},
		}
		code, stdout, stderr := s.quietly(t.Context(), "up", path, "--name", "shop")
		stderr = strings.ReplaceAll(stderr, path, "shop.tar")
		lines := strings.Split(strings.TrimRight(stderr, "\n"), "\n")
		first, _, _ := strings.Cut(reason, "; its last lines")
		first, rest, _ := strings.Cut(first, "\n")
		if !strings.HasPrefix(first, "Failed") {
			first = "Reason: " + first
		}
		if code != exitFailed || stdout != "" || !strings.HasPrefix(lines[len(lines)-1], try) {
			t.Errorf("%q: exit %d, %q, last line %q, want %q", reason, code, stdout, lines[len(lines)-1], try)
		}
		for _, want := range []string{
			"\nPulling the image\nStarting the application and waiting for GET /health on port 8080\n",
			"\n  shop | starting\n  shop | KeyError ", "\nslipway: UPDATE_SERVICE of shop failed and was rolled back: the previous version keeps serving", "\n" + first + "\n", rest,
		} {
			if !strings.Contains(stderr, want) {
				t.Errorf("%q: %q is missing in\n%s", reason, want, stderr)
			}
		}
		for _, never := range []string{"serving as before", "GET /\n", "Deployment with ID", "Your application stopped", "For details"} {
			if strings.Contains(stderr, never) {
				t.Errorf("%q: %q is in\n%s", reason, never, stderr)
			}
		}
		harmless(t, stderr)
	}
}

// On a terminal phases are redrawn, and become lines with their time.
func TestProgressOnTerminals(t *testing.T) {
	t.Parallel()
	for _, columns := range []int{60, 40} {
		s := newSession(t)
		s.env["TERM"] = "xterm"
		s.server.add("shop", types.ServiceStatusRunning)
		s.server.lines = append(deploymentLines, "Health check is successful. Routing traffic to application.", "Service update completed successfully.")
		if code := s.onTerminal(columns, "deploy", "shop"); code != exitOK {
			t.Errorf("exit %d", code)
		}
		text := s.transcript.String()
		harmless(t, text)
		for _, want := range []string{"Deploying shop\n", "\r\x1b[KPulling the image \x1b[2m(", "shop \x1b[32mis deployed\x1b[0m (1.2 s)\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing in %q", want, text)
			}
		}
		for part := range strings.SplitSeq(strings.ReplaceAll(text, "\n", "\r"), "\r") {
			if part = colours.ReplaceAllString(part, ""); !strings.HasPrefix(part, "$") && len([]rune(part)) >= columns {
				t.Errorf("%d columns: %q wraps", columns, part)
			}
		}
	}
}

// colours are the sequences that this program writes.
var colours = regexp.MustCompile("\x1b\\[([0-9;]*m|K)")

// harmless fails if a terminal would act on more of a text than colours and redrawing.
func harmless(t *testing.T, text string) {
	t.Helper()
	text = strings.ReplaceAll(colours.ReplaceAllString(text, ""), "\r", "")
	if i := strings.IndexFunc(text, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r == 0x202e
	}); i >= 0 {
		t.Errorf("a terminal acts on %q", text[i:min(len(text), i+20)])
	}
	if strings.Contains(text, "]0;owned\uFFFD") {
		t.Errorf("a sequence is cut open: %q", text)
	}
}

// Whatever applications, users and the server say, no command passes it to a terminal
// as anything but text.
func TestNothingHostileReachesTerminals(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.env["TERM"] = "xterm"
	shop := s.server.add("shop", types.ServiceStatusRunning)
	s.server.addInstances(*shop.ServiceArn)
	for _, i := range s.server.instances[*shop.ServiceArn].Instances {
		*i.State = "ready" + hostile
	}
	image, path, command := "shop:"+hostile, "/"+hostile, "run "+hostile
	repository := shop.SourceConfiguration.ImageRepository
	repository.ImageIdentifier, repository.ImageConfiguration.StartCommand = &image, &command
	repository.ImageConfiguration.RuntimeEnvironmentVariables = map[string]string{"A" + hostile: hostile}
	shop.HealthCheckConfiguration.Protocol, shop.HealthCheckConfiguration.Path = types.HealthCheckProtocolHttp, &path
	s.server.tags = []types.Tag{{Key: &image, Value: &path}}
	s.server.output = []fakeLine{{"instance/1111", "ready " + hostile, epoch}}
	s.server.lines, s.server.cause = append(deploymentLines, "New "+hostile), "because "+hostile
	s.server.ending = types.OperationStatusRollbackSucceeded
	for _, line := range []string{
		"deploy shop", "deploy shop --json", "ls", "describe shop --show-values", "describe shop --json --show-values", "ops shop",
		"logs shop", "logs shop --raw", "logs shop --json", "logs shop --events", "describe no\x1b[2Jne", "up no\x1b[2Jne:\u202e1",
	} {
		s.onTerminal(100, strings.Fields(line)...)
	}
	for line := range strings.Lines(s.transcript.String()) {
		if !strings.HasPrefix(line, "$") {
			harmless(t, line)
		}
	}
	if text := s.transcript.String(); strings.Count(text, "\uFFFD") < 20 {
		t.Errorf("what was not shown left no trace:\n%s", text)
	}
}

// The log of a service tells what happens to it between the lines of its instances, and
// ends with the service.
func TestLogsTellWhatHappens(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	shop := s.server.add("shop", types.ServiceStatusRunning)
	one, two := "instance/1111111122222222", "instance/3333333344444444"
	s.server.output = []fakeLine{{one, "starting", epoch}, {one, "crashing", epoch.Add(2 * time.Second)}, {two, "starting", epoch.Add(5 * time.Second)}}
	s.server.events = []fakeLine{
		{"events", "[AppRunner] Service creation started.", epoch.Add(-time.Minute)},
		{"events", "[AppRunner] Health check is successful. Routing traffic to application.", epoch.Add(time.Second)},
		{"events", "[AppRunner] Your application stopped or failed to start. See logs for more information. Container exit code: 137, killed for using more memory than the service has (instance 11111111222222221111111122222222, after 2.0 s). Another one is started in 1s.", epoch.Add(3 * time.Second)},
		{"events", "[AppRunner] Service pause completed successfully.", epoch.Add(6 * time.Second)},
		{"events", "[AppRunner] Instance 33333333 failed its health check 5 times in a row: x\x1b[2Jy. It takes no more requests.", epoch.Add(7 * time.Second)},
	}
	s.run("logs", "shop")
	s.run("logs", "shop", "-n", "1")
	s.run("logs", "shop", "--since", "3h", "-n", "1")
	s.run("logs", "shop", "--since", "3h")
	s.run("logs", "shop", "--since", "3h", "--json", "-n", "1")
	s.run("logs", "shop", "--raw")
	shop.Status = types.ServiceStatusDeleted
	s.run("logs", "-f", *shop.ServiceArn)
	s.run("logs", "-f", *shop.ServiceArn, "--json")
	s.golden()
}

func TestNotes(t *testing.T) {
	t.Parallel()
	for event, want := range map[string]string{
		"[AppRunner] Service resume completed successfully.":                                "the service is resumed",
		"[AppRunner] Service update completed successfully. New configuration is deployed.": "the update is done; its version serves",
		"[AppRunner] Your application stopped or failed to start. See logs for more information. Container exit code: 7 (instance 0123456789abcdef0123456789abcdef, after 3.2 s).":                                                      "instance 01234567 exited after 3.2 s with code 7",
		"[AppRunner] Your application stopped or failed to start. See logs for more information. Container exit code: 143, killed by SIGTERM (instance 0123456789abcdef0123456789abcdef, after 3.2 s). Another one is started in 5m0s.": "instance 01234567 exited after 3.2 s with code 143, killed by SIGTERM; another one is started in 5m0s",
		"[AppRunner] Your application stopped or failed to start. See logs for more information. Reason: /app: not found (instance 0123456789abcdef0123456789abcdef, after 0.0 s).":                                                     "instance 01234567 ended after 0.0 s: /app: not found",
		"[AppRunner] Pulling image x.": "",
	} {
		if got := note(event); got != want {
			t.Errorf("note(%q) = %q, want %q", event, got, want)
		}
	}
}
