package cache_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/build/cache"
)

// store keeps a layer with one file of so many bytes.
func store(t *testing.T, c *cache.Cache, key string, size int) cache.Layer {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "changes")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte(strings.Repeat("x", size)), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := c.StoreLayer("shop", key, cache.Layer{Dir: dir, DiffID: "sha256:" + key, Size: int64(size), Entries: 1})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLayers(t *testing.T) {
	t.Parallel()
	c, dir := open(t)
	if _, ok, err := c.Layer("shop", "k1"); ok || err != nil {
		t.Fatalf("there before it was stored: %v", err)
	}
	stored := store(t, c, "k1", 10)
	got, ok, err := c.Layer("shop", "k1")
	if !ok || err != nil || got != stored {
		t.Errorf("it is %+v, %v, %v; stored was %+v", got, ok, err, stored)
	}
	if text, err := os.ReadFile(filepath.Join(got.Dir, "file")); err != nil || len(text) != 10 {
		t.Errorf("its file has %d bytes, %v", len(text), err)
	}
	if _, ok, _ := c.Layer("cart", "k1"); ok {
		t.Error("another service has it")
	}
	store(t, c, "k1", 20) // replaces it
	if text, err := os.ReadFile(filepath.Join(got.Dir, "file")); err != nil || len(text) != 20 {
		t.Errorf("stored again, its file has %d bytes, %v", len(text), err)
	}
	if _, err := c.StoreLayer("shop", "k2", cache.Layer{Same: "k1"}); err != nil {
		t.Fatal(err)
	}
	if l, ok, err := c.Layer("shop", "k2"); !ok || err != nil || l.Same != "k1" || l.Dir != "" {
		t.Errorf("a key that leads to another is %+v, %v, %v", l, ok, err)
	}

	// After another boot, only what was synced counts.
	if err := c.SyncLayers("shop", []string{"k2"}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"k1", "k2"} {
		note := filepath.Join(dir, "shop/layers", key, "note.json")
		text, err := os.ReadFile(note)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(note, []byte(strings.Replace(string(text), `"boot":"`, `"boot":"another-`, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := c.Layer("shop", key); ok != (key == "k2") || err != nil {
			t.Errorf("after another boot, %s is there: %v, %v", key, ok, err)
		}
	}
	for _, bad := range []string{"", "..", "a/b"} {
		if _, err := c.StoreLayer("shop", bad, cache.Layer{}); err == nil {
			t.Errorf("a key %q was stored", bad)
		}
	}
}

func TestTrimLayers(t *testing.T) {
	t.Parallel()
	c, dir := open(t)
	for i, key := range []string{"old", "middle", "young"} {
		store(t, c, key, 100)
		at := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(filepath.Join(dir, "shop/layers", key), at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.TrimLayers("shop", 250); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{"old": false, "middle": true, "young": true} {
		if _, ok, err := c.Layer("shop", key); ok != want || err != nil {
			t.Errorf("%s is there: %v, %v", key, ok, err)
		}
	}
	if n, err := c.Prune("shop", time.Now().Add(time.Hour)); err != nil || n < 200 {
		t.Errorf("pruned are %d bytes, %v", n, err)
	}
	if err := c.TrimLayers("none", 1); err != nil {
		t.Error(err)
	}
}
