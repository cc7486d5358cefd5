package daemon

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/atomicfile"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/iam"
	"github.com/openslipway/slipway/internal/store"
)

// ensureRootKey creates the root user's first access key if there is none, and
// writes the oldest active one to the credentials file unless the file has it.
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
	return atomicfile.Write(path, []byte(want), 0o600)
}
