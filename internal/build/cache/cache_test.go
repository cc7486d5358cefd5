package cache_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/build/cache"
)

func open(t *testing.T) (*cache.Cache, string) {
	t.Helper()
	dir := t.TempDir()
	c, err := cache.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c, dir
}

func fill(t *testing.T, c *cache.Cache, service, name string, bytes int) string {
	t.Helper()
	dir, err := c.Dir(service, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir+"/deep/er", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/deep/er/file", make([]byte, bytes), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", dir+"/link"); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	return dir
}

func TestServicesAreApart(t *testing.T) {
	t.Parallel()
	c, _ := open(t)
	shop, cart := fill(t, c, "shop", "npm", 1000), fill(t, c, "cart", "npm", 10)
	if shop == cart {
		t.Fatal("two services share a directory")
	}
	if again, err := c.Dir("shop", "npm"); err != nil || again != shop {
		t.Errorf("the next build gets %s, %v", again, err)
	}
	if trimmed, err := c.Trim("shop", 2000); trimmed || err != nil {
		t.Errorf("within its size it was trimmed: %v, %v", trimmed, err)
	}
	if trimmed, err := c.Trim("shop", 999); !trimmed || err != nil {
		t.Errorf("above its size it was not trimmed: %v, %v", trimmed, err)
	}
	if _, err := os.Lstat(shop); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	if n, err := c.Size("cart"); err != nil || n < 10 {
		t.Errorf("the other service's caches have %d bytes, %v", n, err)
	}
	if err := c.Remove("cart"); err != nil {
		t.Error(err)
	}
	if err := c.Remove("cart"); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if list, err := c.Services(); err != nil || !cmp.Equal(list, []string{"shop"}) {
		t.Errorf("services %v, %v", list, err)
	}
}

// TestNames checks that no name leads out of the directory.
func TestNames(t *testing.T) {
	t.Parallel()
	c, _ := open(t)
	for _, bad := range []string{"", ".", "..", "../x", "a/b", ".gone-1", "a\x00", "-x"} {
		if _, err := c.Dir(bad, "npm"); err == nil {
			t.Errorf("a service %q has a directory", bad)
		}
		if _, err := c.Dir("shop", bad); err == nil {
			t.Errorf("a cache %q has a directory", bad)
		}
		if err := c.Remove(bad); err == nil {
			t.Errorf("a service %q was removed", bad)
		}
		if err := c.Store("shop", bad, cache.Built{Image: "x"}); err == nil {
			t.Errorf("a key %q was stored", bad)
		}
	}
}

func TestResults(t *testing.T) {
	t.Parallel()
	c, dir := open(t)
	want := cache.Built{Image: "sha256:aa", Runtime: "3.11.2"}
	if _, ok, err := c.Find("shop", "k1"); ok || err != nil {
		t.Fatalf("found before it was stored: %v", err)
	}
	if err := c.Store("shop", "k1", want); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := c.Find("shop", "k1"); !ok || err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("found %+v, %v, %v", got, ok, err)
	}
	if _, ok, _ := c.Find("cart", "k1"); ok {
		t.Error("another service finds it")
	}
	if err := os.WriteFile(filepath.Join(dir, "shop/results/k1"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := c.Find("shop", "k1"); ok || err != nil {
		t.Errorf("a damaged result counts: %v, %v", ok, err)
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	c, dir := open(t)
	old, young := fill(t, c, "shop", "npm", 1000), fill(t, c, "shop", "pip", 10)
	if err := c.Store("shop", "k1", cache.Built{Image: "sha256:aa"}); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour)
	for _, path := range []string{old, filepath.Join(dir, "shop/results/k1")} {
		if err := os.Chtimes(path, past, past); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := c.Prune("shop", past.Add(time.Minute)); err != nil || n < 1000 {
		t.Errorf("freed %d, %v", n, err)
	}
	if _, err := os.Lstat(old); !os.IsNotExist(err) {
		t.Errorf("an old cache is still there: %v", err)
	}
	if _, ok, _ := c.Find("shop", "k1"); ok {
		t.Error("an old result is still there")
	}
	if _, err := os.Lstat(young); err != nil {
		t.Error(err)
	}
	if err := os.Mkdir(filepath.Join(dir, ".gone-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := cache.Open(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(dir, ".gone-1")); !os.IsNotExist(err) {
		t.Errorf("what was being removed is still there: %v", err)
	}
}

// TestPruneDamage: a cache that cannot be removed keeps no other one of the service.
func TestPruneDamage(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("it needs root, to mount")
	}
	c, dir := open(t)
	busy, old := fill(t, c, "shop", "aaa", 10), fill(t, c, "shop", "npm", 1000)
	if err := unix.Mount("none", busy, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(busy, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := c.Store("shop", "k1", cache.Built{Image: "sha256:aa"}); err != nil {
		t.Fatal(err)
	}
	n, err := c.Prune("shop", time.Now().Add(time.Minute))
	if n < 1000 || !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "cache/aaa") {
		t.Errorf("freed %d, %v", n, err)
	}
	if _, err := os.Lstat(old); !os.IsNotExist(err) {
		t.Errorf("another cache is still there: %v", err)
	}
	if _, ok, _ := c.Find("shop", "k1"); ok {
		t.Error("a result is still there")
	}
	left, err := filepath.Glob(filepath.Join(dir, ".gone-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestDeep removes a tree that is deeper than the daemon has descriptors for, and
// whose paths are longer than the kernel takes.
func TestDeep(t *testing.T) {
	c, root := open(t)
	dir, err := c.Dir("shop", "npm")
	if err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = 200
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	deepen(t, dir, 2100)
	if n, err := c.Size("shop"); err != nil || n != math.MaxInt64 {
		t.Errorf("its size is %d, %v", n, err)
	}
	if trimmed, err := c.Trim("shop", 1<<40); !trimmed || err != nil {
		t.Errorf("trimmed: %v, %v", trimmed, err)
	}
	deepen(t, filepath.Join(root, ".gone-1", "old"), 500) // what a crash left
	if _, err := cache.Open(root); err != nil {
		t.Error(err)
	}
	if list, err := os.ReadDir(root); err != nil || len(list) != 1 {
		t.Errorf("%v is left, %v", list, err)
	}
}

// deepen makes directories in directories, each with a file.
func deepen(t *testing.T, dir string, levels int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range levels {
		if err := unix.Mkdirat(at, "d", 0o755); err != nil {
			t.Fatal(err)
		}
		file, err := unix.Openat(at, "f", unix.O_CREAT|unix.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(file)
		next, err := unix.Openat(at, "d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		unix.Close(at)
		if err != nil {
			t.Fatal(err)
		}
		at = next
	}
	unix.Close(at)
}
