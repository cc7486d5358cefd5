package builds

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// building returns a configuration file with these build commands.
func building(commands ...string) string {
	text := "version: 1.0\nruntime: python311\nbuild:\n  commands:\n    build:\n"
	for _, c := range commands {
		text += "      - " + strconv.Quote(c) + "\n"
	}
	return text + "run:\n  command: exec python3 app.py\n"
}

// attacks are build commands, each with what the failure says of it. The limits are
// those of TestHardship.
var attacks = map[string]struct{ command, says string }{
	"forks":  {"python3 -c \"import os, time\nwhile True:\n try: os.fork()\n except OSError: time.sleep(.01)\"", "time limit of 8s"},
	"memory": {"python3 -c \"x = [bytearray(1 << 24) for i in range(1000)]\"", "was killed at its memory limit of 400 MiB; raise it with --build-memory."},
	"disk":   {"head -c 2G /dev/zero > big", "failed when its disk of 256 MiB was full; raise the limit with --build-disk."},
	"output": {"yes all work and no play", "time limit of 8s"},
	"spins":  {"while :; do :; done", "time limit of 8s; make it end by itself, or raise the limit with --build-time."},
	"sleeps": {"trap : TERM INT HUP; while :; do sleep 1000; done", "time limit of 8s"},
	"files":  {"python3 -c \"for i in range(10**7): open(str(i), 'w').close()\"", "Failed to execute 'build' command."}, // at its limit of disk or of time
	"cache":  {"i=0; while :; do i=$((i+1)); head -c 10M /dev/zero > $PIP_CACHE_DIR/$i; done", "its dependency caches have grown to more than 128 MiB"},
}

// TestHardship does to builds what happens to them in the worst of days: the server is
// killed while they run, they are cancelled, and they try to take the machine. Services
// that run must not notice.
func TestHardship(t *testing.T) {
	if os.Getenv("SLIPWAY_TEST_LANGUAGES") != "all" {
		t.Skip("takes minutes: SLIPWAY_TEST_LANGUAGES=all or `make languages` runs it")
	}
	files := map[string]string{"app.py": app, "built.txt": "from the repository", "apprunner.yaml": building("true")}
	for name, a := range attacks {
		files[name+"/apprunner.yaml"] = building(a.command)
	}
	s := serveCode(t, "--build-time", "8s", "--build-memory", "400", "--build-disk", "256", "--build-cache", "64", "--build-pids", "200")
	h := &hardship{codeServer: s, repository: s.repository(t, "shop", files)}
	h.svc, _ = s.create(t, "shop", s.source(h.repository, "", fromFile))
	s.answers(t, h.svc, "from the repository ")
	for _, part := range []struct {
		name string
		test func(t *testing.T, h *hardship)
	}{
		{"the server is killed", testKilled},
		{"a build is cancelled", testCancelled},
		{"eight builds attack", testAttacks},
	} {
		ok := t.Run(part.name, func(t *testing.T) {
			s.T = t
			part.test(t, h)
		})
		if s.T = t; !ok {
			return // what it left would disturb the others
		}
	}
}

// hardship is a server with a service that must not notice what happens to builds.
type hardship struct {
	*codeServer
	repository repository
	svc        *types.Service
}

// attack creates a service of a directory of the repository.
func (s *hardship) attack(name string) (*types.Service, string) {
	s.T.Helper()
	out, err := s.Client().CreateService(s.T.Context(), &apprunner.CreateServiceInput{
		ServiceName: &name, SourceConfiguration: &types.SourceConfiguration{
			AuthenticationConfiguration: &types.AuthenticationConfiguration{ConnectionArn: &s.connection}, AutoDeploymentsEnabled: aws.Bool(false),
			CodeRepository: &types.CodeRepository{
				RepositoryUrl: &s.repository.url, SourceDirectory: &name, SourceCodeVersion: &types.SourceCodeVersion{Type: types.SourceCodeVersionTypeBranch, Value: aws.String("main")},
				CodeConfiguration: &types.CodeConfiguration{ConfigurationSource: types.ConfigurationSourceRepository},
			},
		},
	})
	if err != nil {
		s.T.Fatal(err)
	}
	return out.Service, *out.OperationId
}

// deploy starts a deployment.
func (s *hardship) deploy() string {
	s.T.Helper()
	out, err := s.Client().StartDeployment(s.T.Context(), &apprunner.StartDeploymentInput{ServiceArn: s.svc.ServiceArn})
	if err != nil {
		s.T.Fatal(err)
	}
	return *out.OperationId
}

// assertBuildsLeftNothing checks that no process and no file of a build is there.
func (s *hardship) assertBuildsLeftNothing(when string) {
	s.T.Helper()
	harness.Eventually(s.T, when+", nothing of the build is left", func() (bool, string) {
		var left []string
		for _, dir := range []string{"build/work", "source", "git", "runtime/jobs", "runtime/trash", "images/tmp"} {
			list, _ := filepath.Glob(filepath.Join(s.DataDir, dir, "*"))
			left = append(left, list...)
		}
		for _, program := range []string{"sleep", "dash", "sh", "head", "yes"} {
			for _, p := range s.InstanceProcesses(program) {
				left = append(left, fmt.Sprint(p))
			}
		}
		return len(left) == 0, strings.Join(left, "; ")
	})
}

// testKilled kills the server at random moments of a deployment that builds.
func testKilled(t *testing.T, s *hardship) {
	random := rand.New(rand.NewPCG(harness.Seed(t), 0))
	commit := func(round int) string {
		text := fmt.Sprintf("round %d", round)
		s.repository.Commit(text, map[string]string{"apprunner.yaml": building(
			"head -c 20M /dev/urandom > blob", "sleep 1000 & for i in 1 2 3 4 5; do echo step $i; mkdir -p d/$i; cp blob d/$i; sleep .2; done",
			"rm -r blob d; echo "+text+" > built.txt",
		)})
		return text + " "
	}
	want := commit(0)
	began := time.Now()
	s.WaitSucceeded(s.svc, s.deploy())
	took := time.Since(began)
	s.answers(t, s.svc, want)
	t.Logf("undisturbed, a deployment takes %v", took)
	const kills = 10
	for i := range kills {
		want := commit(i + 1)
		id := s.deploy()
		delay := time.Duration(random.Int64N(int64(took)))
		<-time.After(delay)
		s.Kill()
		s.Start()
		s.WaitSucceeded(s.svc, id)
		s.answers(t, s.svc, want)
		s.assertBuildsLeftNothing(fmt.Sprintf("after kill %d, %v into a deployment", i, delay))
	}
}

// load asks a service without a pause until stop is called, which returns how many
// requests there were, what went wrong with those that failed, and the longest time
// that one took.
func (s *hardship) load(want string) (stop func() (n int, failures []string, longest time.Duration)) {
	var mu sync.Mutex
	var group sync.WaitGroup
	var n int
	var failures []string
	var longest time.Duration
	end := make(chan struct{})
	for range 2 {
		group.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for {
				began := time.Now()
				code, body, err := s.Request(s.svc, "/")
				took := time.Since(began)
				mu.Lock()
				n++
				longest = max(longest, took)
				if err != nil || code != http.StatusOK || body != want {
					failures = append(failures, fmt.Sprintf("%d %q %v", code, body, err))
				}
				mu.Unlock()
				select {
				case <-end:
					return
				case <-tick.C:
				}
			}
		})
	}
	return func() (int, []string, time.Duration) {
		close(end)
		group.Wait()
		return n, failures, longest
	}
}

// testCancelled cancels builds: one that ignores signals, and one that waits for it.
func testCancelled(t *testing.T, s *hardship) {
	_, serves, err := s.Request(s.svc, "/")
	if err != nil {
		t.Fatal(err)
	}
	s.repository.Commit("Never end", map[string]string{"apprunner.yaml": building("trap : TERM INT HUP; sleep 1000 & echo it runs; while :; do sleep 100; done")})
	stop := s.load(serves)
	id := s.deploy()
	harness.Eventually(t, "the build runs", func() (bool, string) {
		out := s.MustSlipway(t, "logs", "shop", "--deployment", id)
		return strings.Contains(out, "[Build] it runs"), out
	})
	began := time.Now()
	s.MustSlipway(t, "ops", "cancel", "shop", "--wait=false")
	if status := s.WaitOperation(s.svc, id); status != types.OperationStatusRollbackSucceeded {
		t.Errorf("the cancelled operation ended %s", status)
	}
	if took := time.Since(began); took > 4*time.Second { // less than the time limit of builds
		t.Errorf("it took %v to cancel", took)
	}
	s.assertBuildsLeftNothing("after it was cancelled")
	if n, failures, _ := stop(); len(failures) > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", len(failures), n, failures[0])
	}
	if got := s.Status(s.svc); got != types.ServiceStatusRunning {
		t.Errorf("the service is %s", got)
	}
}

// testAttacks runs eight builds that take all they can get beside a service under
// steady load.
func testAttacks(t *testing.T, s *hardship) {
	_, serves, err := s.Request(s.svc, "/")
	if err != nil {
		t.Fatal(err)
	}
	stop := s.load(serves)
	operations, services := map[string]string{}, map[string]*types.Service{}
	for _, name := range slices.Sorted(maps.Keys(attacks)) {
		services[name], operations[name] = s.attack(name)
	}
	waited := 0
	for name, id := range operations {
		v := services[name]
		waitLong(t, 5*time.Minute, "the attack "+name+" ends", func() bool {
			op, err := s.Operation(*v.ServiceArn, id)
			return err == nil && op.EndedAt != nil
		})
		if got := s.Status(v); got != types.ServiceStatusCreateFailed {
			t.Errorf("%s: the service is %s", name, got)
		}
		log := s.MustSlipway(t, "logs", name, "--deployment", id)
		// On a busy machine an attack may not get to its own limit in time.
		told := strings.Contains(log, attacks[name].says) || strings.Contains(log, "was killed at the time limit of 8s")
		if !told || !strings.Contains(log, "Failed to build your application source code. Reason: ") {
			t.Errorf("%s: the log does not say %q: %.2000s ... %s", name, attacks[name].says, log, log[max(0, len(log)-1000):])
		}
		if strings.Contains(log, "The build waits: ") {
			waited++
		}
	}
	n, failures, longest := stop()
	t.Logf("%d requests, the longest took %v; %d builds waited", n, longest, waited)
	if len(failures) > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", len(failures), n, failures[0])
	}
	if longest > 5*time.Second {
		t.Errorf("a request took %v", longest)
	}
	if waited < 3 { // some attacks end at once, and the next build begins
		t.Errorf("only %d builds waited for others", waited)
	}
	s.assertBuildsLeftNothing("after the attacks")
}
