package store

import (
	"time"

	"github.com/openslipway/slipway"
)

const pushHookColumns = `id, connection_arn, secret, created_at, delivered_at`

func scanPushHook(s scanner) (h slipway.PushHook, err error) {
	err = s.Scan(&h.ID, &h.Connection, sealed{&h.Secret}, instant{&h.CreatedAt}, instant{&h.DeliveredAt})
	return h, err
}

// PutPushHook inserts the webhook of a connection, or replaces the secret of the one
// of this id.
func (tx *Tx) PutPushHook(h slipway.PushHook) error {
	_, err := tx.exec(`INSERT INTO push_hook (`+pushHookColumns+`) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET secret = excluded.secret, created_at = excluded.created_at`,
		h.ID, h.Connection, sealed{&h.Secret}, nanos(h.CreatedAt), nanos(h.DeliveredAt))
	return err
}

// PushHook returns the webhook of an id.
func (tx *Tx) PushHook(id string) (slipway.PushHook, error) {
	return one(tx, scanPushHook, `SELECT `+pushHookColumns+` FROM push_hook WHERE id = $1`, id)
}

// PushHookOf returns the webhook of a connection.
func (tx *Tx) PushHookOf(connectionARN string) (slipway.PushHook, error) {
	return one(tx, scanPushHook, `SELECT `+pushHookColumns+` FROM push_hook WHERE connection_arn = $1`, connectionARN)
}

// DeletePushHook removes a webhook and what is remembered of its deliveries.
func (tx *Tx) DeletePushHook(id string) error {
	if _, err := tx.exec(`DELETE FROM push_delivery WHERE hook_id = $1`, id); err != nil {
		return err
	}
	return mustAffect(tx.exec(`DELETE FROM push_hook WHERE id = $1`, id))
}

// PushDelivered reports whether a delivery with one of the keys was accepted before.
func (tx *Tx) PushDelivered(hookID string, keys []string) (bool, error) {
	for _, k := range keys {
		n, err := tx.count(`SELECT count(*) FROM push_delivery WHERE hook_id = $1 AND delivery_key = $2`, hookID, k)
		if err != nil || n > 0 {
			return n > 0, err
		}
	}
	return false, nil
}

// PutPushDelivery remembers an accepted delivery by its keys. It forgets those before
// a time, and all but the newest of a number.
func (tx *Tx) PutPushDelivery(hookID string, keys []string, now, before time.Time, most int) error {
	for _, k := range keys {
		if _, err := tx.exec(`INSERT INTO push_delivery (hook_id, delivery_key, at) VALUES ($1, $2, $3)
			ON CONFLICT (hook_id, delivery_key) DO UPDATE SET at = excluded.at`, hookID, k, nanos(now)); err != nil {
			return err
		}
	}
	if _, err := tx.exec(`DELETE FROM push_delivery WHERE hook_id = $1 AND (at < $2 OR at < (
		SELECT at FROM push_delivery WHERE hook_id = $1 ORDER BY at DESC LIMIT 1 OFFSET $3))`, hookID, nanos(before), most); err != nil {
		return err
	}
	_, err := tx.exec(`UPDATE push_hook SET delivered_at = $1 WHERE id = $2`, nanos(now), hookID)
	return err
}
