package certs

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"time"

	"github.com/openslipway/slipway/internal/store"
)

// Session tickets let a client that comes again pass over half of a handshake. Whoever has
// their key can read what was sent in sessions of TLS 1.2 that began with one. A key is used
// for newTime and taken for keepTime. crypto/tls would change its own keys as well, but forget
// them with the process, and all clients would come with full handshakes after an upgrade.
const (
	newTime  = 12 * time.Hour
	keepTime = 48 * time.Hour
	maxKeys  = 8 // a clock that jumps makes no more
)

// ticketKey is a key of session tickets.
type ticketKey struct {
	Key  [32]byte
	Made time.Time
}

// tickets keeps the keys of session tickets in the store.
type tickets struct {
	store *store.Store
	vault Vault
	now   func() time.Time
}

// ticketItem is the name of the keys in the store.
const ticketItem = "session-tickets"

// current returns the keys, the one for new tickets first. It makes one when that is due.
func (t *tickets) current(ctx context.Context) (keys [][32]byte, err error) {
	var list []ticketKey
	if list, err = t.read(ctx); err != nil {
		return nil, err
	}
	if _, due := rotated(list, [32]byte{}, t.now()); due {
		if list, err = t.renew(ctx); err != nil {
			return nil, err
		}
	}
	for _, k := range list {
		keys = append(keys, k.Key)
	}
	return keys, nil
}

func (t *tickets) read(ctx context.Context) (list []ticketKey, err error) {
	err = t.store.View(ctx, func(tx *store.Tx) error {
		list, err = t.load(tx)
		return err
	})
	return list, err
}

// load reads the keys. Those that can't be opened are as good as none.
func (t *tickets) load(tx *store.Tx) (list []ticketKey, err error) {
	sealed, err := tx.TLSItem(ticketItem)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	plain, err := t.vault.Open("tls/"+ticketItem, sealed)
	if err != nil || json.Unmarshal(plain, &list) != nil {
		return nil, nil
	}
	return list, nil
}

// renew puts a new key in front, unless another server has.
func (t *tickets) renew(ctx context.Context) (list []ticketKey, err error) {
	var fresh [32]byte
	rand.Read(fresh[:]) // never fails
	err = t.store.Update(ctx, func(tx *store.Tx) error {
		if list, err = t.load(tx); err != nil {
			return err
		}
		next, due := rotated(list, fresh, t.now())
		if list = next; !due {
			return nil
		}
		plain, err := json.Marshal(next)
		if err != nil {
			return err
		}
		return tx.PutTLSItem(ticketItem, t.vault.Seal("tls/"+ticketItem, plain), t.now())
	})
	return list, err
}

// rotated returns the keys with a fresh one in front, and without those that are too old, if
// the first is due. A key of the future was made by a clock that has been set back since: it
// is replaced, too.
func rotated(list []ticketKey, fresh [32]byte, now time.Time) (next []ticketKey, due bool) {
	if len(list) > 0 && now.Sub(list[0].Made) < newTime && now.Sub(list[0].Made) > -newTime {
		return list, false
	}
	next = append(next, ticketKey{fresh, now})
	for _, k := range list {
		if age := now.Sub(k.Made); age < keepTime && age > -keepTime && len(next) < maxKeys {
			next = append(next, k)
		}
	}
	return next, true
}
