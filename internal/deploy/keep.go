package deploy

import (
	"bytes"
	"fmt"
	"maps"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/operation"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/store"
)

// rest ends the instances of a paused service: it has the fleet stop them, or freeze and
// keep them if the service has that setting. What has requests in flight when the limit of
// their drain is over is stopped: a frozen instance would answer none of them.
func (p *Plans) rest(tx *store.Tx, op *slipway.Operation, now time.Time) error {
	st, err := load(op)
	if err != nil {
		return operation.Fatal(err)
	}
	v, err := tx.Service(op.ServiceID)
	if err != nil {
		return err
	}
	settings, err := settingsOf(tx, v.Service)
	if err != nil {
		return err
	}
	if err := p.stop(tx, op, now); err != nil || settings.PauseKeeps == 0 || v.ActiveRelease == "" {
		return err
	}
	drained, err := tx.Drained(st.Previous, p.cfg.RouterSilent)
	if err != nil {
		return err
	}
	if !drained {
		return p.logEvent(tx, op, now, bothStreams, "The instances are stopped, not kept: requests were still in flight when their time was over.")
	}
	r, err := tx.Release(v.ActiveRelease)
	if err != nil || r.Size == 0 { // it sleeps without an instance
		return err
	}
	until := now.Add(settings.PauseKeeps)
	if err := tx.SetSize(r, settings.Routing.FirstSize(r.Scaling)); err != nil { // as many as a resume starts
		return err
	}
	if err := tx.SetKeepUntil(r.ID, until); err != nil {
		return err
	}
	if err := tx.SetDesired(r, slipway.DesiredKeep); err != nil {
		return err
	}
	return p.logEvent(tx, op, now, bothStreams,
		fmt.Sprintf("The instances are frozen and kept until %s; a resume before that thaws them.", until.UTC().Format(time.RFC3339)))
}

// useKept decides whether the instances that a pause has kept serve again: not after their
// time, and only if a new one would not differ. A paused service takes neither updates nor
// deployments, so its release and its instance role are those that the instances were started
// with. The values of secrets may be others: had holds the sealed ones that the release had
// when they were started.
func (p *Plans) useKept(tx *store.Tx, op *slipway.Operation, now time.Time, r slipway.Release, had []byte) error {
	switch {
	case r.KeepUntil.IsZero():
		return nil
	case r.Desired != slipway.DesiredKeep: // those of an earlier pause serve, or are gone
		return tx.SetKeepUntil(r.ID, time.Time{})
	}
	reason := ""
	if same, err := p.sameSecrets(r, had); err != nil {
		return err
	} else if !same {
		reason = "values of secrets have changed since the pause"
	}
	// A pause that rolls back finds its instances frozen, half frozen or running.
	if op.Kind == slipway.ResumeService && !r.Keeps(now) {
		reason = "the time is over for which they were kept"
	}
	if reason == "" {
		return p.logEvent(tx, op, now, bothStreams, "Thawing the instances that were kept during the pause.")
	}
	if err := p.logEvent(tx, op, now, bothStreams, "Starting new instances: "+reason+"."); err != nil {
		return err
	}
	return tx.SetKeepUntil(r.ID, time.Time{})
}

// sameSecrets reports whether a release has the values of secrets that it had. They are
// compared opened, in memory: sealed anew, equal values differ.
func (p *Plans) sameSecrets(r slipway.Release, had []byte) (bool, error) {
	if bytes.Equal(had, r.Secrets) {
		return true, nil
	}
	if len(had) == 0 || len(r.Secrets) == 0 {
		return false, nil
	}
	keys := p.cfg.Secrets.Vault.Keys
	was, err := secrets.OpenEnvironment(keys, secrets.ReleaseOwner(r.ID), had)
	if err != nil {
		return false, nil // a new instance can be started all the same
	}
	is, err := secrets.OpenEnvironment(keys, secrets.ReleaseOwner(r.ID), r.Secrets)
	if err != nil {
		return false, operation.Fatal(err)
	}
	return maps.Equal(was, is), nil
}
