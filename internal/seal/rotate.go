package seal

import (
	"context"
	"fmt"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// Update runs a write transaction, as the store does.
type Update func(ctx context.Context, f func(*store.Tx) error) error

// Rotate replaces the master key, wraps every data key with the new one and
// makes a new data key, which seals from now on. Sealing and opening continue
// during a rotation.
//
// It may be interrupted at any point. First the file gets the new key beside
// the old one; then all data keys are wrapped again in one transaction; last
// the old key is removed from the file. So at each moment the file opens what
// the database holds, and Open completes an interrupted rotation.
//
// update runs the transaction, so that the caller can write along in it; nil is
// the store's Update.
func (k *Keyring) Rotate(ctx context.Context, update Update) (Master, error) {
	if update == nil {
		update = k.cfg.Store.Update
	}
	k.rotation.Lock()
	defer k.rotation.Unlock()
	old, err := k.file.read()
	if err != nil {
		return Master{}, fmt.Errorf("rotate the master key: %w", err)
	}
	m, err := newMaster()
	if err != nil {
		return Master{}, fmt.Errorf("rotate the master key: %w", err)
	}
	masters := append([]master{m}, old...)
	if err := k.file.write(masters); err != nil {
		return Master{}, fmt.Errorf("rotate the master key: %w", err)
	}
	if err := k.checkpoint("both keys in the file"); err != nil {
		return Master{}, err
	}
	if err := k.completeRotation(ctx, update, masters); err != nil {
		return Master{}, fmt.Errorf("rotate the master key: %w; the next attempt or start ends it", err)
	}
	now := k.Master()
	k.cfg.Log.Info("master key rotated", "from", old[0].public, "to", now.Public, "data_keys", now.DataKeys)
	return now, nil
}

// completeRotation wraps all data keys with the first master key, then removes
// the other master keys from the file.
func (k *Keyring) completeRotation(ctx context.Context, update Update, masters []master) error {
	if err := k.rewrap(ctx, update, masters); err != nil {
		return err
	}
	if len(masters) == 1 {
		return nil
	}
	if err := k.checkpoint("data keys wrapped anew"); err != nil {
		return err
	}
	// A key file that can't be written (a read-only mounted secret that an
	// operator rotates by hand) loses nothing: the old key just stays in it.
	if err := k.file.write(masters[:1]); err != nil {
		k.cfg.Log.Warn("unused master keys stay in the key file", "err", err)
		return nil
	}
	return k.checkpoint("old key gone")
}

// rewrap wraps all data keys with the first master key. A master key that wraps
// none yet gets a data key of its own.
func (k *Keyring) rewrap(ctx context.Context, update Update, masters []master) error {
	m := masters[0]
	var rows []slipway.DataKey
	err := update(ctx, func(tx *store.Tx) (err error) {
		if rows, err = tx.DataKeys(); err != nil {
			return err
		}
		fresh := true
		for i, row := range rows {
			if row.Master == m.public {
				fresh = false
				continue
			}
			id, key, err := unwrapKey(masters, row)
			if err != nil {
				return fmt.Errorf("unwrap data key %s: %w", row.ID, err)
			}
			if rows[i], err = wrap(m, row, id, key); err != nil {
				return fmt.Errorf("wrap data key %s: %w", row.ID, err)
			}
			if err := tx.RewrapDataKey(rows[i]); err != nil {
				return err
			}
		}
		if !fresh {
			return nil
		}
		row, err := newDataKey(m, k.cfg.Now())
		if err != nil {
			return fmt.Errorf("make a data key: %w", err)
		}
		rows = append(rows, row)
		return tx.InsertDataKey(row)
	})
	if err != nil {
		return err
	}
	return k.setKeys(masters, rows)
}

func (k *Keyring) checkpoint(name string) error {
	if k.cfg.Checkpoint == nil {
		return nil
	}
	return k.cfg.Checkpoint(name)
}
