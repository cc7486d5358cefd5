package awshttp_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/store"
)

// record is an auditor that remembers the ends of calls.
type record struct {
	mu    sync.Mutex // guards ended
	ended []gateway.Call
}

func (r *record) Begun(*store.Tx, gateway.Call) error { return nil }

func (r *record) Ended(_ context.Context, c gateway.Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = append(r.ended, c)
}

// counter is a service that counts: each time Count is made, its reply is the
// next number.
type counter struct {
	*gatewaytest.Bench
	kept record
	made atomic.Int32
	hold func() // called before the first; nil for nothing
}

func newCounter(t *testing.T) *counter {
	c := &counter{Bench: gatewaytest.New(t)}
	handler := func(_ context.Context, _ *gateway.Call, in *echo) (*echo, error) {
		n := c.made.Add(1)
		if n == 1 && c.hold != nil {
			c.hold()
		}
		if in.Text == "fail" {
			return nil, slipway.Errorf(slipway.InvalidRequest, "no: %d", n)
		}
		return &echo{fmt.Sprint(n)}, nil
	}
	c.Open([]gateway.Service{{
		Name: "one", Internal: "InternalFailure", Protocol: gateway.Protocol{ContentType: "x", Targets: []string{"One."}},
		Operations: []gateway.Operation{
			gateway.Mutate("Count", handler, gateway.AnyResource), gateway.Read("Look", handler, gateway.AnyResource),
		},
	}}, func(g *gateway.Config) { g.Audit = &c.kept })
	return c
}

func (c *counter) attempt(target, body, id, number string) *http.Request {
	r := c.Request(target, body)
	if id != "" {
		r.Header.Set("Amz-Sdk-Invocation-Id", id)
	}
	if number != "" {
		r.Header.Set("Amz-Sdk-Request", number)
	}
	return r
}

func TestAttemptsAreOneCall(t *testing.T) {
	t.Parallel()
	c := newCounter(t)
	for _, a := range []struct{ what, target, body, id, number, want string }{
		{"the first", "One.Count", `{}`, "a", "attempt=1; max=3", "1"},
		{"the second", "One.Count", `{}`, "a", "attempt=2; max=3", "1"},
		{"the third", "One.Count", `{}`, "a", "ttl=20261126T170000Z; attempt=3; max=3", "1"},
		{"a call that says it is new", "One.Count", `{}`, "a", "attempt=1; max=3", "2"},
		{"the second of that", "One.Count", `{}`, "a", "attempt=2; max=3", "2"},
		{"another input", "One.Count", `{"Text":"x"}`, "a", "attempt=2; max=3", "3"},
		{"another call", "One.Count", `{}`, "b", "attempt=2; max=3", "4"},
		{"no id", "One.Count", `{}`, "", "attempt=2; max=3", "5"},
		{"no number", "One.Count", `{}`, "b", "", "6"},
		{"an odd number", "One.Count", `{}`, "b", "attempt=two", "7"},
		{"nothing changes", "One.Look", `{}`, "c", "attempt=1", "8"},
		{"nothing changes again", "One.Look", `{}`, "c", "attempt=2", "9"},
	} {
		r := c.Send(c.attempt(a.target, a.body, a.id, a.number))
		if got := r.Body.String(); r.Code != http.StatusOK || got != `{"Text":"`+a.want+`"}` {
			t.Errorf("%s: %d %s, want %s", a.what, r.Code, got, a.want)
		}
	}
	if n := len(c.kept.ended); n != 7 { // each that counted, but for the looks
		t.Errorf("%d calls were recorded, want 7", n)
	}
}

func TestFailureIsTriedAgain(t *testing.T) {
	t.Parallel()
	c := newCounter(t)
	for n := 1; n < 4; n++ {
		r := c.Send(c.attempt("One.Count", `{"Text":"fail"}`, "a", fmt.Sprintf("attempt=%d; max=3", n)))
		if want := fmt.Sprintf("no: %d", n); r.Code != http.StatusBadRequest || r.Header().Get("Content-Type") != "x" || !strings.Contains(r.Body.String(), want) {
			t.Errorf("attempt %d: %d %s, want %s", n, r.Code, r.Body, want)
		}
	}
}

// An attempt that comes while the one before is under way waits for it.
func TestAttemptWaits(t *testing.T) {
	t.Parallel()
	for _, ends := range []bool{true, false} {
		c := newCounter(t)
		entered, release := make(chan struct{}), make(chan struct{})
		c.hold = func() {
			close(entered)
			<-release
			if !ends {
				panic("hush")
			}
		}
		replies := make([]string, 3)
		var all sync.WaitGroup
		for i := range replies {
			r := c.attempt("One.Count", `{}`, "a", fmt.Sprintf("attempt=%d", i+1))
			all.Go(func() { replies[i] = c.Send(r).Body.String() })
			<-entered // by the first
		}
		for range 100 { // more time to find it under way
			runtime.Gosched()
		}
		close(release)
		all.Wait()
		first, rest, made := `{"Text":"1"}`, `{"Text":"1"}`, int32(1)
		if !ends { // then another one is the call
			first, rest, made = `InternalFailure`, `{"Text":"2"}`, 2
		}
		for i, want := range []string{first, rest, rest} {
			if !strings.Contains(replies[i], want) {
				t.Errorf("attempt %d: %s, want %s", i+1, replies[i], want)
			}
		}
		if n := c.made.Load(); n != made {
			t.Errorf("made %d times, want %d", n, made)
		}
	}
}

func (*record) Refused(context.Context, gateway.Call) {}
