// Package seal encrypts what must not be readable to someone who obtains the
// database or its backup: values of secrets, credentials of connections and of
// access keys.
//
// It is envelope encryption. Secrets are sealed with data keys (AES-256-GCM).
// The data keys are rows of the store, wrapped by a master key. The master key
// is in a file, beside the database or elsewhere ([keyFile], in age's format).
// [Keyring.Rotate] replaces the master key and wraps the data keys again,
// without interrupting anything; what was sealed before can still be opened.
//
// It does not store what it sealed: each owner has a table for that. It does
// not hide a secret's length, and it does not protect against someone who can
// read the master key or the server's memory. Its callers are the packages that
// keep secrets: the services behind the gateway, deployments and the fleet.
package seal

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// Config configures a keyring.
type Config struct {
	Store *store.Store
	File  string // with the master key; made if there are no data keys yet
	Log   *slog.Logger

	// Passphrase encrypts the file; "" leaves it to the file's mode (0600).
	Passphrase string
	workFactor int // see keyFile

	Now func() time.Time // time.Now when nil

	// Checkpoint, if not nil, is called at each point where the process may die
	// during a rotation; its error simulates that. For tests.
	Checkpoint func(point string) error
}

// Keyring seals and opens. It is safe for concurrent use.
type Keyring struct {
	cfg  Config
	file keyFile

	rotation sync.Mutex // held by the one rotation

	mu     sync.RWMutex // guards keys, newest and master
	keys   map[keyID]cipher.AEAD
	newest keyID // the key that seals
	master Master
}

// Master describes the master key without revealing it.
type Master struct {
	Public    string    // its public half in age's form, which identifies it
	Encrypted bool      // the file is encrypted with a passphrase
	Since     time.Time // when it became the master key
	DataKeys  int
}

// Open reads the master key and unwraps the data keys. On the first start it
// makes both. It completes an interrupted rotation.
func Open(ctx context.Context, cfg Config) (*Keyring, error) {
	if cfg.Store == nil || cfg.File == "" || cfg.Log == nil {
		return nil, errors.New("seal: store, file and log are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	k := &Keyring{cfg: cfg, file: keyFile{path: cfg.File, passphrase: cfg.Passphrase, workFactor: cfg.workFactor}}
	rows, err := k.rows(ctx)
	if err != nil {
		return nil, err
	}
	masters, err := k.file.read()
	if errors.Is(err, errNoKeyFile) {
		if len(rows) > 0 {
			return nil, fmt.Errorf("the key file %s is missing: without it the %d data keys in the database, and with them all secrets, cannot be read. Put the copy of the key back that was kept for this database (0600), or name it with --key-file; a backup made with --include-key has it (slipway restore into another --data-dir)", cfg.File, len(rows))
		}
		masters, err = k.file.make()
	}
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(cfg.File); err == nil && info.Mode().Perm()&0o077 != 0 && cfg.Passphrase == "" {
		cfg.Log.Warn("users other than the server's may read the key file", "file", cfg.File, "mode", info.Mode().Perm().String())
	}
	if err := k.setKeys(masters, rows); err != nil {
		return nil, err
	}
	if err := k.completeRotation(ctx, k.cfg.Store.Update, masters); err != nil {
		return nil, err
	}
	return k, nil
}

// rows reads the data keys.
func (k *Keyring) rows(ctx context.Context) (rows []slipway.DataKey, err error) {
	err = k.cfg.Store.View(ctx, func(tx *store.Tx) error { rows, err = tx.DataKeys(); return err })
	return rows, err
}

// setKeys unwraps the data keys and makes them the keyring's.
func (k *Keyring) setKeys(masters []master, rows []slipway.DataKey) error {
	keys := map[keyID]cipher.AEAD{}
	m := Master{Public: masters[0].public, Encrypted: k.cfg.Passphrase != "", DataKeys: len(rows)}
	var newest keyID
	for _, row := range rows {
		id, aead, err := unwrap(masters, row)
		if err != nil {
			return wrongKey(k.cfg.File, row, err)
		}
		keys[id], newest, m.Since = aead, id, row.CreatedAt // each master key begins with a data key
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys, k.newest, k.master = keys, newest, m
	return nil
}

func wrongKey(file string, row slipway.DataKey, err error) error {
	return fmt.Errorf("data key %s, wrapped for %s, cannot be unwrapped with %s, which is the key of another database or of another time: %w. Put back the key file whose public key is %[2]s, or restore a backup with its key (slipway restore)", row.ID, row.Master, file, err)
}

// Check reports whether a key file with the content key opens all data keys. name is the
// file's for the errors, one of which is [ErrEncrypted]. It writes nothing.
func Check(key []byte, name, passphrase string, rows []slipway.DataKey) error {
	masters, _, err := keyFile{path: name, passphrase: passphrase}.parse(key)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if _, _, err := unwrap(masters, row); err != nil {
			return wrongKey(name, row, err)
		}
	}
	return nil
}

// Master describes the master key.
func (k *Keyring) Master() Master {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.master
}

// Seal encrypts a secret. context names what the secret belongs to, such as
// "connection credential " and an ARN. It is not stored: opening requires the
// same context, so that a sealed secret can't be moved to another row
// unnoticed.
func (k *Keyring) Seal(context string, secret []byte) []byte {
	k.mu.RLock()
	id, aead := k.newest, k.keys[k.newest]
	k.mu.RUnlock()
	return encode(id, aead, context, secret)
}

// ErrSealed is returned for a secret that can't be opened: it was damaged, or
// sealed in another context or with another keyring's keys.
var ErrSealed = errors.New("the sealed value can't be opened: it was damaged, belongs to something else or was sealed under another master key")

// Open decrypts what Seal returned for the same context. Its only error is
// ErrSealed.
func (k *Keyring) Open(context string, sealed []byte) ([]byte, error) {
	id, ok := keyOf(sealed)
	if !ok {
		return nil, ErrSealed
	}
	k.mu.RLock()
	aead := k.keys[id]
	k.mu.RUnlock()
	if aead == nil {
		return nil, ErrSealed
	}
	return decode(aead, context, sealed)
}
