package daemon

import (
	"testing"

	"github.com/openslipway/slipway/internal/takeover"
)

// An attempt to replace the server ends with what its own process says, or when another one
// has taken over, and not with the failure of somebody else.
func TestRenewals(t *testing.T) {
	t.Parallel()
	const ours, others = 10, 20
	for _, c := range []struct {
		name string
		what func(r *renewals, a *renewal)
		want string // "-": it goes on
	}{
		{"somebody else fails before it says hello", func(r *renewals, _ *renewal) { r.failedBefore(others, "wrong flag") }, "-"},
		{"it fails before it says hello", func(r *renewals, _ *renewal) { r.failedBefore(ours, "wrong flag") }, "wrong flag"},
		{"it says so twice", func(r *renewals, _ *renewal) { r.failedBefore(ours, "wrong flag"); r.failedBefore(ours, "again") }, "wrong flag"},
		{"its connection says how it fails later", func(r *renewals, _ *renewal) {
			r.enterHeir(ours)
			r.failedBefore(ours, "early")
			r.leaveHeir("late")
		}, "late"},
		{"somebody else can't be prepared", func(r *renewals, _ *renewal) { r.enterHeir(others); r.leaveHeir("port in use") }, "-"},
		{"somebody else can't be prepared, and it has ended", func(r *renewals, a *renewal) {
			r.enterHeir(others)
			a.ended = true
			r.leaveHeir("port in use")
		}, "port in use"},
		{"another one has taken over", func(r *renewals, _ *renewal) { r.enterHeir(others); r.settle("") }, ""},
		{"it is refused beside another one", func(r *renewals, _ *renewal) {
			r.enterHeir(others)
			if err := r.enterHeir(ours); err == nil || err.Error() != underWay(others).Error() {
				t.Errorf("a second heir: %v", err)
			}
		}, "-"},
	} {
		a := &renewal{pid: ours, outcome: make(chan string, 1)}
		r := &renewals{asked: a}
		c.what(r, a)
		got := "-"
		select {
		case got = <-a.outcome:
		default:
		}
		if got != c.want {
			t.Errorf("%s: the outcome is %q, want %q", c.name, got, c.want)
		}
		if (r.asked == nil) != (c.want != "-") {
			t.Errorf("%s: another attempt can be made: %t", c.name, r.asked == nil)
		}
	}
}

// There is one attempt at a time, whoever begins it.
func TestOneRenewal(t *testing.T) {
	t.Parallel()
	launched := 0
	d := &Daemon{core: &core{cfg: Config{Launch: func(takeover.Renewal) (int, error) { launched++; return 10, nil }}}, succession: newSuccession()}
	if err := d.enterHeir(20); err != nil {
		t.Fatal(err)
	}
	if _, err := d.launch(takeover.Renewal{}); err == nil || err.Error() != underWay(20).Error() {
		t.Errorf("beside an heir: %v", err)
	}
	d.leaveHeir("failed")
	if _, err := d.launch(takeover.Renewal{}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.launch(takeover.Renewal{}); err == nil || err.Error() != underWay(10).Error() {
		t.Errorf("beside an attempt: %v", err)
	}
	if launched != 1 {
		t.Errorf("%d programs were started", launched)
	}
}
