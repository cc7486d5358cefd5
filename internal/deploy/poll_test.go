package deploy_test

import (
	"context"
	"log/slog"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/deploy"
	"github.com/openslipway/slipway/internal/store"
)

// poll runs what deploys pushes by itself.
func (b *codeBench) poll() {
	log := slog.New(slog.DiscardHandler)
	auto := deploy.NewAuto(b.st, func(string) (string, string, bool) { return "", "", false }, nil, log)
	b.running.Go(func() { auto.Run(b.Context()) })
	b.restart()
}

// restart begins to poll anew, as after a start of the server.
func (b *codeBench) restart() {
	if b.endPolling != nil {
		b.endPolling()
	}
	var ctx context.Context
	ctx, b.endPolling = context.WithCancel(b.Context())
	b.polling = b.plans.NewPoll(deploy.PollConfig{Log: slog.New(slog.DiscardHandler)})
	polling := b.polling
	b.running.Go(func() { polling.Run(ctx) })
}

// push makes a commit the newest of the branch "one"; directory is the id of its
// source directory.
func (b *codeBench) push(commit, directory string) {
	b.coder.mu.Lock()
	defer b.coder.mu.Unlock()
	b.coder.pushed["one"], b.coder.directory[commit] = commit, directory
}

// asked counts the questions about commits.
func (b *codeBench) asked() int {
	b.coder.mu.Lock()
	defer b.coder.mu.Unlock()
	return b.coder.asked
}

// deployments counts the automatic ones, and those that failed.
func (b *codeBench) deployments() (all, failed int) {
	b.Helper()
	err := b.st.View(b.Context(), func(tx *store.Tx) error {
		ops, err := tx.OperationsOf(b.id, time.Time{}, "", 0)
		for _, o := range ops {
			if o.Kind != slipway.StartDeployment {
				continue
			}
			all++
			if o.Status == slipway.OperationRollbackSucceeded {
				failed++
			}
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return all, failed
}

func TestPushesAreDeployed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCodeBench(t)
		spec := codeSpec("one")
		spec.Source.AutoDeploymentsEnabled, spec.Source.CodeRepository.SourceDirectory = aws.Bool(true), aws.String("/web")
		b.do(slipway.CreateService, &spec, slipway.OperationSucceeded)
		b.poll()
		want := func(step string, wantAll, wantFailed int) {
			t.Helper()
			time.Sleep(20 * time.Minute)
			if all, failed := b.deployments(); all != wantAll || failed != wantFailed {
				t.Errorf("%s: %d deployments, %d of them failed; want %d and %d", step, all, failed, wantAll, wantFailed)
			}
		}
		want("nothing pushed", 0, 0)
		b.push("second", "tree 2")
		want("a push", 1, 0)
		b.push("elsewhere", "tree 2")
		want("a push outside of the source directory", 1, 0)
		b.push("bad commit", "tree 3")
		want("a push that does not build is tried once", 2, 1)
		b.push("third", "tree 4")
		want("the push that mends it", 3, 1)

		b.do(slipway.PauseService, nil, slipway.OperationSucceeded)
		b.push("fourth", "tree 5")
		want("a push while paused", 3, 1)
		b.do(slipway.ResumeService, nil, slipway.OperationSucceeded)
		want("after the resume, the commit of the pause", 4, 1)
		b.restart()
		want("once, also after a restart", 4, 1)
		b.push("fifth", "tree 6")
		want("the next push", 5, 1)
		b.do(slipway.PauseService, nil, slipway.OperationSucceeded)
		b.push("sixth", "tree 7")
		b.restart()
		b.do(slipway.ResumeService, nil, slipway.OperationSucceeded)
		want("the commit of a pause with a restart", 6, 1)

		spec.Source.AutoDeploymentsEnabled = aws.Bool(false)
		b.do(slipway.UpdateService, &spec, slipway.OperationSucceeded)
		b.push("sixth", "tree 7")
		want("a push without automatic deployments", 6, 1)
	})
}

// A repository that does not answer is asked ever less often, and one that answers
// again at the usual pace.
func TestPollingBacksOff(t *testing.T) {
	skipHours(t)
	synctest.Test(t, func(t *testing.T) {
		b := newCodeBench(t)
		spec := codeSpec("one")
		spec.Source.AutoDeploymentsEnabled = aws.Bool(true)
		b.do(slipway.CreateService, &spec, slipway.OperationSucceeded)
		b.poll()
		asked := func(d time.Duration) int {
			before := b.asked()
			time.Sleep(d)
			return b.asked() - before
		}
		if n := asked(time.Hour); n < 45 || n > 80 {
			t.Errorf("asked %d times in an hour, want about 60", n)
		}
		b.coder.mu.Lock()
		b.coder.away = true
		b.coder.mu.Unlock()
		if n := asked(12 * time.Hour); n < 10 || n > 25 {
			t.Errorf("asked %d times in twelve hours without an answer, want about 17", n)
		}
		b.coder.mu.Lock()
		b.coder.away = false
		b.coder.mu.Unlock()
		asked(2 * time.Hour)
		if n := asked(time.Hour); n < 45 {
			t.Errorf("asked %d times in the hour after that, want about 60", n)
		}
	})
}

// A push that a provider announces is found at once, and then polling is slower: until
// a push is found that nobody announced.
func TestAnnouncedPushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCodeBench(t)
		spec := codeSpec("one")
		spec.Source.AutoDeploymentsEnabled = aws.Bool(true)
		b.do(slipway.CreateService, &spec, slipway.OperationSucceeded)
		b.poll()
		asked := func(d time.Duration) int {
			before := b.asked()
			time.Sleep(d)
			return b.asked() - before
		}
		announce := func(url, ref string, want int) {
			t.Helper()
			n, err := b.polling.Pushed(t.Context(), slipway.Push{URLs: []string{url}, Refs: []string{ref}})
			if err != nil || n != want {
				t.Errorf("a push to %s of %s concerns %d services, %v; want %d", ref, url, n, err, want)
			}
		}
		deployed := func(step string, want int) {
			t.Helper()
			if all, failed := b.deployments(); all != want || failed != 0 {
				t.Errorf("%s: %d deployments, %d failed; want %d", step, all, failed, want)
			}
		}
		const url = "git@git.example.com:Shop.git"
		for n := b.asked(); b.asked() == n; time.Sleep(time.Second) { // the next question is far away
		}
		b.push("second", "tree")
		announce(url, "refs/heads/two", 0)
		announce("https://example.com/shop", "refs/heads/one", 0)
		announce(url, "refs/heads/one", 1)
		announce(url, "refs/heads/one", 1)
		time.Sleep(time.Second)
		deployed("a push that was announced", 1)
		time.Sleep(time.Minute)
		if n := asked(time.Hour); n < 4 || n > 9 {
			t.Errorf("asked %d times in an hour after a push was announced, want about 6", n)
		}

		announce(url, "refs/heads/one", 1) // before the server shows it
		time.Sleep(7 * time.Second)
		b.push("third", "tree")
		time.Sleep(7 * time.Second)
		deployed("a push that was announced early", 2)

		b.push("fourth", "tree")
		time.Sleep(20 * time.Minute)
		deployed("a push that was not announced", 3)
		if n := asked(time.Hour); n < 45 {
			t.Errorf("asked %d times in an hour after a push that was not announced, want about 60", n)
		}
		b.do(slipway.PauseService, nil, slipway.OperationSucceeded)
		announce(url, "refs/heads/one", 0)
	})
}

// Many pushes become few deployments, the last one of the newest.
func TestAnnouncedPushesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCodeBench(t)
		spec := codeSpec("one")
		spec.Source.AutoDeploymentsEnabled = aws.Bool(true)
		b.do(slipway.CreateService, &spec, slipway.OperationSucceeded)
		b.poll()
		time.Sleep(time.Minute)
		for i := range 20 {
			b.push("commit "+strconv.Itoa(i), "tree")
			if _, err := b.polling.Pushed(t.Context(), slipway.Push{URLs: []string{"https://git.example.com/shop"}, Refs: []string{"refs/heads/one"}}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Minute)
		all, failed := b.deployments()
		if all < 1 || all > 5 {
			t.Errorf("20 pushes at once became %d deployments, %d failed", all, failed)
		}
		var r slipway.Release
		err := b.st.View(t.Context(), func(tx *store.Tx) error {
			v, err := tx.Service(b.id)
			if err == nil {
				r, err = tx.Release(v.ActiveRelease)
			}
			return err
		})
		if err != nil || r.Code == nil || r.Code.Commit != "commit 19" {
			t.Errorf("it runs %+v, %v; want commit 19", r.Code, err)
		}
	})
}

// A question that a pause and a resume overtake finds what was pushed between them,
// too, and that is deployed once.
func TestQuestionDuringAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCodeBench(t)
		spec := codeSpec("one")
		spec.Source.AutoDeploymentsEnabled = aws.Bool(true)
		b.do(slipway.CreateService, &spec, slipway.OperationSucceeded)
		b.coder.mu.Lock()
		b.coder.slow = 50 * time.Second
		b.coder.mu.Unlock()
		b.poll()
		for began := b.asked(); b.asked() == began; time.Sleep(time.Second) { // a question has ended
		}
		time.Sleep(80 * time.Second) // and the next one begun
		for _, kind := range []slipway.OperationKind{slipway.PauseService, slipway.ResumeService} {
			op := slipway.Operation{ID: slipway.NewID(), ServiceID: b.id, Kind: kind, CreatedAt: time.Now()}
			if err := b.st.Update(t.Context(), func(tx *store.Tx) error { return tx.InsertOperation(op) }); err != nil {
				t.Fatal(err)
			}
			if kind == slipway.PauseService {
				b.push("during the pause", "tree")
			}
			time.Sleep(4 * time.Second)
		}
		time.Sleep(20 * time.Minute)
		if all, _ := b.deployments(); all != 1 {
			t.Errorf("%d deployments of a push during a pause, want 1", all)
		}
		b.push("after it", "tree")
		time.Sleep(20 * time.Minute)
		if all, _ := b.deployments(); all != 2 {
			t.Errorf("%d deployments after the next push, want 2", all)
		}
	})
}

// skipHours skips a test that lets hours of polling pass where that takes minutes. The
// other tests of polling run the same code with the race detector.
func skipHours(t *testing.T) {
	t.Helper()
	if !hours {
		t.Skip("too slow with the race detector; make test also runs it without")
	}
}
