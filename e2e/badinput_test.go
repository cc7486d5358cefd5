package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/aws/smithy-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway/internal/image/imagetest"
)

// TestRefused asks for what the API must refuse at once, and checks the code
// and the words that tell a person what is wrong.
func TestRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, "--health-limit", "20s")
	client, ctx := s.client(), t.Context()
	image := s.push(web(t, "1"), "web:1")
	running := s.runningService("running", spec{image: image})
	busy, op := s.create("busy", spec{image: image, env: map[string]string{"MODE": "mute"}})
	unknown := "arn:aws:apprunner:us-east-1:000000000000:service/nowhere/0123456789abcdef0123456789abcdef"

	for _, r := range []struct {
		name, code, message string
		call                func() error
	}{
		{"unknown service", "ResourceNotFoundException", unknown, func() error {
			_, err := client.DescribeService(ctx, &apprunner.DescribeServiceInput{ServiceArn: &unknown})
			return err
		}},
		{"malformed ARN", "InvalidRequestException", "serviceArn", func() error {
			_, err := client.PauseService(ctx, &apprunner.PauseServiceInput{ServiceArn: aws.String("my-service")})
			return err
		}},
		{"pause during an operation", "InvalidStateException", "OPERATION_IN_PROGRESS", func() error {
			_, err := client.PauseService(ctx, &apprunner.PauseServiceInput{ServiceArn: busy.ServiceArn})
			return err
		}},
		{"deployment during an operation", "InvalidRequestException", "isn't in RUNNING state", func() error {
			_, err := client.StartDeployment(ctx, &apprunner.StartDeploymentInput{ServiceArn: busy.ServiceArn})
			return err
		}},
		{"deletion during an operation", "InvalidStateException", "OPERATION_IN_PROGRESS", func() error {
			_, err := client.DeleteService(ctx, &apprunner.DeleteServiceInput{ServiceArn: busy.ServiceArn})
			return err
		}},
		{"name taken", "InvalidRequestException", "Service with the provided name already exists: running", func() error {
			_, err := client.CreateService(ctx, &apprunner.CreateServiceInput{ServiceName: aws.String("running"), SourceConfiguration: spec{image: image}.source()})
			return err
		}},
		{"name too short", "InvalidRequestException", "Value 'web' at 'serviceName' failed to satisfy constraint", func() error {
			_, err := client.CreateService(ctx, &apprunner.CreateServiceInput{ServiceName: aws.String("web"), SourceConfiguration: spec{image: image}.source()})
			return err
		}},
		{"unknown scaling", "InvalidRequestException", "autoscalingconfiguration/none", func() error {
			_, err := client.CreateService(ctx, &apprunner.CreateServiceInput{
				ServiceName: aws.String("scaled"), SourceConfiguration: spec{image: image}.source(),
				AutoScalingConfigurationArn: aws.String("arn:aws:apprunner:us-east-1:000000000000:autoscalingconfiguration/none"),
			})
			return err
		}},
		{"port out of range", "InvalidRequestException", "99999", func() error {
			_, err := client.UpdateService(ctx, &apprunner.UpdateServiceInput{ServiceArn: running.ServiceArn, SourceConfiguration: spec{image: image, port: "99999"}.source()})
			return err
		}},
	} {
		t.Run(r.name, func(t *testing.T) {
			err := r.call()
			api, ok := errors.AsType[smithy.APIError](err)
			if !ok {
				t.Fatalf("got %v, want %s", err, r.code)
			}
			if api.ErrorCode() != r.code || !strings.Contains(api.ErrorMessage(), r.message) {
				t.Errorf("got %s %q, want %s with %q", api.ErrorCode(), api.ErrorMessage(), r.code, r.message)
			}
		})
	}
	if got := s.ended(busy, op); got != types.OperationStatusFailed {
		t.Errorf("the creation of an app that never listens ended %s, want FAILED", got)
	}
	s.replies(running, 1, "")
}

// signed sends a signed ListServices with what edit makes of it, and returns the
// answer's status and error code.
func (s *server) signed(secret string, at time.Time, edit func(*http.Request)) (status int, code, message string) {
	s.t.Helper()
	body := []byte("{}")
	req, err := http.NewRequest(http.MethodPost, s.API+"/", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "AppRunner.ListServices")
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	keys, sum := s.keys(), sha256.Sum256(body)
	if secret != "" {
		keys.SecretAccessKey = secret
	}
	if err := v4.NewSigner().SignHTTP(context.Background(), keys, req, hex.EncodeToString(sum[:]), "apprunner", "us-east-1", at); err != nil {
		s.t.Fatal(err)
	}
	edit(req)
	r, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	var out struct {
		Type    string `json:"__type"`
		Message string
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		s.t.Errorf("the error is not JSON: %q", text)
	}
	if r.Header.Get("X-Amzn-Requestid") == "" || r.Header.Get("Date") == "" {
		s.t.Errorf("the answer lacks a request id or a date: %v", r.Header)
	}
	_, name, found := strings.Cut(out.Type, "#")
	if !found {
		name = out.Type
	}
	return r.StatusCode, name, out.Message
}

// TestForged sends requests whose signature does not hold.
func TestForged(t *testing.T) {
	t.Parallel()
	s := serve(t)
	nothing := func(*http.Request) {}
	for _, r := range []struct {
		name   string
		secret string
		at     time.Time
		edit   func(*http.Request)
		status int
		code   string
	}{
		{"good", "", time.Now(), nothing, 200, ""},
		{"wrong secret", "no such secret", time.Now(), nothing, 403, "InvalidSignatureException"},
		{"expired", "", time.Now().Add(-time.Hour), nothing, 403, "InvalidSignatureException"},
		{"from the future", "", time.Now().Add(time.Hour), nothing, 403, "InvalidSignatureException"},
		{"changed body", "", time.Now(), func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(`{"MaxResults":1}`)), 16
		}, 403, "InvalidSignatureException"},
		{"changed target", "", time.Now(), func(r *http.Request) { r.Header.Set("X-Amz-Target", "AppRunner.ListAutoScalingConfigurations") }, 403, "InvalidSignatureException"},
		{"unsigned", "", time.Now(), func(r *http.Request) { r.Header.Del("Authorization") }, 403, "MissingAuthenticationTokenException"},
		{"unknown operation", "", time.Now(), func(r *http.Request) { r.Header.Set("X-Amz-Target", "AppRunner.Nothing") }, 404, "UnknownOperationException"},
	} {
		t.Run(r.name, func(t *testing.T) {
			status, code, message := s.signed(r.secret, r.at, r.edit)
			if status != r.status || code != r.code {
				t.Errorf("got %d %s %q, want %d %s", status, code, message, r.status, r.code)
			}
			if r.name == "expired" && !strings.Contains(message, "expired") {
				t.Errorf("an expired signature is answered %q", message)
			}
		})
	}
}

// failure is a creation that must fail, and the words that its history must
// hold for a person to act on.
type failure struct {
	name  string
	spec  spec
	words []string
}

// TestFailedCreations creates services that cannot run. Each must end as
// CREATE_FAILED with its reason in the events and nothing running.
func TestFailedCreations(t *testing.T) {
	t.Parallel()
	s := serve(t, "--health-limit", "5s")
	image := s.push(web(t, "1"), "web:1")
	foreign := imagetest.Run(t, app(t), imagetest.Options{Platform: "linux/arm64"})
	none := imagetest.Image(t, imagetest.Options{Files: []imagetest.File{imagetest.Text("readme", "nothing to run")}})
	failures := []failure{
		{"missing-image", spec{image: ecr("nowhere:1")}, []string{"nowhere:1", "not found"}},
		{"missing-tag", spec{image: ecr("web:none")}, []string{"web:none", "not found"}},
		{"wrong-platform", spec{image: s.push(foreign, "foreign:1")}, []string{"linux/arm64", "linux/amd64"}},
		{"no-entrypoint", spec{image: s.push(none, "none:1")}, []string{"neither an entry point nor a command"}},
		{"no-program", spec{image: image, start: "/nothing --here"}, []string{"/nothing"}},
		{"wrong-port", spec{image: image, env: map[string]string{"LISTEN": ":3000"}}, []string{"Health check failed", "nothing listens on port 8080", "listens on port 3000"}},
		{"never-listens", spec{image: image, env: map[string]string{"MODE": "mute"}}, []string{"Health check failed", "nothing listens on port 8080"}},
		{"unwell", spec{image: image, env: map[string]string{"MODE": "ill"}, health: quick()}, []string{"Health check failed", "/healthz", "500"}},
		{"exits", spec{image: image, env: map[string]string{"MODE": "exit"}}, []string{"exited with code 3", "the database is not there"}},
	}
	type started struct {
		svc *types.Service
		op  string
	}
	all := make([]started, len(failures))
	for i, f := range failures {
		svc, op := s.create(f.name, f.spec)
		all[i] = started{svc, op}
	}
	for i, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			svc := all[i].svc
			if got := s.ended(svc, all[i].op); got != types.OperationStatusFailed {
				t.Fatalf("the creation ended %s, want FAILED", got)
			}
			if got := s.status(svc); got != types.ServiceStatusCreateFailed {
				t.Errorf("status %s, want CREATE_FAILED", got)
			}
			history := s.history(svc)
			for _, w := range f.words {
				if !strings.Contains(history, w) {
					t.Errorf("the events do not say %q:\n%s", w, history)
				}
			}
		})
	}
	eventually(t, "nothing runs", func() (bool, string) {
		left := s.instanceProcesses("app")
		return len(left) == 0, strings.Join(names(left), " ")
	})
}

func names(all []process) []string {
	var out []string
	for _, p := range all {
		out = append(out, p.name)
	}
	return out
}

// TestFailedUpdate updates a service to something that cannot run: the
// operation must be rolled back and the old version never stop serving.
func TestFailedUpdate(t *testing.T) {
	t.Parallel()
	s := serve(t)
	image := s.push(web(t, "1"), "web:1")
	svc := s.runningService("steady", spec{image: image, env: map[string]string{"GREETING": "old"}})
	boot := s.boots(svc, 1)
	for range 2 { // a second time after the first has been undone
		out, err := s.client().UpdateService(t.Context(), &apprunner.UpdateServiceInput{
			ServiceArn:          svc.ServiceArn,
			SourceConfiguration: spec{image: image, env: map[string]string{"GREETING": "new", "MODE": "exit"}}.source(),
		})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the update ends", func() (bool, string) {
			s.replies(svc, 1, "old")
			o, err := s.operation(*svc.ServiceArn, *out.OperationId)
			if err != nil {
				t.Fatal(err)
			}
			if o.EndedAt != nil && o.Status != types.OperationStatusRollbackSucceeded {
				t.Fatalf("the update ended %s, want ROLLBACK_SUCCEEDED", o.Status)
			}
			return o.EndedAt != nil, string(o.Status)
		})
		if got := s.status(svc); got != types.ServiceStatusRunning {
			t.Errorf("status %s, want RUNNING", got)
		}
	}
	if after := s.boots(svc, 1); after[0] != boot[0] {
		t.Error("the old version was restarted")
	}
	described, err := s.client().DescribeService(t.Context(), &apprunner.DescribeServiceInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	env := described.Service.SourceConfiguration.ImageRepository.ImageConfiguration.RuntimeEnvironmentVariables
	if env["GREETING"] != "old" {
		t.Errorf("the service is described with %v, want the old specification", env)
	}
}

// TestDiskFull runs a server on a file system too small for an image, then on
// one that is full.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	s := prepare(t, nil, "--api-addr", freeAddr(t), "--http-addr", freeAddr(t))
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", s.dir, "tmpfs", 0, "size=80m"); err != nil {
		t.Fatal(err)
	}
	s.before = look(s) // the mount is ours: the server's end unmounts what lies at its directory
	s.start()
	svc := s.runningService("small", spec{image: s.push(web(t, "1"), "web:1"), env: map[string]string{"GREETING": "small"}})

	large, op := s.create("large", spec{image: s.push(bulky(t, 40<<20), "large:1")}) // fits once, not twice
	if got := s.ended(large, op); got != types.OperationStatusFailed {
		t.Errorf("the creation ended %s, want FAILED", got)
	}
	if history := s.history(large); !strings.Contains(history, "disk is full") {
		t.Errorf("the events do not tell of the full disk:\n%s", history)
	}
	s.replies(svc, 3, "small")

	filler := filepath.Join(s.dir, "filler")
	fillUp(t, filler)
	_, err := s.client().PauseService(t.Context(), &apprunner.PauseServiceInput{ServiceArn: svc.ServiceArn})
	if api, ok := errors.AsType[smithy.APIError](err); !ok || api.ErrorCode() != "InternalServiceErrorException" || !strings.Contains(api.ErrorMessage(), "disk is full") {
		t.Errorf("on a full disk the API answers %v", err)
	}
	s.replies(svc, 3, "small")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	pause, err := s.client().PauseService(t.Context(), &apprunner.PauseServiceInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	s.succeeds(svc, *pause.OperationId)
}

// bulky is the test app with n bytes that do not compress beside it.
func bulky(t testing.TB, n int) v1.Image {
	t.Helper()
	b := make([]byte, n)
	rand.Read(b)
	return imagetest.Run(t, app(t), imagetest.Options{Files: []imagetest.File{imagetest.Text("bulk", string(b))}})
}

// fillUp writes until the file system is full.
func fillUp(t testing.TB, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	for {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
