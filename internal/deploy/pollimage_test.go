package deploy_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/deploy"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/store"
)

// registries has one registry whose only image is at a digest.
type registries struct {
	mu    sync.Mutex
	at    string
	err   error
	asked int
}

func (r *registries) Elsewhere(ref string) (string, bool) {
	return "registry", ref != "" && ref != "local"
}

func (r *registries) Newest(context.Context, string) (tag, image string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	return "tag " + r.at, r.at, r.err
}

func (r *registries) set(at string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at, r.err = at, err
}

func (r *registries) count(d time.Duration) int {
	r.mu.Lock()
	before := r.asked
	r.mu.Unlock()
	time.Sleep(d)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked - before
}

func TestImagesElsewhereAreDeployed(t *testing.T) {
	skipHours(t)
	synctest.Test(t, func(t *testing.T) {
		b := newCodeBench(t)
		log := slog.New(slog.DiscardHandler)
		r := &registries{at: "one"} // the bench's resolver makes the image's name its digest
		spec := specOf("one")
		spec.Source.AutoDeploymentsEnabled = aws.Bool(true)
		b.do(slipway.CreateService, &spec, slipway.OperationSucceeded)
		auto := deploy.NewAuto(b.st, func(string) (string, string, bool) { return "", "", false }, nil, log)
		b.running.Go(func() { auto.Run(b.Context()) })
		var end context.CancelFunc
		restart := func() {
			if end != nil {
				end()
			}
			var ctx context.Context
			ctx, end = context.WithCancel(b.Context())
			polling := b.plans.NewImagePoll(deploy.ImagePollConfig{Images: r, Log: log})
			b.running.Go(func() { polling.Run(ctx) })
		}
		restart()
		want := func(step string, want int) {
			t.Helper()
			time.Sleep(20 * time.Minute)
			if all, _ := b.deployments(); all != want {
				t.Errorf("%s: %d deployments, want %d", step, all, want)
			}
		}
		want("nothing pushed", 0)
		r.set("two", nil)
		want("another digest", 1)
		restart()
		want("the same after a restart, though it does not run", 1)
		r.set("three", nil)
		want("the next digest", 2)
		r.set("one", nil)
		want("the image that runs", 2)

		b.do(slipway.PauseService, nil, slipway.OperationSucceeded)
		r.set("four", nil)
		if n := r.count(time.Hour); n != 0 {
			t.Errorf("asked %d times about the image of a paused service", n)
		}
		b.do(slipway.ResumeService, nil, slipway.OperationSucceeded)
		want("a push during a pause", 3)
		r.set("five", nil)
		want("the next push", 4)

		if n := r.count(time.Hour); n < 9 || n > 16 {
			t.Errorf("asked %d times in an hour, want about 12", n)
		}
		r.set("five", fmt.Errorf("429: %w", image.ErrUnavailable))
		if n := r.count(12 * time.Hour); n < 8 || n > 20 {
			t.Errorf("asked %d times in twelve hours without an answer, want about 14", n)
		}
		r.set("six", nil)
		time.Sleep(2 * time.Hour)
		want("after the registry answers again", 5)

		spec.Source.AutoDeploymentsEnabled = aws.Bool(false)
		b.do(slipway.UpdateService, &spec, slipway.OperationSucceeded)
		r.set("seven", nil)
		want("without automatic deployments", 5)
	})
}

// Services that run one image are asked about once, and the pushes of a service that
// was deleted concern nobody.
func TestImagesOfManyServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCodeBench(t)
		r := &registries{at: "one"}
		spec := specOf("one")
		spec.Source.AutoDeploymentsEnabled = aws.Bool(true)
		first := b.id
		b.do(slipway.CreateService, &spec, slipway.OperationSucceeded)
		for range 9 {
			v := slipway.Service{
				ID: slipway.NewID(), Name: slipway.NewLabel(), ARN: serviceARN + slipway.NewLabel(), Label: slipway.NewLabel(), Wanted: slipway.WantedRunning,
				Spec: spec, Status: slipway.StatusCreateFailed, CreatedAt: time.Now(), UpdatedAt: time.Now(),
			}
			if err := b.st.Update(t.Context(), func(tx *store.Tx) error { return tx.InsertService(v) }); err != nil {
				t.Fatal(err)
			}
			b.id = v.ID
			b.do(slipway.CreateService, &spec, slipway.OperationSucceeded)
		}
		b.id = first
		polling := b.plans.NewImagePoll(deploy.ImagePollConfig{Images: r, Log: slog.New(slog.DiscardHandler)})
		b.running.Go(func() { polling.Run(b.Context()) })
		time.Sleep(10 * time.Minute)
		if n := r.count(time.Hour); n < 9 || n > 16 {
			t.Errorf("asked %d times in an hour for ten services, want about 12", n)
		}
	})
}
