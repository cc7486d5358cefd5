package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/iam"
	"github.com/openslipway/slipway/internal/store"
)

// ensureRootKey makes the first access key if there is none, and writes the
// oldest active one to the credentials file if that says something else.
func ensureRootKey(ctx context.Context, s *store.Store, keys iam.Keys, path, region string) error {
	var key slipway.AccessKey
	err := s.Update(ctx, func(tx *store.Tx) error {
		all, err := tx.AccessKeys(gateway.Root)
		if err != nil {
			return err
		}
		if at := slices.IndexFunc(all, func(k slipway.AccessKey) bool { return !k.Inactive }); at >= 0 {
			key = all[at]
			key.Secret, err = keys.Unseal(key.ID, key.Secret)
			return err
		}
		key = iam.NewAccessKey(gateway.Root, time.Now())
		sealed := key
		sealed.Secret = keys.Seal(key.ID, key.Secret)
		return tx.InsertAccessKey(sealed)
	})
	if err != nil {
		return fmt.Errorf("make the root access key: %w", err)
	}
	want := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\nregion = %s\n", key.ID, key.Secret, region)
	if have, err := os.ReadFile(path); err == nil && string(have) == want {
		return nil
	}
	return writeFile(path, []byte(want), 0o600)
}

// writeFile writes a file whole or not at all.
func writeFile(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}
