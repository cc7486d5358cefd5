package runtimetest_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/runtimetest"
)

const image = "sha256:f00d"

func TestFakeKeepsTheContract(t *testing.T) {
	t.Parallel()
	runtimetest.Run(t, func(t *testing.T) runtimetest.Harness {
		w := runtimetest.NewMachine()
		w.SetImage(image, runtimetest.Image{FromArgv: true})
		t.Cleanup(w.Close)
		return runtimetest.Harness{
			Open: func(testing.TB) (runtime.Driver, func()) {
				f := runtimetest.NewFake(w)
				return f, f.Kill
			},
			Image:      image,
			OutputKept: 1 << 20,
		}
	})
}

func TestFakeRunsJobs(t *testing.T) {
	t.Parallel()
	runtimetest.RunJobs(t, func(t *testing.T) runtimetest.JobHarness {
		w := runtimetest.NewMachine()
		w.SetImage(image, runtimetest.Image{FromArgv: true})
		t.Cleanup(w.Close)
		return runtimetest.JobHarness{
			Harness: runtimetest.Harness{
				Open: func(testing.TB) (runtime.Driver, func()) {
					f := runtimetest.NewFake(w)
					return f, f.Kill
				},
				Image: image,
			},
			Dir: t.TempDir(),
		}
	})
}

// newBubble returns an empty machine inside a synctest bubble and a driver on it.
func newBubble(t *testing.T, img runtimetest.Image) (*runtimetest.Machine, *runtimetest.Fake) {
	t.Helper()
	w := runtimetest.NewMachine()
	t.Cleanup(w.Close)
	w.SetImage(image, img)
	f := runtimetest.NewFake(w)
	if err := f.Prepare(t.Context(), image); err != nil {
		t.Fatal(err)
	}
	return w, f
}

func TestFakeTimesInBubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, f := newBubble(t, runtimetest.Image{
			StartTakes: time.Second,
			Program: runtimetest.Program{
				ListenAfter:      time.Minute,
				SickAfter:        time.Hour,
				UnreachableAfter: 2 * time.Hour,
				Exit:             &runtimetest.Exit{After: 3 * time.Hour, Code: 9},
			},
		})
		begin := time.Now()
		if err := f.Ensure(t.Context(), runtime.Spec{ID: "a", Image: image, Workload: slipway.Workload{Port: 80}}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("Ensure took %v", took)
		}
		for _, c := range []struct {
			at     time.Duration // since start
			status int           // 0: refused
		}{
			{0, 0}, {time.Minute - 1, 0}, {time.Minute, 200}, {time.Hour, 503}, {2 * time.Hour, 0},
		} {
			time.Sleep(time.Until(begin.Add(time.Second + c.at))) // the bubble's clock
			synctest.Wait()
			if got := status(t, f, "a"); got != c.status {
				t.Errorf("after %v the answer is %d, want %d", c.at, got, c.status)
			}
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		list, err := f.List(t.Context())
		if err != nil || len(list) != 1 || list[0].Exit == nil {
			t.Fatalf("List: %+v, %v", list, err)
		}
		if x := list[0].Exit; x.Code != 9 || x.Ran != 3*time.Hour {
			t.Errorf("exit is %+v", x)
		}
	})
}

// status asks instance id for / through net/http.
func status(t *testing.T, f *runtimetest.Fake, id string) int {
	t.Helper()
	tr := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return f.Dial(ctx, id, 80)
		},
	}
	res, err := (&http.Client{Transport: tr}).Get("http://instance/")
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

func TestFakeFailpoints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, f := newBubble(t, runtimetest.Image{})
		ctx := t.Context()
		boom := errors.New("boom")
		spec := func(id string) runtime.Spec {
			return runtime.Spec{ID: id, Image: image, Workload: slipway.Workload{Port: 80}}
		}

		f.Break(runtimetest.Failpoint{Method: runtimetest.Ensure, Call: 2, Err: boom})
		if err := f.Ensure(ctx, spec("a")); err != nil {
			t.Errorf("the call before the failpoint returned %v", err)
		}
		if err := f.Ensure(ctx, spec("b")); !errors.Is(err, boom) {
			t.Errorf("the failing call returned %v", err)
		}
		if err := f.Ensure(ctx, spec("b")); err != nil {
			t.Errorf("the call after the failpoint returned %v", err)
		}

		killed := false
		f.Break(runtimetest.Failpoint{Method: runtimetest.Ensure, After: true, Kill: func() { killed = true }})
		if err := f.Ensure(ctx, spec("c")); !errors.Is(err, runtimetest.ErrKilled) || !killed {
			t.Errorf("the killed call returned %v; killed is %v", err, killed)
		}
		if err := f.Ensure(ctx, spec("d")); !errors.Is(err, runtimetest.ErrKilled) {
			t.Errorf("a call on a severed driver returned %v", err)
		}
		running := w.Running("")
		slices.Sort(running)
		if want := []string{"a", "b", "c"}; !slices.Equal(running, want) {
			t.Errorf("%v run, want %v", running, want)
		}
	})
}
