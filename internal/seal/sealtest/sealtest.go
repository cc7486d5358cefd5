// Package sealtest makes keyrings for tests.
package sealtest

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/openslipway/slipway/internal/seal"
	"github.com/openslipway/slipway/internal/store"
)

// New returns a keyring on the database with a key file of its own.
func New(t testing.TB, s *store.Store) *seal.Keyring {
	t.Helper()
	k, err := seal.Open(t.Context(), seal.Config{
		Store: s, File: filepath.Join(t.TempDir(), "master.key"), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}
