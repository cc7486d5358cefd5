package soak

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"
)

// outcome is what a client got for a request.
type outcome struct {
	path       string
	begun, end time.Time
	status     int    // 0 if there was no response
	code       string // of a page of the router, such as service_paused
	retryAfter bool
	service    string // that answered, of a status 200
	edition    edition
	boot       string // of the process that answered
	err        error  // that ended it
}

func (o outcome) String() string {
	text := fmt.Sprintf("%s to %s: GET %s: ", o.begun.Format("15:04:05.000"), o.end.Format("15:04:05.000"), o.path)
	switch {
	case o.err != nil && o.status != 0:
		return text + fmt.Sprintf("%d, which broke off: %v", o.status, o.err)
	case o.err != nil:
		return text + o.err.Error()
	case o.status != http.StatusOK:
		return text + fmt.Sprintf("%d %s, Retry-After %t", o.status, o.code, o.retryAfter)
	}
	return text + fmt.Sprintf("%s answers with %v", o.service, o.edition)
}

// at is a phase and when it began.
type at struct {
	time.Time
	phase
}

// faultKind is what the test has done to the server or to an instance.
type faultKind string

const (
	serverKilled  faultKind = "server killed"
	serverStopped faultKind = "server stopped and started"
	serverReplace faultKind = "server upgraded"
	serverFrozen  faultKind = "server frozen for a while"

	appKilled  faultKind = "instance killed"
	shimKilled faultKind = "shim of an instance killed"
	appExited  faultKind = "instance exited by itself"
)

// fault is one. What it may explain ends with it.
type fault struct {
	kind     faultKind
	service  string    // of the instance
	from, to time.Time // to is zero while it lasts
}

// during reports whether a time from begun to end touches the fault.
func (f fault) during(begun, end time.Time) bool {
	return !f.from.After(end) && (f.to.IsZero() || !f.to.Before(begun))
}

// ofInstance reports whether it befell an instance of the service.
func (f fault) ofInstance(service string) bool { return f.service == service && f.service != "" }

// restartsCount is how long the end of an instance delays the next start at most, and so can
// have requests told to come again later.
const restartsCount = 20 * time.Minute

// judge returns why an outcome is right: "answered", a page that is due, or the fault that
// explains it. phases are those of the service, oldest first. ok is false if nothing does.
func judge(service string, o outcome, phases []at, faults []fault) (cause string, ok bool) {
	var may phase
	for i, p := range phases {
		if p.After(o.end) || i+1 < len(phases) && phases[i+1].Before(o.begun) {
			continue
		}
		may = may.with(p.phase)
	}
	switch {
	case o.err == nil && o.status == http.StatusOK:
		switch {
		case o.service == "" && len(may.serves) > 0: // it does not say who it is
			return "answered with letters", true
		case o.service == service && slices.Contains(may.serves, o.edition):
			return "answered", true
		}
		return "", false // whatever else happens, it may not be answered so
	case o.code == "service_paused" && may.paused:
		return "paused", true
	case o.code == "service_not_deployed" && may.without:
		return "not deployed", true
	case o.code == "unknown_service" && may.gone:
		return "deleted", true
	}
	for _, f := range faults {
		if f.explains(service, o) {
			return string(f.kind), true
		}
	}
	return "", false
}

// explains reports whether a request may fail so because of the fault.
func (f fault) explains(service string, o outcome) bool {
	switch f.kind {
	case serverKilled: // what it had accepted ends with it; its sockets are held by somebody else
		return o.err != nil && !errors.Is(o.err, syscall.ECONNREFUSED) && f.during(o.begun, o.end)
	case appKilled, shimKilled, appExited:
		if !f.ofInstance(service) {
			return false
		}
		inside := o.code == "bad_answer" || o.code == "service_unreachable" && o.retryAfter || o.status == http.StatusOK && o.err != nil
		later := o.code == "no_instance_ready" && o.retryAfter
		return inside && f.during(o.begun, o.end) || later && f.during(o.begun.Add(-restartsCount), o.end)
	}
	return false
}

// TestJudge checks which outcomes are explained.
func TestJudge(t *testing.T) {
	t.Parallel()
	began := time.Unix(1_000_000, 0)
	sec := func(n int) time.Time { return began.Add(time.Duration(n) * time.Second) }
	first, second := edition{1, 1, 0}, edition{2, 1, 0}
	b := book{status: "RUNNING", serves: first, kept: edition{0, 1, 0}}
	updated := b.after(update, 2, "SUCCEEDED")
	phases := []at{{sec(0), b.rest()}, {sec(10), b.during(update, 2)}, {sec(20), updated.rest()}, {sec(40), updated.after(pause, 0, "SUCCEEDED").rest()}}
	answer := func(begun, end int, service string, e edition) outcome {
		return outcome{begun: sec(begun), end: sec(end), status: 200, service: service, edition: e}
	}
	broken := func(begun, end int) outcome {
		return outcome{begun: sec(begun), end: sec(end), status: 502, code: "bad_answer"}
	}
	paused := outcome{begun: sec(1), end: sec(2), status: 503, code: "service_paused"}
	cut := outcome{begun: sec(31), end: sec(33), err: io.ErrUnexpectedEOF}
	refused := outcome{begun: sec(31), end: sec(33), err: syscall.ECONNREFUSED}
	kill := fault{kind: serverKilled, from: sec(32), to: sec(34)}
	app := fault{kind: appKilled, service: "shop", from: sec(32), to: sec(33)}
	for _, c := range []struct {
		name   string
		o      outcome
		faults []fault
		want   bool
	}{
		{"the release that serves", answer(1, 2, "shop", first), nil, true},
		{"the next one before its time", answer(1, 2, "shop", second), nil, false},
		{"either during the update", answer(11, 12, "shop", second), nil, true},
		{"the old one when the update has ended", answer(21, 22, "shop", first), nil, false},
		{"the old one for a request from before", answer(19, 22, "shop", first), nil, true},
		{"another service", answer(1, 2, "blog", first), nil, false},
		{"another service in spite of a kill", answer(32, 33, "blog", second), []fault{kill, app}, false},
		{"letters", outcome{begun: sec(1), end: sec(2), status: 200}, nil, true},
		{"letters of a service that is paused", outcome{begun: sec(41), end: sec(42), status: 200}, nil, false},
		{"paused, which it is not", paused, nil, false},
		{"cut by nothing", cut, nil, false},
		{"cut by the kill of the server", cut, []fault{kill}, true},
		{"refused in spite of held sockets", refused, []fault{kill}, false},
		{"broken off without a kill", broken(31, 32), nil, false},
		{"broken off by the kill of its instance", broken(31, 33), []fault{app}, true},
		{"broken off after the instance was gone", broken(34, 35), []fault{app}, false},
		{"broken off by the kill of another's instance", broken(31, 33), []fault{{kind: appKilled, service: "blog", from: sec(32), to: sec(33)}}, false},
		{"a 504", outcome{begun: sec(31), end: sec(33), status: 504, code: "time_limit"}, []fault{kill, app}, false},
	} {
		if cause, ok := judge("shop", c.o, phases, c.faults); ok != c.want {
			t.Errorf("%s: explained %t (%s)", c.name, ok, cause)
		}
	}
}
