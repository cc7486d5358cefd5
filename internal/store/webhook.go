package store

import (
	"fmt"

	"github.com/openslipway/slipway"
)

const webhookColumns = `id, url, service, types, secret, created_at, created_by`

func scanWebhook(s scanner) (h slipway.Webhook, err error) {
	err = s.Scan(&h.ID, &h.URL, &h.Service, document{&h.Types}, sealed{&h.Secret}, instant{&h.CreatedAt}, &h.CreatedBy)
	return h, err
}

// InsertWebhook adds a webhook. It gets the events from now on.
func (tx *Tx) InsertWebhook(h slipway.Webhook) error {
	return tx.insert("webhook "+h.ID, `INSERT INTO webhook (`+webhookColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		h.ID, h.URL, h.Service, document{h.Types}, sealed{&h.Secret}, nanos(h.CreatedAt), h.CreatedBy)
}

// Webhook returns a webhook.
func (tx *Tx) Webhook(id string) (slipway.Webhook, error) {
	return one(tx, scanWebhook, `SELECT `+webhookColumns+` FROM webhook WHERE id = $1`, id)
}

// Webhooks returns all webhooks, oldest first.
func (tx *Tx) Webhooks() ([]slipway.Webhook, error) {
	return sound(tx, "webhook", scanWebhook, `SELECT `+webhookColumns+` FROM webhook ORDER BY created_at, id`)
}

// DeleteWebhook removes a webhook with all of its deliveries.
func (tx *Tx) DeleteWebhook(id string) error {
	if _, err := tx.exec(`DELETE FROM delivery WHERE webhook_id = $1`, id); err != nil {
		return fmt.Errorf("delete the deliveries of webhook %s: %w", id, err)
	}
	return mustAffect(tx.exec(`DELETE FROM webhook WHERE id = $1`, id))
}
