package acme

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/openslipway/slipway/internal/store"
)

// Times of locks. The holder of one gives signs of life. The wall clock has no part in it.
const (
	signEvery  = 5 * time.Second
	lockSilent = 30 * time.Second // after which a holder counts as dead
	lockPoll   = 500 * time.Millisecond
)

// storage is certmagic's in the store. All values are sealed: keys of certificates, accounts
// and challenges. Several servers share them.
type storage struct {
	store *store.Store
	vault Vault
	node  string // of this server
	now   func() time.Time

	mu    sync.Mutex // guards locks
	locks map[string]*lock
}

// lock is one that this process holds.
type lock struct {
	owner string
	stop  context.CancelFunc
	ended chan struct{}
}

var _ certmagic.Storage = (*storage)(nil)

// itemPrefix begins the names of all items of this package.
const itemPrefix = "acme/"

// open prepares the storage. Locks that the last process of this server left are of the dead.
func (s *storage) open(ctx context.Context) error {
	s.locks = map[string]*lock{}
	return s.store.Update(ctx, func(tx *store.Tx) error { return tx.ForgetLocksTLS(s.node + "/") })
}

// Store implements certmagic.Storage.
func (s *storage) Store(ctx context.Context, key string, value []byte) error {
	name := itemPrefix + key
	sealed := s.vault.Seal("tls/"+name, value)
	return s.store.Update(ctx, func(tx *store.Tx) error { return tx.PutTLSItem(name, sealed, s.now()) })
}

// Load implements certmagic.Storage.
func (s *storage) Load(ctx context.Context, key string) ([]byte, error) {
	name := itemPrefix + key
	var sealed []byte
	err := s.store.ViewUnsynced(ctx, func(tx *store.Tx) (err error) { sealed, err = tx.TLSItem(name); return err })
	if err != nil {
		return nil, missing(err)
	}
	return s.vault.Open("tls/"+name, sealed)
}

// missing says in certmagic's way that there is no such item.
func missing(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fs.ErrNotExist
	}
	return err
}

// Delete implements certmagic.Storage.
func (s *storage) Delete(ctx context.Context, key string) error {
	return s.store.Update(ctx, func(tx *store.Tx) error { return tx.DeleteTLSItems(itemPrefix + key) })
}

// Exists implements certmagic.Storage.
func (s *storage) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// List implements certmagic.Storage.
func (s *storage) List(ctx context.Context, path string, recursive bool) (keys []string, err error) {
	below := ""
	if path = strings.Trim(path, "/"); path != "" {
		below = path + "/"
	}
	var names []string
	err = s.store.ViewUnsynced(ctx, func(tx *store.Tx) (err error) { names, err = tx.TLSItems(itemPrefix + below); return err })
	for _, name := range names {
		rest := name[len(itemPrefix)+len(below):]
		if !recursive {
			rest, _, _ = strings.Cut(rest, "/")
		}
		if key := below + rest; len(keys) == 0 || keys[len(keys)-1] != key {
			keys = append(keys, key)
		}
	}
	if err == nil && len(keys) == 0 {
		err = fs.ErrNotExist
	}
	return keys, err
}

// Stat implements certmagic.Storage.
func (s *storage) Stat(ctx context.Context, key string) (info certmagic.KeyInfo, err error) {
	err = s.store.ViewUnsynced(ctx, func(tx *store.Tx) error {
		at, err := tx.TLSItemTime(itemPrefix + key)
		if !errors.Is(err, store.ErrNotFound) {
			info = certmagic.KeyInfo{Key: key, Modified: at, IsTerminal: true}
			return err
		}
		below, err := tx.TLSItems(itemPrefix + key + "/")
		if err == nil && len(below) == 0 {
			err = fs.ErrNotExist
		}
		info = certmagic.KeyInfo{Key: key}
		return err
	})
	return info, err
}

// Lock implements certmagic.Locker. Each holder has a name of its own: two parts of this
// process exclude each other as two servers do.
func (s *storage) Lock(ctx context.Context, name string) error {
	l := &lock{owner: s.node + "/" + rand.Text(), ended: make(chan struct{})}
	for {
		held, err := s.sign(ctx, name, l.owner)
		if err != nil {
			return err
		}
		if held {
			break
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	// The lock outlives the caller's context, which may end before Unlock.
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	s.mu.Lock()
	s.locks[name] = l
	s.mu.Unlock()
	go func() {
		defer close(l.ended)
		s.keepSigning(life, name, l.owner)
	}()
	return nil
}

func (s *storage) sign(ctx context.Context, name, owner string) (held bool, err error) {
	err = s.store.UpdateUnsynced(ctx, func(tx *store.Tx) (err error) {
		held, err = tx.LockTLS(name, owner, s.now().UnixNano(), lockSilent)
		return err
	})
	return held, err
}

// keepSigning gives signs of life until ctx ends. A sign that fails is given again: the lock
// is lost only if none comes for long.
func (s *storage) keepSigning(ctx context.Context, name, owner string) {
	t := time.NewTicker(signEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if held, err := s.sign(ctx, name, owner); err == nil && !held {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// Unlock implements certmagic.Locker. It frees the lock also when ctx has ended.
func (s *storage) Unlock(ctx context.Context, name string) error {
	s.mu.Lock()
	l := s.locks[name]
	delete(s.locks, name)
	s.mu.Unlock()
	if l == nil {
		return nil
	}
	l.stop()
	<-l.ended
	return s.store.UpdateUnsynced(context.WithoutCancel(ctx), func(tx *store.Tx) error { return tx.UnlockTLS(name, l.owner) })
}
