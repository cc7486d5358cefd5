package acme

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/openslipway/slipway"
)

// Times between attempts. They are of the wall clock, and kept: a restart changes nothing.
const (
	firstDelay = 2 * time.Minute // after a refusal; then twice as long each time
	mostDelay  = 6 * time.Hour
	mostPause  = 24 * time.Hour // that an authority may ask for
	lookDelay  = 5 * time.Second
	mostLook   = 5 * time.Minute // between two looks for a name that is not in DNS
	askEvery   = 6 * time.Hour   // between two questions when to renew
)

// wanted is a name that should have a certificate.
type wanted struct {
	name    string
	service string // "" for a wildcard of all services
	target  string // where the DNS of a custom domain should point; "" for names of this server
}

// plan is what a pass changes and does.
type plan struct {
	add  []slipway.Certificate
	drop []string
	due  []slipway.Certificate
	next time.Time // when more is due; zero for never
}

// decide compares what is wanted with what there is. Both are in the order of their names.
func decide(want []wanted, have []slipway.Certificate, now time.Time) (p plan) {
	left := map[string]slipway.Certificate{}
	for _, c := range have {
		left[c.Name] = c
	}
	for _, w := range want {
		c, ok := left[w.name]
		delete(left, w.name)
		switch {
		case !ok:
			c = slipway.Certificate{Name: w.name, ServiceID: w.service, NextAt: now}
			p.add = append(p.add, c)
		case c.ServiceID != w.service: // it was removed from one and added to another
			c.ServiceID = w.service
			p.add = append(p.add, c)
		}
		if due(c, now) {
			p.due = append(p.due, c)
		} else if p.next.IsZero() || c.NextAt.Before(p.next) {
			p.next = c.NextAt
		}
	}
	for name := range left {
		p.drop = append(p.drop, name)
	}
	slices.Sort(p.drop)
	return p
}

// due reports whether it is time for the next attempt. A time that is further ahead than any
// that is ever set was set before the clock stepped back.
func due(c slipway.Certificate, now time.Time) bool {
	return !now.Before(c.NextAt) || c.NextAt.Sub(now) > mostPause
}

// renewAt returns when a certificate is to be renewed if the authority says nothing: when two
// thirds of its time are over.
func renewAt(leaf *x509.Certificate) time.Time {
	return leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 3)
}

// issued returns the row of a certificate that is served from now on.
func issued(c slipway.Certificate, leaf *x509.Certificate, now time.Time) slipway.Certificate {
	c.NotAfter, c.RenewAt = leaf.NotAfter, renewAt(leaf)
	c.Failure, c.Advice, c.Failures = "", "", 0
	c.NextAt = earlier(c.RenewAt, now.Add(askEvery))
	return c
}

// scheduled returns the row of a certificate for which the authority has told when to renew
// it, and when to ask again. Either may be zero.
func scheduled(c slipway.Certificate, leaf *x509.Certificate, renew, again, now time.Time) slipway.Certificate {
	c.RenewAt = renewAt(leaf)
	if !renew.IsZero() {
		c.RenewAt = earlier(c.RenewAt, renew)
	}
	if again.IsZero() || again.After(now.Add(mostPause)) {
		again = now.Add(askEvery)
	}
	c.NextAt = earlier(c.RenewAt, again)
	return c
}

// failed returns the row after an attempt that failed. least is how long the authority wants
// to be left alone.
func failed(c slipway.Certificate, err error, w wanted, least time.Duration, now time.Time) slipway.Certificate {
	c.Failures++
	delay := max(slipway.Backoff(firstDelay, mostDelay, c.Failures), min(least, mostPause))
	c.NextAt = now.Add(delay)
	c.Failure, c.Advice = words(err), advice(err, w)
	return c
}

// unknown returns the row of a name that is not in DNS yet. The authority is not asked: it
// counts what it can't validate, and refuses when that is much.
func unknown(c slipway.Certificate, w wanted, now time.Time) slipway.Certificate {
	c.Failures++
	c.NextAt = now.Add(slipway.Backoff(lookDelay, mostLook, c.Failures))
	c.Failure = w.name + " has no address in DNS"
	c.Advice = fmt.Sprintf("Create a CNAME record from %s to %s; the certificate follows by itself", w.name, w.target)
	return c
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// retryAfter reads the field of that name, which has seconds or a time. It returns 0 if it has
// neither.
func retryAfter(v string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(v); err == nil && n > 0 {
		return min(time.Duration(min(n, 1<<30))*time.Second, mostPause)
	}
	if at, err := http.ParseTime(v); err == nil && at.After(now) {
		return min(at.Sub(now), mostPause)
	}
	return 0
}

// errWildcard is why the authority is not asked for a wildcard.
var errWildcard = errors.New("an authority certifies a wildcard only by DNS-01, for which this server has no DNS provider")

// maxWords bounds what is kept of an authority's words.
const maxWords = 500

// words returns the authority's own words, or what kept them from coming.
func words(err error) string {
	p, ok := errors.AsType[acme.Problem](err)
	if !ok {
		return shortened(err.Error())
	}
	text := p.Detail
	for _, s := range p.Subproblems {
		text += "; " + s.Identifier.Value + ": " + s.Detail
	}
	if kind := strings.TrimPrefix(p.Type, acme.ProblemTypeNamespace); kind != "" {
		text += " (" + kind + ")"
	}
	return shortened(text)
}

func shortened(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "..."
	}
	return text
}

// advice returns what to do about a failure.
func advice(err error, w wanted) string {
	if errors.Is(err, errWildcard) {
		return "Associate the names that it stands for one by one, or have the operator set --acme-dns"
	}
	p, ok := errors.AsType[acme.Problem](err)
	if !ok && strings.HasPrefix(w.name, "*.") {
		return "It is tried again. If this goes on, check --acme-dns-file and that this server reaches the DNS provider and the authority"
	}
	if !ok {
		return "The authority is asked again. If this goes on, check that this server reaches it: --acme-url, --acme-ca-file, DNS and firewalls"
	}
	target := w.target
	if target == "" {
		target = "this server"
	}
	switch p.Type {
	case acme.ProblemTypeRateLimited:
		return "The authority limits what it issues. It is asked again when it allows that; nothing is to be done, except to add fewer names at a time"
	case acme.ProblemTypeDNS:
		return fmt.Sprintf("Check the DNS records of %s: it has to lead to %s", w.name, target)
	case acme.ProblemTypeConnection, acme.ProblemTypeUnauthorized, acme.ProblemTypeIncorrectResponse, acme.ProblemTypeTLS:
		return fmt.Sprintf("The authority has to reach %s at this server's port 80 or 443: point its DNS at %s and let both ports through", w.name, target)
	case acme.ProblemTypeCAA:
		return fmt.Sprintf("A CAA record in the DNS of %s names other authorities: add this one, or remove the record", w.name)
	case acme.ProblemTypeRejectedIdentifier, acme.ProblemTypeUnsupportedIdentifier:
		return "The authority issues no certificate for this name: use another name, or another authority with --acme-url"
	case acme.ProblemTypeExternalAccountRequired:
		return "The authority takes customers only: give their key with --acme-eab-file"
	case acme.ProblemTypeInvalidContact, acme.ProblemTypeUnsupportedContact:
		return "The authority does not take --acme-email: give an address at which it reaches you"
	case acme.ProblemTypeUserActionRequired:
		return "The operator of this server has to act, as the authority says"
	}
	return "The authority is asked again"
}
