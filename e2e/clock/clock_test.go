package clock

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/openslipway/slipway/e2e/harness"
)

const day = 24 * time.Hour

// fixture is a server whose clock steps, and the service whose operations it steps in.
type fixture struct {
	*harness.Server
	clock  *harness.Clock
	image  string
	victim *types.Service // nil while there is none
	round  int
}

// change is an operation of the victim, and how it ends.
type change struct {
	name string
	call func(f *fixture) (id string, err error)
	ends types.OperationStatus
	rest func(f *fixture) // checks the victim afterwards
}

// changes are the operations of a life, in order. The second update is rolled back.
var changes = []change{
	{"create", (*fixture).create, types.OperationStatusSucceeded, (*fixture).serves},
	{"update", func(f *fixture) (string, error) { return f.update("") }, types.OperationStatusSucceeded, (*fixture).serves},
	{"roll back", func(f *fixture) (string, error) { return f.update("exit") }, types.OperationStatusRollbackSucceeded, (*fixture).serves},
	{"deploy", (*fixture).deploy, types.OperationStatusSucceeded, (*fixture).serves},
	{"pause", (*fixture).pause, types.OperationStatusSucceeded, func(f *fixture) { f.answers(503) }},
	{"resume", (*fixture).resume, types.OperationStatusSucceeded, (*fixture).serves},
	{"delete", (*fixture).delete, types.OperationStatusSucceeded, func(f *fixture) { f.answers(404) }},
}

func (f *fixture) spec(mode string) harness.Spec {
	p := harness.Spec{Image: f.image, Env: map[string]string{"GREETING": strconv.Itoa(f.round)}}
	if mode != "" {
		p.Env["MODE"] = mode
	}
	return p
}

func (f *fixture) create() (string, error) {
	out, err := f.Client().CreateService(f.T.Context(), &apprunner.CreateServiceInput{
		ServiceName: aws.String("victim"), SourceConfiguration: f.spec("").Source(), HealthCheckConfiguration: harness.QuickHealthCheck(),
	})
	if err != nil {
		return "", err
	}
	f.victim = out.Service
	return *out.OperationId, nil
}

// update changes the greeting, unless the mode is one in which the program does not start.
func (f *fixture) update(mode string) (string, error) {
	out, err := f.Client().UpdateService(f.T.Context(), &apprunner.UpdateServiceInput{ServiceArn: f.victim.ServiceArn, SourceConfiguration: f.spec(mode).Source()})
	if err != nil {
		return "", err
	}
	return *out.OperationId, nil
}

func (f *fixture) deploy() (string, error) {
	out, err := f.Client().StartDeployment(f.T.Context(), &apprunner.StartDeploymentInput{ServiceArn: f.victim.ServiceArn})
	if err != nil {
		return "", err
	}
	return *out.OperationId, nil
}

func (f *fixture) pause() (string, error)  { return f.BeginPause(f.victim), nil }
func (f *fixture) resume() (string, error) { return f.BeginResume(f.victim), nil }

func (f *fixture) delete() (string, error) {
	out, err := f.Client().DeleteService(f.T.Context(), &apprunner.DeleteServiceInput{ServiceArn: f.victim.ServiceArn})
	if err != nil {
		return "", err
	}
	return *out.OperationId, nil
}

func (f *fixture) serves() {
	f.T.Helper()
	f.AskMany(f.victim, 1, strconv.Itoa(f.round))
	if s := f.Status(f.victim); s != types.ServiceStatusRunning {
		f.T.Errorf("the service is %s, want RUNNING", s)
	}
}

func (f *fixture) answers(want int) {
	f.T.Helper()
	if code, _, err := f.Request(f.victim, "/"); err != nil || code != want {
		f.T.Errorf("the service answers %d (%v), want %d", code, err, want)
	}
}

// run carries out a change and calls meanwhile beside it.
func (f *fixture) run(c change, meanwhile func()) {
	t := f.T
	t.Helper()
	if c.name == "update" {
		f.round++
	}
	id, err := c.call(f)
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	meanwhile()
	if got := f.WaitOperation(f.victim, id); got != c.ends {
		t.Fatalf("%s ended %s, want %s\n%s", c.name, got, c.ends, f.Events(f.victim))
	}
	c.rest(f)
}

// serve starts a server whose clock steps.
func serve(t *testing.T) *fixture {
	t.Helper()
	s, clock := harness.PrepareSteppable(t)
	s.Start()
	return &fixture{Server: s, clock: clock, image: s.Push(harness.WebImage(t, "1"), "web:1")}
}

// TestClockSteps has the clock of the whole server step by hours, both ways, at random moments
// of every kind of operation, and between two servers. The operations end as without a step,
// a service that has nothing to do with them serves every request by the same processes, one
// that sleeps goes on doing so, and nothing is removed.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(harness.Seed(t), 0))
	f := serve(t)
	s, clock := f.Server, f.clock
	anchor := s.RunningService("anchor", harness.Spec{Image: f.image, Env: map[string]string{"GREETING": "anchor"}, Scaling: s.CreateAutoScaling("pair", 100, 2, 2)})
	sleeper := s.RunningService("sleeper", harness.Spec{Image: f.image, Env: map[string]string{"GREETING": "sleeper"}, Health: harness.QuickHealthCheck()})
	s.Set(sleeper, "sleep-after", "1")
	boots := s.BootIDs(anchor, 2)
	asleep := s.BootIDs(sleeper, 1)

	took := map[string]time.Duration{} // without a step
	for _, c := range changes {
		began := time.Now()
		f.run(c, func() {})
		took[c.name] = time.Since(began)
	}
	for _, sign := range []time.Duration{1, -1} {
		for _, c := range changes {
			delay := time.Duration(random.Int64N(int64(took[c.name]) + 1))
			by := sign * time.Duration(1+random.Int64N(30*24)) * time.Hour
			t.Logf("%s, after %v a step by %v", c.name, delay.Round(time.Millisecond), by)
			requests := f.ask(anchor, "anchor")
			f.run(c, func() {
				<-time.After(delay)
				clock.Step(by)
			})
			requests()
			if now := s.BootIDs(anchor, 2); !slices.Equal(boots, now) {
				t.Fatalf("other processes of the other service answer: %v, before %v", now, boots)
			}
		}
		s.AwaitFrozen(1)
		if now := s.BootIDs(sleeper, 1); !slices.Equal(asleep, now) {
			t.Errorf("the service that sleeps was started again")
		}
	}
}

// ask sends requests to a service until the returned function is called. Each must be
// answered 200 with the greeting.
func (f *fixture) ask(svc *types.Service, greeting string) (end func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	var sent atomic.Int64
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-f.T.Context().Done(): // the test has failed
				return
			case <-time.After(10 * time.Millisecond):
			}
			sent.Add(1)
			if r, err := f.Ask(svc, "/"); err != nil || r.Greeting != greeting {
				f.T.Errorf("%s answers %q, %v", *svc.ServiceName, r.Greeting, err)
			}
		}
	}()
	return func() {
		f.T.Helper()
		close(stop)
		<-done
		if sent.Load() == 0 {
			f.T.Error("no request was sent meanwhile")
		}
	}
}

// TestWrongClock starts servers on a machine whose clock is wrong by a year, either way, as
// after a boot without a battery. Everything works, nothing is removed, and once the clock is
// right all is as it was.
func TestWrongClock(t *testing.T) {
	t.Parallel()
	f := serve(t)
	kept := f.RunningService("kept", harness.Spec{Image: f.image, Env: map[string]string{"GREETING": "kept"}})
	boots := f.BootIDs(kept, 1)
	f.Push(harness.WebImage(t, "unused"), "unused:1")
	secrets := secretsmanager.NewFromConfig(f.SDK())
	secret, err := secrets.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("forgotten"), SecretString: aws.String("a value")})
	if err == nil {
		_, err = secrets.DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{SecretId: secret.ARN, RecoveryWindowInDays: aws.Int64(7)})
	}
	if err != nil {
		t.Fatal(err)
	}
	first := f.MustSlipway(t, "logs", "kept")
	if !strings.Contains(first, "app:") {
		t.Fatalf("the application has logged %q", first)
	}

	for _, off := range []time.Duration{400 * day, -400 * day} {
		f.Stop()
		f.clock.Set(off)
		f.Output.Reset()
		f.Start()
		requests := f.ask(kept, "kept")
		for _, c := range changes {
			f.run(c, func() {})
		}
		harness.Eventually(t, "the server thinks of what is old", func() (bool, string) {
			return f.Output.Contains("nothing is removed by age until the clock is trusted"), f.Output.String()
		})
		requests()
	}
	f.Kill()
	f.clock.Set(0)
	f.Start()

	if now := f.BootIDs(kept, 1); !slices.Equal(boots, now) {
		t.Errorf("the service was started again")
	}
	if now := f.MustSlipway(t, "logs", "kept"); !strings.Contains(now, first) {
		t.Errorf("the logs are %q, before %q", now, first)
	}
	if images := f.MustSlipway(t, "image", "ls"); !strings.Contains(images, "unused") {
		t.Errorf("an image was removed; there are\n%s", images)
	}
	if _, err := secrets.RestoreSecret(t.Context(), &secretsmanager.RestoreSecretInput{SecretId: secret.ARN}); err != nil {
		t.Error(err)
	}
	if got, err := secrets.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: secret.ARN}); err != nil || *got.SecretString != "a value" {
		t.Errorf("the secret's value: %v", err)
	}
	for _, c := range changes {
		f.run(c, func() {})
	}
}
