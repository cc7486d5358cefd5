package daemon

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/atomicfile"
	"github.com/openslipway/slipway/internal/clock"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/metrics"
	"github.com/openslipway/slipway/internal/outbound"
	"github.com/openslipway/slipway/internal/room"
	"github.com/openslipway/slipway/internal/seal"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/store"
)

// core is what all roles of a process share: the configuration, the data
// directory, the store, the keys, and what is counted.
type core struct {
	cfg     Config
	dirs    dirs
	log     *slog.Logger
	metrics *metrics.Registry
	loops   *loop.Set
	clock   *clock.Judge
	closers closers

	node  node // this process's identity in the store
	store *store.Store
	spare *room.Ballast // of the database's disk
	keys  *seal.Keyring
	vault *secrets.Vault
	reach *outbound.Policy // of connections to the addresses that users give

	descriptors budget
}

func newCore(c Config, log *slog.Logger) *core {
	co := &core{cfg: c, dirs: dirs(c.DataDir), log: log, metrics: metrics.New(), loops: &loop.Set{}, clock: clock.New(nil)}
	co.descriptors = budgetOf(fileLimit(), c.Connections)
	return co
}

// watchDisk returns an error once it is not known what the disk has of the database, which
// ends this process. The next one reads what is there; instances run on meanwhile.
func (c *core) watchDisk(ctx context.Context) error {
	select {
	case <-c.store.Lost():
		return fmt.Errorf("%w; check the disk and start again: the instances run on", c.store.Sync())
	case <-ctx.Done():
		return nil
	}
}

// part returns a logger for a part of the program.
func (c *core) part(name string) *slog.Logger { return c.log.With("part", name) }

// lock makes the data directory, if there is none, and locks it.
func (c *core) lock() error {
	if err := c.dirs.make(); err != nil {
		return err
	}
	unlock, err := lockDir(c.dirs)
	if err != nil {
		return err
	}
	c.closers.add(unlock)
	return errors.Join(c.dirs.checkRestored(), store.SpareOf(c.dirs.database()).Finish())
}

// open opens the store and the keys.
func (c *core) open(ctx context.Context) (err error) {
	if c.reach, err = c.cfg.reach(); err != nil {
		return err
	}
	c.descriptors.tell(c.log)
	if err = c.openStore(ctx); err != nil {
		return err
	}
	if c.node, err = readNode(c.dirs.node()); err != nil {
		return err
	}
	file := cmp.Or(c.cfg.KeyFile, c.dirs.masterKey())
	if err = checkKeyOwner(file); err != nil {
		return err
	}
	c.keys, err = seal.Open(ctx, seal.Config{
		Store: c.store, File: file, Passphrase: c.cfg.KeyPassphrase, Log: c.part("keys"),
	})
	if err != nil {
		return err
	}
	c.vault = &secrets.Vault{Keys: c.keys, Region: c.cfg.Region, Account: c.cfg.Account}
	return c.metrics.Register(c.loops)
}

func (c *core) close() error { return c.closers.close() }

// node is who a process is in the store: leases and routers carry its id, so
// that its next process can free what this one leaves behind, and nobody
// else's.
type node struct {
	id    string
	isNew bool // no process had this id before
	file  string
}

// readNode returns the node of a data directory. A directory without one gets a
// new id, which node.keep writes.
func readNode(file string) (node, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return node{id: slipway.NewID(), isNew: true, file: file}, nil
	}
	if err != nil {
		return node{}, fmt.Errorf("read the node's id: %w", err)
	}
	id := string(bytes.TrimSpace(b))
	if id == "" {
		return node{}, fmt.Errorf("read the node's id: %s is empty", file)
	}
	return node{id: id, file: file}, nil
}

// keep writes the id for the next process.
func (n node) keep() error {
	if !n.isNew {
		return nil
	}
	return atomicfile.Write(n.file, []byte(n.id+"\n"), 0o600)
}
