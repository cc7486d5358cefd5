package checks_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/checks"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

// application is what a job runs: it listens at the addresses after a while, and ends
// with the result after another.
type application struct {
	at     string // addresses, separated by blanks
	after  time.Duration
	prints string
	ends   time.Duration
	result runtime.JobResult

	got runtime.JobSpec
}

func (a *application) RunJob(ctx context.Context, want runtime.JobSpec, output func(runtime.Chunk)) (runtime.JobResult, error) {
	a.got = want
	began := time.Now()
	output(runtime.Chunk{Data: []byte(a.prints)})
	watch, stop := context.WithCancel(ctx)
	defer stop()
	over := make(chan struct{})
	go func() {
		defer close(over)
		want.Running(watch, func() (list []netip.AddrPort, err error) {
			for _, text := range strings.Fields(a.at) {
				if time.Since(began) >= a.after {
					list = append(list, netip.MustParseAddrPort(text))
				}
			}
			return list, nil
		})
	}()
	ends, r := a.ends, a.result
	if ends == 0 || ends > want.Timeout {
		ends, r = want.Timeout, runtime.JobResult{Limit: runtime.LimitTime}
	}
	select {
	case <-ctx.Done():
	case <-time.After(ends):
	}
	stop()
	<-over
	r.Exit.Ran = time.Since(began)
	return r, context.Cause(ctx)
}

// release is what the build of a check makes.
func release() slipway.Release {
	return slipway.Release{
		Image: "sha256:1", Code: &slipway.CodeVersion{Secrets: map[string]string{"TOKEN": "/t", "SET": "/s"}},
		Workload: slipway.Workload{Port: 8080, Process: slipway.Process{Argv: []string{"/bin/sh", "-c", "serve"}, Env: []string{"A=1", "PORT=8080"}}},
	}
}

type bench struct {
	*testing.T
	checks  *checks.Checks
	gateway *gateway.Gateway
	ann     gateway.Caller
	url     string
	stop    func()

	store  *store.Store
	policy string // statements for all users but root

	mu    sync.Mutex // guards what follows: checks run at once
	tried []source.BuildRequest
	asked []string // for which user
}

// newBench serves checks of an application in a synctest bubble.
func newBench(t *testing.T, app runtime.Job, failure error) *bench {
	t.Helper()
	b := &bench{T: t, ann: gateway.Caller{User: gateway.Root, UserID: "ann"}}
	st := storetest.Memory(t)
	b.store = st
	var err error
	b.checks, err = checks.New(checks.Config{
		Store: st, Jobs: app, Log: slog.New(slog.DiscardHandler),
		SecretNeed: func(_ *store.Tx, reference string) (gateway.Permission, error) {
			return gateway.Permission{Action: "ssm:GetParameters", Resource: "arn:aws:ssm:us-east-1:000000000000:parameter" + reference, Named: reference}, nil
		},
		Try: func(ctx context.Context, _ string, q source.BuildRequest, spec slipway.Spec, progress func(string)) (slipway.Release, error) {
			b.mu.Lock()
			b.tried, b.asked = append(b.tried, q), append(b.asked, spec.SourceSetBy)
			b.mu.Unlock()
			progress("Starting source code build.")
			b.checks.Line(q.Operation, "[Build] make")
			if failure == context.Canceled {
				<-ctx.Done()
				return slipway.Release{}, context.Cause(ctx)
			}
			return release(), failure
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.gateway, err = gateway.New(gateway.Config{
		Store: st, Region: "us-east-1", Account: "000000000000", Services: []gateway.Service{b.checks.Service()}, Log: slog.New(slog.DiscardHandler),
		Policies: func(*store.Tx, string) ([]policy.Policy, error) {
			d, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + b.policy + `]}`))
			return []policy.Policy{{Document: d}}, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	err = st.Update(t.Context(), func(tx *store.Tx) error {
		up, err := tx.PutUpload(slipway.Upload{ID: slipway.NewID(), Owner: "ann", Snapshot: "1"})
		b.url = up.URL()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.checks.Run(ctx) }()
	b.stop = func() {
		cancel()
		<-done
		st.Close()
	}
	return b
}

func (b *bench) call(who gateway.Caller, operation string, in any) (any, error) {
	return b.gateway.Invoke(b.Context(), who, "apprunner:"+operation, in)
}

func (b *bench) start(in checks.StartCheckInput) string {
	b.Helper()
	in.RepositoryUrl = &b.url
	out, err := b.call(b.ann, "StartCheck", &in)
	if err != nil {
		b.Fatal(err)
	}
	return out.(*checks.StartCheckOutput).CheckId
}

func (b *bench) describe(id string) *checks.DescribeCheckOutput {
	b.Helper()
	out, err := b.call(b.ann, "DescribeCheck", &checks.DescribeCheckInput{CheckId: &id})
	if err != nil {
		b.Fatal(err)
	}
	return out.(*checks.DescribeCheckOutput)
}

// end waits for the end of a check.
func (b *bench) end(id string) *checks.DescribeCheckOutput {
	b.Helper()
	for range 1000 {
		if out := b.describe(id); out.Status != "IN_PROGRESS" {
			return out
		}
		time.Sleep(time.Second)
	}
	b.Fatal("the check does not end")
	return nil
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	mistake := slipway.Errorf(slipway.InvalidRequest, "Failed to build your application source code. Reason: x.")
	exit := func(code int) runtime.JobResult { return runtime.JobResult{Exit: slipway.Exit{Code: code}} }
	for name, c := range map[string]struct {
		app    application
		failed error
		passed bool
		want   string
	}{
		"listens":            {app: application{at: "0.0.0.0:8080", after: 400 * time.Millisecond}, passed: true, want: "It listens on 8080 after 0.4 s."},
		"listens on IPv6":    {app: application{at: "127.0.0.1:9 [::]:8080", after: time.Second}, passed: true, want: "It listens on 8080 after 1.0 s."},
		"wrong port":         {app: application{at: "127.0.0.1:6 0.0.0.0:5000"}, want: "It listens on port 5000, and not on 8080. / Let it listen on the port in the variable PORT, or deploy it with --port 5000."},
		"loopback":           {app: application{at: "0.0.0.0:9 127.0.0.1:8080"}, want: "It listens on 127.0.0.1:8080, which nothing outside of the instance can reach. / Let it listen on 0.0.0.0:8080."},
		"loopback elsewhere": {app: application{at: "127.0.0.1:5000"}, want: "It listens on 127.0.0.1:5000, and not on port 8080 of all addresses. / Let it listen on 0.0.0.0 and the port in the variable PORT."},
		"nowhere":            {want: "After 60.0 s it listens nowhere. / Let the start command start a server on 0.0.0.0:8080, the port in the variable PORT."},
		"fails":              {app: application{ends: 200 * time.Millisecond, result: exit(3)}, want: "It ended with code 3 after 0.2 s. / Its last lines say why."},
		"ends":               {app: application{ends: 200 * time.Millisecond, result: exit(0)}, want: "It ended by itself after 0.2 s, without an error. / A service runs until it is stopped: let the start command start a server, in the foreground."},
		"no program":         {app: application{ends: 1, result: exit(127)}, want: "A program of the start command does not exist in the image. / Correct the start command, or install the program in the build."},
		"does not build":     {failed: mistake, want: mistake.Error() + " / Correct it and run `slipway check` again."},
		"the server's":       {failed: errors.New("disk"), want: "The check failed for a reason of the server's, whose log tells more under the check ID. / Run `slipway check` again."},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.app.prints = "one\ntwo"
				b := newBench(t, &c.app, c.failed)
				defer b.stop()
				id := b.start(checks.StartCheckInput{SourceDirectory: aws.String("/web"), Environment: map[string]string{"A": "2", "SET": "x", "PORT": "1"}})
				out := b.end(id)
				got := aws.ToString(out.Message)
				if !c.passed {
					got += " / " + aws.ToString(out.Next)
				}
				if got = strings.ReplaceAll(got, id, "ID"); got != c.want || (out.Status == "SUCCEEDED") != c.passed {
					t.Errorf("%s: %s\nwant %s", out.Status, got, c.want)
				}
				if q := b.tried[0]; q.Repository.Directory != "web" || q.Repository.URL != b.url || q.Operation != id || len(q.Service) != 32 {
					t.Errorf("the build got %+v", q)
				}
				if c.failed != nil {
					return
				}
				const lines = "[AppRunner] Starting source code build.|[Build] make|[AppRunner] Starting the application: serve|" +
					"[AppRunner] A check reads no secrets, so these variables are not set: TOKEN. `slipway check --env` sets one.|[Run] one|[Run] two"
				if text := strings.Join(out.Lines, "|"); text != lines {
					t.Errorf("lines\n%s\nwant\n%s", text, lines)
				}
				if env := fmt.Sprint(c.app.got.Process.Env); env != "[PORT=8080 A=2 SET=x]" {
					t.Errorf("the application got %s", env)
				}
			})
		})
	}
}

// A check is its caller's, ends when it is stopped or nobody asks for it, and only a few
// run at once.
func TestLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &application{}, context.Canceled)
		id := b.start(checks.StartCheckInput{})
		bob := gateway.Caller{User: gateway.Root, UserID: "bob"}
		for operation, in := range map[string]any{"DescribeCheck": &checks.DescribeCheckInput{CheckId: &id}, "StopCheck": &checks.StopCheckInput{CheckId: &id}} {
			if _, err := b.call(bob, operation, in); err == nil || !strings.Contains(err.Error(), "There is no check") {
				t.Errorf("%s of another user's: %v", operation, err)
			}
		}
		if out := b.describe(id); out.Status != "IN_PROGRESS" || out.Message != nil {
			t.Errorf("it is %+v", out)
		}
		for range 3 {
			b.start(checks.StartCheckInput{})
		}
		if _, err := b.call(b.ann, "StartCheck", &checks.StartCheckInput{RepositoryUrl: &b.url}); err == nil || !strings.Contains(err.Error(), "4 checks of yours are running") {
			t.Errorf("a fifth check: %v", err)
		}
		if _, err := b.call(b.ann, "StopCheck", &checks.StopCheckInput{CheckId: &id}); err != nil {
			t.Fatal(err)
		}
		if out := b.end(id); out.Status != "FAILED" || *out.Message != "The check was ended." {
			t.Errorf("a stopped check is %+v", out)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		left := b.start(checks.StartCheckInput{}) // the others have ended: nobody has asked
		time.Sleep(9 * time.Minute)
		if _, err := b.call(b.ann, "DescribeCheck", &checks.DescribeCheckInput{CheckId: &id}); err == nil {
			t.Error("it is known long after its end")
		}
		if out := b.describe(left); out.Status != "FAILED" {
			t.Errorf("a check that nobody asked for is %+v", out)
		}
		b.start(checks.StartCheckInput{})
		b.stop() // waits for it
	})
}

func TestRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &application{}, nil)
		defer b.stop()
		for message, in := range map[string]checks.StartCheckInput{
			"is not the URL of an upload": {},
			"You have no upload":          {RepositoryUrl: aws.String("upload://" + slipway.NewID())},
			"Port":                        {RepositoryUrl: &b.url, Port: aws.String("0")},
			"SourceDirectory":             {RepositoryUrl: &b.url, SourceDirectory: aws.String("a/../..")},
			"StartCommand":                {RepositoryUrl: &b.url, StartCommand: aws.String("a\x00")},
			"Environment":                 {RepositoryUrl: &b.url, Environment: map[string]string{"A=B": ""}},
			"Service not found":           {RepositoryUrl: &b.url, ServiceArn: aws.String("arn:aws:apprunner:us-east-1:000000000000:service/shop/1")},
		} {
			if _, err := b.call(b.ann, "StartCheck", &in); err == nil || !strings.Contains(err.Error(), message) {
				t.Errorf("%v, want an error with %q", err, message)
			}
		}
	})
}

// The build of a check gets the secrets of the service's builds, so the caller must be
// allowed to read them.
func TestBuildSecretsAreNeeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &application{at: "0.0.0.0:8080"}, nil)
		defer b.stop()
		const arn = "arn:aws:apprunner:us-east-1:000000000000:service/shop/1"
		err := b.store.Update(t.Context(), func(tx *store.Tx) error {
			return errors.Join(
				tx.InsertService(slipway.Service{ID: "1", ARN: arn, Name: "shop", Label: "l", Status: slipway.StatusRunning, CreatedAt: time.Now(), UpdatedAt: time.Now()}),
				tx.SetTags(arn, []slipway.Tag{{Key: "slipway:build-secret.TOKEN", Value: "/prod/token"}}),
			)
		})
		if err != nil {
			t.Fatal(err)
		}
		ann := gateway.Caller{User: "ann", UserID: "ann", ARN: "arn:aws:iam::000000000000:user/ann"}
		in := checks.StartCheckInput{RepositoryUrl: &b.url, ServiceArn: aws.String(arn)}
		b.policy = `{"Effect":"Allow","Action":"apprunner:*","Resource":"*"}`
		if _, err := b.call(ann, "StartCheck", &in); err == nil || !strings.Contains(err.Error(), "not authorized to perform: ssm:GetParameters on resource: /prod/token") {
			t.Errorf("without the right to read the secret: %v", err)
		}
		b.policy += `,{"Effect":"Allow","Action":"ssm:GetParameters","Resource":"arn:aws:ssm:*:*:parameter/prod/token"}`
		out, err := b.call(ann, "StartCheck", &in)
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			time.Sleep(time.Second)
			shown, err := b.call(ann, "DescribeCheck", &checks.DescribeCheckInput{CheckId: &out.(*checks.StartCheckOutput).CheckId})
			if err != nil {
				t.Fatal(err)
			}
			if shown.(*checks.DescribeCheckOutput).Status != "IN_PROGRESS" {
				break
			}
		}
		if len(b.asked) != 1 || b.asked[0] != "ann" {
			t.Errorf("the build was made for %q, want ann, whose right counts", b.asked)
		}
	})
}
