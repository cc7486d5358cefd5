package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// start makes an attempt in the background, unless one is being made for the name. One that
// finds no slot waits for it.
func (m *Manager) start(ctx context.Context, c slipway.Certificate, w wanted) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running[c.Name] {
		return
	}
	m.running[c.Name] = true
	m.work.Go(func() {
		select {
		case m.slots <- struct{}{}:
			m.attempt(ctx, c, w)
			<-m.slots
		case <-ctx.Done():
		}
		m.mu.Lock()
		delete(m.running, c.Name)
		m.mu.Unlock()
		select {
		case m.nudge <- struct{}{}:
		default:
		}
	})
}

// attempt does what is due for a name and keeps what became of it.
func (m *Manager) attempt(ctx context.Context, c slipway.Certificate, w wanted) {
	rest := &pause{}
	bounded, cancel := context.WithTimeout(context.WithValue(ctx, pauseKey{}, rest), attemptTime)
	defer cancel()
	next, err := m.try(bounded, c, w)
	if ctx.Err() != nil {
		return // it is due again at the next start
	}
	if err != nil {
		next = failed(c, err, w, rest.get(), m.cfg.Now())
		m.mu.Lock()
		m.failures[c.Name]++
		m.mu.Unlock()
	}
	if err := m.save(ctx, c, next); err != nil && ctx.Err() == nil {
		m.cfg.Log.Error("what became of a certificate can't be kept", "name", c.Name, "err", err)
	}
}

// try gets the first certificate, or renews the present one if its time has come.
func (m *Manager) try(ctx context.Context, c slipway.Certificate, w wanted) (slipway.Certificate, error) {
	m.mu.Lock()
	leaf := m.served[c.Name]
	m.mu.Unlock()
	if leaf == nil {
		return m.obtain(ctx, c, w)
	}
	if !leaf.NotAfter.Equal(c.NotAfter) { // a process that ended had got it
		return issued(c, leaf, m.cfg.Now()), nil
	}
	if now := m.cfg.Now(); now.Before(c.RenewAt) {
		if c = m.schedule(ctx, c, leaf); now.Before(c.RenewAt) {
			return c, nil
		}
	}
	return m.renew(ctx, c, leaf)
}

// obtain gets the first certificate of a name, unless another server has.
func (m *Manager) obtain(ctx context.Context, c slipway.Certificate, w wanted) (slipway.Certificate, error) {
	if strings.HasPrefix(c.Name, "*.") && m.cfg.DNS == nil {
		return c, errWildcard
	}
	if w.target != "" && m.cfg.Resolves != nil && !strings.HasPrefix(c.Name, "*.") {
		found, err := m.cfg.Resolves(ctx, c.Name)
		if err != nil {
			return c, fmt.Errorf("look up %s in DNS: %w", c.Name, err)
		}
		if !found {
			return unknown(c, w, m.cfg.Now()), nil
		}
	}
	if err := m.magic.ObtainCertAsync(ctx, c.Name); err != nil {
		return c, err
	}
	leaf, err := m.serve(ctx, c.Name)
	if err != nil {
		return c, err
	}
	return issued(c, leaf, m.cfg.Now()), nil
}

// renew gets the next certificate of a name. The present one is served until it is there.
func (m *Manager) renew(ctx context.Context, c slipway.Certificate, leaf *x509.Certificate) (slipway.Certificate, error) {
	stored, err := m.stored(ctx, c.Name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	if stored == nil || stored.Equal(leaf) { // otherwise another server was faster
		if err := m.magic.RenewCertAsync(context.WithValue(ctx, replacesKey{}, leaf), c.Name, true); err != nil {
			return c, err
		}
	}
	if leaf, err = m.serve(ctx, c.Name); err != nil {
		return c, err
	}
	return issued(c, leaf, m.cfg.Now()), nil
}

// stored returns the certificate of the store.
func (m *Manager) stored(ctx context.Context, name string) (*x509.Certificate, error) {
	b, err := m.storage.Load(ctx, certFile(m.issuer.IssuerKey(), name))
	if err != nil {
		return nil, err
	}
	return firstOf(b)
}

// schedule asks the authority when it wants a certificate renewed (RFC 9773): at once, if it
// has revoked it. Many authorities don't say.
func (m *Manager) schedule(ctx context.Context, c slipway.Certificate, leaf *x509.Certificate) slipway.Certificate {
	now := m.cfg.Now()
	info, err := m.issuer.client.GetRenewalInfo(ctx, leaf)
	if err != nil {
		return scheduled(c, leaf, time.Time{}, time.Time{}, now)
	}
	again := time.Time{}
	if info.RetryAfter != nil {
		again = *info.RetryAfter
	}
	return scheduled(c, leaf, info.SelectedTime, again, now)
}

// save keeps the row, and tells of what has changed: in the log, and in the events of the
// service. A name that was removed meanwhile has no row.
func (m *Manager) save(ctx context.Context, was, now slipway.Certificate) error {
	text := told(was, now)
	gone := false
	err := m.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Certificate(now.Name); err != nil {
			gone = errors.Is(err, store.ErrNotFound)
			return err
		}
		if err := tx.SaveCertificate(now); err != nil || text == "" || now.ServiceID == "" {
			return err
		}
		return tx.InsertEvent(slipway.Event{ServiceID: now.ServiceID, Stream: "events", At: m.cfg.Now(), Text: text})
	})
	if gone {
		return nil
	}
	if err != nil {
		return err
	}
	log := m.cfg.Log.With("name", now.Name)
	switch {
	case now.Failure != "" && now.Failures == was.Failures+1:
		log.Warn("no certificate", "why", now.Failure, "advice", now.Advice, "next", now.NextAt.UTC(), "end", now.NotAfter.UTC())
	case !now.NotAfter.Equal(was.NotAfter):
		log.Info("certificate issued", "end", now.NotAfter.UTC(), "renewal", now.RenewAt.UTC())
	}
	return nil
}

// told returns what the events of a service say, "" for nothing. A failure is told once, not
// at each attempt.
func told(was, now slipway.Certificate) string {
	const day = "2006-01-02"
	switch {
	case now.Failure != "" && now.Failure != was.Failure && now.NotAfter.IsZero():
		return fmt.Sprintf("There is no certificate for %s yet: %s. %s.", now.Name, now.Failure, now.Advice)
	case now.Failure != "" && now.Failure != was.Failure:
		return fmt.Sprintf("The certificate for %s was not renewed; it is served until %s: %s. %s.", now.Name, now.NotAfter.UTC().Format(day), now.Failure, now.Advice)
	case now.Failure != "" || now.NotAfter.Equal(was.NotAfter):
		return ""
	case was.NotAfter.IsZero():
		return fmt.Sprintf("%s has a certificate. It is renewed by itself before %s.", now.Name, now.NotAfter.UTC().Format(day))
	}
	return fmt.Sprintf("The certificate for %s was renewed, until %s.", now.Name, now.NotAfter.UTC().Format(day))
}

// Revoke has the authority declare the certificate of a name invalid, because its key may be
// known to others, and gets another one with a new key.
func (m *Manager) Revoke(ctx context.Context, name string) error {
	const keyCompromise = 1
	leaf, err := m.stored(ctx, name)
	if err != nil {
		return err
	}
	if err := m.issuer.revoke(ctx, leaf, keyCompromise); err != nil {
		return errors.New(words(err))
	}
	err = m.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		c, err := tx.Certificate(name)
		if err != nil {
			return err
		}
		c.RenewAt, c.NextAt = m.cfg.Now(), m.cfg.Now()
		return tx.SaveCertificate(c)
	})
	select {
	case m.nudge <- struct{}{}:
	default:
	}
	return err
}
