package acme

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/openslipway/slipway"
)

var t0 = time.Unix(1_800_000_000, 0).UTC()

func TestDecide(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) time.Time { return t0.Add(d) }
	have := []slipway.Certificate{
		{Name: "due.test", ServiceID: "shop", NextAt: t0},
		{Name: "gone.test", ServiceID: "shop", NextAt: t0},
		{Name: "later.test", ServiceID: "shop", NextAt: at(time.Hour)},
		{Name: "moved.test", ServiceID: "shop", NextAt: at(2 * time.Hour)},
		{Name: "stepped.test", ServiceID: "shop", NextAt: at(mostPause + time.Minute)},
	}
	want := []wanted{{name: "due.test", service: "shop"}, {name: "later.test", service: "shop"}, {name: "moved.test", service: "blog"}, {name: "new.test", service: "shop"}, {name: "stepped.test", service: "shop"}}
	p := decide(want, have, t0)
	names := func(list []slipway.Certificate) (s []string) {
		for _, c := range list {
			s = append(s, c.Name+" of "+c.ServiceID)
		}
		return s
	}
	if got := names(p.add); !slices.Equal(got, []string{"moved.test of blog", "new.test of shop"}) {
		t.Errorf("saved: %q", got)
	}
	if !slices.Equal(p.drop, []string{"gone.test"}) {
		t.Errorf("dropped: %q", p.drop)
	}
	if got := names(p.due); !slices.Equal(got, []string{"due.test of shop", "new.test of shop", "stepped.test of shop"}) {
		t.Errorf("due: %q", got)
	}
	if !p.next.Equal(at(time.Hour)) {
		t.Errorf("next at %v", p.next)
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	leaf := &x509.Certificate{NotBefore: t0.Add(-time.Hour), NotAfter: t0.Add(90*24*time.Hour - time.Hour)}
	w := wanted{name: "shop.test", target: "l.apps.test"}
	c := issued(slipway.Certificate{Name: "shop.test", Failure: "x", Advice: "y", Failures: 3}, leaf, t0)
	if c.Failure != "" || c.Failures != 0 || !c.RenewAt.Equal(t0.Add(60*24*time.Hour-time.Hour)) || !c.NextAt.Equal(t0.Add(askEvery)) || c.State() != slipway.CertificateIssued {
		t.Errorf("issued: %+v", c)
	}
	if got := scheduled(c, leaf, t0.Add(time.Hour), time.Time{}, t0); !got.RenewAt.Equal(t0.Add(time.Hour)) || !got.NextAt.Equal(got.RenewAt) {
		t.Errorf("asked to renew soon: %+v", got)
	}
	if got := scheduled(c, leaf, t0.Add(80*24*time.Hour), t0.Add(time.Hour), t0); !got.RenewAt.Equal(c.RenewAt) || !got.NextAt.Equal(t0.Add(time.Hour)) {
		t.Errorf("asked to renew late: %+v", got)
	}
	limit := fmt.Errorf("creating new order: %w", acme.Problem{Type: acme.ProblemTypeRateLimited, Status: 429, Detail: "too many"})
	delays := []time.Duration{}
	f := c
	for range 10 {
		f = failed(f, limit, w, 0, t0)
		delays = append(delays, f.NextAt.Sub(t0))
	}
	if delays[0] != firstDelay || delays[1] != 2*firstDelay || delays[9] != mostDelay || f.Failure != "too many (rateLimited)" || f.State() != slipway.CertificateNotRenewed {
		t.Errorf("failed: %v, %+v", delays, f)
	}
	// Let's Encrypt allows five failed validations of a name in an hour.
	n, total := 1, time.Duration(0)
	for _, d := range delays {
		if total += d; total < time.Hour {
			n++
		}
	}
	if n > 5 {
		t.Errorf("%d attempts in the first hour", n)
	}
	if got := failed(c, limit, w, 5*time.Hour, t0); got.NextAt.Sub(t0) != 5*time.Hour {
		t.Errorf("asked for five hours: %v", got.NextAt.Sub(t0))
	}
	if got := failed(c, limit, w, 500*time.Hour, t0); got.NextAt.Sub(t0) != mostPause {
		t.Errorf("asked for 500 hours: %v", got.NextAt.Sub(t0))
	}
}

// Every kind of refusal says what to do, and none is longer than a page.
func TestWords(t *testing.T) {
	t.Parallel()
	w := wanted{name: "shop.test", target: "l.apps.test"}
	for kind, want := range map[string]string{
		"rateLimited": "asked again when it allows", "dns": "has to lead to l.apps.test", "connection": "port 80 or 443", "unauthorized": "port 80 or 443",
		"caa": "CAA record", "rejectedIdentifier": "another name", "externalAccountRequired": "--acme-eab-file", "invalidContact": "--acme-email",
		"userActionRequired": "operator", "serverInternal": "asked again",
	} {
		err := fmt.Errorf("x: %w", acme.Problem{Type: acme.ProblemTypeNamespace + kind, Detail: "It\nis so"})
		if got := advice(err, w); !strings.Contains(got, want) || strings.HasSuffix(got, ".") {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
		if got := words(err); got != "It is so ("+kind+")" {
			t.Errorf("%s: %q", kind, got)
		}
	}
	if got := words(errors.New(strings.Repeat("ü", 10_000))); len(got) > maxWords+3 || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	if got := advice(errors.New("dial: refused"), w); !strings.Contains(got, "--acme-url") {
		t.Errorf("%q", got)
	}
	if got := advice(errWildcard, w); !strings.Contains(got, "--acme-dns") {
		t.Errorf("%q", got)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for v, want := range map[string]time.Duration{
		"": 0, "x": 0, "-5": 0, "0": 0, "120": 2 * time.Minute, "99999999999": mostPause,
		t0.Add(time.Hour).Format(http.TimeFormat): time.Hour, t0.Add(-time.Hour).Format(http.TimeFormat): 0, t0.Add(1000 * time.Hour).Format(http.TimeFormat): mostPause,
	} {
		if got := retryAfter(v, t0); got != want {
			t.Errorf("%q: %v, want %v", v, got, want)
		}
	}
}
