package store

import (
	"encoding/base64"
	"fmt"

	"github.com/openslipway/slipway"
)

const webhookColumns = `id, url, service, types, secret, created_at`

func scanWebhook(s scanner) (h slipway.Webhook, err error) {
	var secret string
	if err := s.Scan(&h.ID, &h.URL, &h.Service, document{&h.Types}, &secret, instant{&h.CreatedAt}); err != nil {
		return h, err
	}
	h.Secret, err = base64.StdEncoding.DecodeString(secret)
	return h, err
}

// InsertWebhook adds a webhook. It gets the events from now on.
func (tx *Tx) InsertWebhook(h slipway.Webhook) error {
	types, err := text(h.Types)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO webhook (`+webhookColumns+`) VALUES ($1, $2, $3, $4, $5, $6)`,
		h.ID, h.URL, h.Service, types, base64.StdEncoding.EncodeToString(h.Secret), nanos(h.CreatedAt))
	if err != nil {
		return fmt.Errorf("insert webhook %s: %w", h.ID, err)
	}
	return nil
}

// Webhook returns a webhook.
func (tx *Tx) Webhook(id string) (slipway.Webhook, error) {
	return one(tx, scanWebhook, `SELECT `+webhookColumns+` FROM webhook WHERE id = $1`, id)
}

// Webhooks returns all webhooks, oldest first.
func (tx *Tx) Webhooks() ([]slipway.Webhook, error) {
	return all(tx, scanWebhook, `SELECT `+webhookColumns+` FROM webhook ORDER BY created_at, id`)
}

// DeleteWebhook removes a webhook with all of its deliveries.
func (tx *Tx) DeleteWebhook(id string) error {
	if _, err := tx.exec(`DELETE FROM delivery WHERE webhook_id = $1`, id); err != nil {
		return fmt.Errorf("delete the deliveries of webhook %s: %w", id, err)
	}
	return mustAffect(tx.exec(`DELETE FROM webhook WHERE id = $1`, id))
}
