package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// rootUser owns the first access key.
const rootUser = "root"

// ensureRootKey makes the first access key if there is none, and writes it to
// the credentials file if that is missing or says something else.
func ensureRootKey(ctx context.Context, s *store.Store, path, region string) error {
	var key slipway.AccessKey
	err := s.Update(ctx, func(tx *store.Tx) error {
		keys, err := tx.AccessKeys(rootUser)
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			key = keys[0]
			return nil
		}
		key = newAccessKey(rootUser)
		return tx.InsertAccessKey(key)
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

// newAccessKey makes a pair in the form of AWS's: clients check its length.
func newAccessKey(user string) slipway.AccessKey {
	var secret [30]byte
	rand.Read(secret[:])
	return slipway.AccessKey{
		ID:        "AKIA" + strings.ToUpper(rand.Text()[:16]),
		Secret:    base64.StdEncoding.EncodeToString(secret[:]),
		User:      user,
		CreatedAt: time.Now(),
	}
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
