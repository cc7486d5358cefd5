package deploy_test

import (
	"context"
	"log/slog"
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
		want("after the resume, the commit of the pause is not deployed", 3, 1)
		b.restart()
		want("nor after a restart", 3, 1)
		b.push("fifth", "tree 6")
		want("the next push", 4, 1)

		spec.Source.AutoDeploymentsEnabled = aws.Bool(false)
		b.do(slipway.UpdateService, &spec, slipway.OperationSucceeded)
		b.push("sixth", "tree 7")
		want("a push without automatic deployments", 4, 1)
	})
}

// A repository that does not answer is asked ever less often, and one that answers
// again at the usual pace.
func TestPollingBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCodeBench(t)
		spec := codeSpec("one")
		spec.Source.AutoDeploymentsEnabled = aws.Bool(true)
		b.do(slipway.CreateService, &spec, slipway.OperationSucceeded)
		b.poll()
		asked := func(d time.Duration) int {
			b.coder.mu.Lock()
			before := b.coder.asked
			b.coder.mu.Unlock()
			time.Sleep(d)
			b.coder.mu.Lock()
			defer b.coder.mu.Unlock()
			return b.coder.asked - before
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
