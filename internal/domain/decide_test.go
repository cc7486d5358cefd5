package domain

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
)

var t0 = time.Unix(1_800_000_000, 0).UTC()

// requested is a domain as the API inserts it.
func requested(name string) slipway.CustomDomain {
	d := slipway.CustomDomain{
		ID: slipway.NewID(), ServiceID: "shop", Name: name, CreatedAt: t0,
		State: slipway.DomainCreating, Since: t0, DueAt: t0,
	}
	for _, label := range []string{"_1.", "_2.below."} {
		d.Records = append(d.Records, slipway.ValidationRecord{
			Name: label + name + ".", Value: label + "acm-validations.aws.", Status: slipway.RecordPending,
		})
	}
	return d
}

func in(s slipway.DomainStatus, since time.Time) slipway.CustomDomain {
	d := requested("example.com")
	d.State, d.Since = s, since
	return d
}

func TestAdvance(t *testing.T) {
	t.Parallel()
	removed := in(slipway.DomainActive, t0)
	removed.RemovedAt = t0
	uncertified := in(slipway.DomainBinding, t0)
	uncertified.Name = "uncertified.example"
	for _, c := range []struct {
		name  string
		d     slipway.CustomDomain
		after time.Duration // t0
		state slipway.DomainStatus
		due   time.Duration // after t0; 0 if never
		gone  bool
	}{
		{"requested", in(slipway.DomainCreating, t0), time.Second, slipway.DomainPending, time.Second, false},
		{"binding shows", in(slipway.DomainBinding, t0), time.Second, slipway.DomainBinding, bindTime, false},
		{"and ends", in(slipway.DomainBinding, t0), bindTime, slipway.DomainActive, 0, false},
		{"or waits for its certificate", uncertified, bindTime, slipway.DomainBinding, bindTime + 3*time.Second, false},
		{"with fewer looks later", uncertified, time.Hour, slipway.DomainBinding, time.Hour + certifyDelay, false},
		{"active stays", in(slipway.DomainActive, t0), time.Hour, slipway.DomainActive, 0, false},
		{"failed stays", in(slipway.DomainFailed, t0), time.Hour, slipway.DomainFailed, 0, false},
		{"deleting shows", removed, time.Second, slipway.DomainActive, lingerTime, false},
		{"and ends", removed, lingerTime, slipway.DomainActive, lingerTime, true},
	} {
		next, gone := advance(c.d, c.d.Name != uncertified.Name, t0.Add(c.after))
		due := time.Time{}
		if c.due != 0 {
			due = t0.Add(c.due)
		}
		if next.State != c.state || !next.DueAt.Equal(due) || gone != c.gone {
			t.Errorf("%s: %s, due %v, gone %t; want %s, %v, %t", c.name, next.State, next.DueAt, gone, c.state, due, c.gone)
		}
		if again, goneAgain := advance(next, c.d.Name != uncertified.Name, t0.Add(c.after)); next.State != slipway.DomainPending && (goneAgain != gone || cmp.Diff(next, again) != "") {
			t.Errorf("%s: a second look changes it: %s", c.name, cmp.Diff(next, again))
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	const p, s, f = slipway.RecordPending, slipway.RecordValid, slipway.RecordFailed
	first := in(slipway.DomainPending, t0)
	first.Records[0].Status = s
	for _, c := range []struct {
		name  string
		d     slipway.CustomDomain
		found []bool
		age   time.Duration
		state slipway.DomainStatus
		want  []slipway.RecordStatus
		due   time.Duration // after t0; 0 if never
	}{
		{"nothing there", in(slipway.DomainPending, t0), []bool{false, false}, 0, slipway.DomainPending, []slipway.RecordStatus{p, p}, 2 * time.Second},
		{"one there", in(slipway.DomainPending, t0), []bool{false, true}, time.Minute, slipway.DomainPending, []slipway.RecordStatus{p, s}, 75 * time.Second},
		{"it counts for good", first, []bool{false, false}, time.Hour, slipway.DomainPending, []slipway.RecordStatus{s, p}, 70 * time.Minute},
		{"the other, later", first, []bool{false, true}, time.Hour, slipway.DomainBinding, []slipway.RecordStatus{s, s}, time.Hour + bindTime},
		{"both at once", in(slipway.DomainPending, t0), []bool{true, true}, 0, slipway.DomainBinding, []slipway.RecordStatus{s, s}, bindTime},
		{"just before the limit", in(slipway.DomainPending, t0), []bool{false, false}, proofLimit - 1, slipway.DomainPending, []slipway.RecordStatus{p, p}, proofLimit - 1 + 10*time.Minute},
		{"at the limit", first, []bool{false, false}, proofLimit, slipway.DomainFailed, []slipway.RecordStatus{s, f}, 0},
		{"found at the limit", first, []bool{false, true}, proofLimit, slipway.DomainBinding, []slipway.RecordStatus{s, s}, proofLimit + bindTime},
	} {
		before := cmp.Diff(nil, c.d)
		next := validate(c.d, c.found, t0.Add(c.age))
		due := time.Time{}
		if c.due != 0 {
			due = t0.Add(c.due)
		}
		var have []slipway.RecordStatus
		for _, r := range next.Records {
			have = append(have, r.Status)
		}
		if next.State != c.state || !next.DueAt.Equal(due) || cmp.Diff(c.want, have) != "" {
			t.Errorf("%s: %s %v, due %v; want %s %v, %v", c.name, next.State, have, next.DueAt, c.state, c.want, due)
		}
		if cmp.Diff(nil, c.d) != before {
			t.Errorf("%s: the input has changed", c.name)
		}
	}
}

// The first lookups follow each other quickly, and there are few in three days.
func TestRetryDelay(t *testing.T) {
	t.Parallel()
	looks, inMinute, last := 0, 0, time.Duration(0)
	for age := time.Duration(0); age < proofLimit; age += retryDelay(age) {
		if p := retryDelay(age); p < last {
			t.Fatalf("at %v the delay falls from %v to %v", age, last, p)
		}
		last = retryDelay(age)
		if age < time.Minute {
			inMinute++
		}
		looks++
	}
	if inMinute < 10 || looks > 500 {
		t.Errorf("%d looks in the first minute, %d in three days; want at least 10 and at most 500", inMinute, looks)
	}
}
