package uploads

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/source/upload"
	"github.com/openslipway/slipway/internal/store"
)

// Config is what Uploads needs. Limits and Now may be zero.
type Config struct {
	Dir    string // for the files; nothing else writes it
	Store  *store.Store
	Log    *slog.Logger
	Limits upload.Limits    // upload.DefaultLimits when zero
	Now    func() time.Time // time.Now when nil
}

// Uploads is the uploads of all users.
type Uploads struct {
	cfg Config

	mu     sync.Mutex // guards stores
	stores map[string]*upload.Store
}

// keepUnused is how long an upload is kept that nothing refers to. While it is there,
// the next upload sends only what has changed.
const keepUnused = 7 * 24 * time.Hour

// keepWhenFull is the same for a user whose store is full.
const keepWhenFull = 10 * time.Minute

// New checks cfg and makes the directory.
func New(cfg Config) (*Uploads, error) {
	if !filepath.IsAbs(cfg.Dir) || cfg.Store == nil || cfg.Log == nil {
		return nil, errors.New("uploads: an absolute directory, a store and a log are required")
	}
	if cfg.Limits == (upload.Limits{}) {
		cfg.Limits = upload.DefaultLimits()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of uploads: %w", err)
	}
	return &Uploads{cfg: cfg, stores: map[string]*upload.Store{}}, nil
}

// Dirs returns the directories that uploads need at any time.
func (u *Uploads) Dirs() []string { return []string{u.cfg.Dir} }

// ownerForm is what the unique ids of users look like. They name directories.
var ownerForm = regexp.MustCompile(`^[A-Za-z0-9]{1,128}$`)

// of returns the store of a user.
func (u *Uploads) of(owner string) (*upload.Store, error) {
	if !ownerForm.MatchString(owner) {
		return nil, fmt.Errorf("the user's id %.140q cannot name a directory", owner)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if s := u.stores[owner]; s != nil {
		return s, s.MakeDirs()
	}
	s, err := upload.Open(filepath.Join(u.cfg.Dir, owner), u.cfg.Limits)
	if err != nil {
		return nil, fmt.Errorf("open the uploads of user %s: %w", owner, err)
	}
	u.stores[owner] = s
	return s, nil
}

// Upload returns an upload, whoever's it is: what a service may have was decided when it
// got it.
func (u *Uploads) Upload(ctx context.Context, id string) (up slipway.Upload, err error) {
	err = u.cfg.Store.View(ctx, func(tx *store.Tx) error {
		up, err = tx.Upload(id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return up, slipway.Errorf(slipway.InvalidRequest, "The upload %s is not there any more. Run `slipway up DIR` again.", id)
	}
	return up, err
}

// Materialize makes the directory dir, which must not exist, of an upload.
func (u *Uploads) Materialize(ctx context.Context, up slipway.Upload, dir string) error {
	s, err := u.of(up.Owner)
	if err != nil {
		return err
	}
	return s.Materialize(ctx, up.Snapshot, dir, up.CreatedAt)
}

// Collect removes the uploads that nothing refers to and that were not used for a week,
// with their files. It returns how many bytes that freed.
func (u *Uploads) Collect(ctx context.Context) (freed int64, err error) {
	entries, err := os.ReadDir(u.cfg.Dir)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, e := range entries {
		n, err := u.collect(ctx, e.Name(), u.cfg.Now().Add(-keepUnused))
		freed += n
		errs = append(errs, err)
	}
	return freed, errors.Join(errs...)
}

// collect removes the uploads of a user that were last used before a time. The rows go
// first: a file without a row is found by the next collection.
func (u *Uploads) collect(ctx context.Context, owner string, before time.Time) (int64, error) {
	s, err := u.of(owner)
	if err != nil {
		return 0, err
	}
	kept := map[string]bool{}
	err = u.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.ForgetUploads(owner, before); err != nil {
			return err
		}
		list, err := tx.UploadsOf(owner)
		for _, up := range list {
			kept[up.Snapshot] = true
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forget uploads of user %s: %w", owner, err)
	}
	freed, err := s.Collect(before, func(id string) bool { return kept[id] })
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return freed, err
}
