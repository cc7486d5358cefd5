package hooks

import (
	"testing"
	"time"

	"github.com/openslipway/slipway"
)

func TestAfter(t *testing.T) {
	t.Parallel()
	t0 := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		name     string
		attempts int // so far
		age      time.Duration
		r        result
		jitter   float64
		state    slipway.DeliveryState
		next     time.Duration // from now on
	}{
		{"delivered", 0, 0, result{status: 204}, 0, slipway.DeliveryDelivered, 0},
		{"delivered late", 40, 30 * time.Hour, result{status: 200}, 0, slipway.DeliveryDelivered, 0},
		{"first failure", 0, 0, result{status: 500, problem: "x"}, 0, slipway.DeliveryDue, 2500 * time.Millisecond},
		{"with jitter", 0, 0, result{status: 500, problem: "x"}, 0.5, slipway.DeliveryDue, 3750 * time.Millisecond},
		{"fourth failure", 3, time.Minute, result{problem: "x"}, 0, slipway.DeliveryDue, 20 * time.Second},
		{"at most an hour", 1000, 10 * time.Hour, result{problem: "x"}, 0.9999999999, slipway.DeliveryDue, time.Hour},
		{"the receiver asks for more", 0, 0, result{problem: "x", retryAfter: time.Minute}, 0, slipway.DeliveryDue, time.Minute},
		{"for less", 3, 0, result{problem: "x", retryAfter: time.Second}, 0, slipway.DeliveryDue, 20 * time.Second},
		{"for too much", 0, 0, result{problem: "x", retryAfter: 1000 * time.Hour}, 0, slipway.DeliveryDue, time.Hour},
		{"the last attempt is at the deadline", 30, 24*time.Hour - time.Minute, result{problem: "x"}, 0, slipway.DeliveryDue, time.Minute},
		{"and then no more", 31, 24 * time.Hour, result{problem: "x"}, 0, slipway.DeliveryDead, 0},
		{"held back for days, one attempt", 0, 72 * time.Hour, result{problem: "x"}, 0, slipway.DeliveryDead, 0},
		{"gone", 0, 0, result{status: 410, problem: "x", gone: true}, 0, slipway.DeliveryDead, 0},
	} {
		d := slipway.Delivery{State: slipway.DeliveryDue, Attempts: c.attempts, Event: slipway.BusEvent{At: t0}, Problem: "before"}
		now := t0.Add(c.age)
		d = after(d, c.r, now, c.jitter)
		if d.State != c.state || d.Attempts != c.attempts+1 || d.Status != c.r.status || d.Problem != c.r.problem || !d.LastAt.Equal(now) {
			t.Errorf("%s: %+v", c.name, d)
		}
		if got := d.NextAt.Sub(now).Round(time.Millisecond); !d.State.Ended() && got != c.next {
			t.Errorf("%s: next in %v, want %v", c.name, got, c.next)
		}
		if d.State.Ended() != d.EndedAt.Equal(now) {
			t.Errorf("%s: ended at %v", c.name, d.EndedAt)
		}
	}
}

func TestPick(t *testing.T) {
	t.Parallel()
	u := inFlight{}
	due := make([]slipway.Delivery, 5)
	for i := range due {
		due[i] = slipway.Delivery{WebhookID: "a", Event: slipway.BusEvent{Seq: int64(i)}}
	}
	u.begin(due[1])
	seqs := func(list []slipway.Delivery) (s []int64) {
		for _, d := range list {
			s = append(s, d.Event.Seq)
		}
		return s
	}
	if got := seqs(u.pick("a", due, 3)); len(got) != 2 || got[0] != 0 || got[1] != 2 {
		t.Errorf("picked %v beside 1, want 0 and 2", got)
	}
	if got := u.pick("b", due[:2], 3); len(got) != 2 {
		t.Errorf("picked %v for a webhook without attempts, want both", seqs(got))
	}
	u.end(due[1])
	if len(u) != 0 {
		t.Errorf("%v is left when nothing is under way", u)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, "-5": 0, "soon": 0, "99999999999999999999": 0,
		now.Add(time.Hour).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"):  time.Hour,
		now.Add(-time.Hour).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"): 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}
