package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/atomicfile"
	"github.com/openslipway/slipway/internal/backup"
	"github.com/openslipway/slipway/internal/seal"
	"github.com/openslipway/slipway/internal/store"
)

// RestoreConfig is what RestoreBackup needs. All members but KeyFile and Passphrase are
// required.
type RestoreConfig struct {
	DataDir    string // missing or empty
	From       io.Reader
	Name       string // of From, for messages
	KeyFile    string // becomes the master key, also in place of the backup's
	Passphrase string // of the key file
	Progress   func(done, total int64)
}

// restoring is the directory in a data directory that a backup is extracted to. A server
// does not start beside it.
const restoring = ".restoring"

// RestoreBackup restores a backup into a data directory. It checks the whole backup, and
// that the master key, if there is one, opens the database's data keys, before anything
// is where a server reads it. If it fails, it leaves nothing.
func RestoreBackup(ctx context.Context, c RestoreConfig) (done Backup, err error) {
	r, err := openBackup(&watched{ctx: ctx, r: c.From, progress: func(int64) {}})
	if err != nil {
		return done, fmt.Errorf("restore %s: %w", c.Name, err)
	}
	d := dirs(c.DataDir)
	temp, undo, err := d.prepare(r.Header)
	if err != nil {
		return done, err
	}
	adopting := false
	defer func() { undo(err != nil && !adopting) }()
	done = Backup{Slipway: r.Header.Slipway, At: r.Header.At}
	err = r.Extract(temp, backupHas, func(n int64) {
		done.Files++
		done.Bytes += n
		c.Progress(done.Bytes, max(r.Header.Bytes, done.Bytes))
	})
	if err == nil {
		err = c.check(ctx, r.Header, temp, &done)
	}
	if ctx.Err() != nil {
		return done, context.Cause(ctx)
	}
	if err != nil {
		return done, fmt.Errorf("restore %s: %w", c.Name, err)
	}
	adopting = true
	return done, d.adopt(temp)
}

// check checks the database and the key of what was extracted to a directory.
func (c RestoreConfig) check(ctx context.Context, h backup.Header, dir string, done *Backup) error {
	database, keyPath := dirs(dir).database(), dirs(dir).masterKey()
	schema, err := store.Verify(ctx, database)
	if err != nil {
		return err
	}
	if schema != h.Schema {
		return fmt.Errorf("its database has version %d, and its header says %d: it is damaged. Take another one", schema, h.Schema)
	}
	keys, err := store.ReadDataKeys(ctx, database)
	if err != nil {
		return err
	}
	done.Master = newestMaster(keys)
	name := "the master key in the backup"
	if c.KeyFile != "" {
		name = c.KeyFile
		key, err := os.ReadFile(c.KeyFile)
		if err != nil {
			return fmt.Errorf("read the master key: %w", err)
		}
		if err := atomicfile.Write(keyPath, key, 0o600); err != nil {
			return err
		}
	}
	key, err := os.ReadFile(keyPath)
	if errors.Is(err, fs.ErrNotExist) && !h.Key {
		return nil
	}
	if err != nil {
		return err
	}
	done.Key = true
	return seal.Check(key, name, c.Passphrase, keys)
}

// newestMaster returns the public half of the master key that wraps data keys, the
// newest last.
func newestMaster(keys []slipway.DataKey) string {
	if len(keys) == 0 {
		return ""
	}
	return keys[len(keys)-1].Master
}

// openBackup reads the header and refuses a backup that this program can't use.
func openBackup(from io.Reader) (*backup.Reader, error) {
	r, err := backup.NewReader(from)
	if err != nil {
		return nil, err
	}
	knows, err := store.Schema()
	if err == nil && r.Header.Schema > knows {
		err = fmt.Errorf("it was written by slipway %.40q, whose database has version %d; this one knows versions up to %d. Restore it with that version or a later one",
			r.Header.Slipway, r.Header.Schema, knows)
	}
	return r, err
}

// prepare makes an empty data directory ready for a backup, and checks that its disk has
// room. It returns the directory to extract to. undo ends the work: after a failure
// nothing is left.
func (d dirs) prepare(h backup.Header) (temp string, undo func(failed bool), err error) {
	_, err = os.Lstat(string(d))
	made := errors.Is(err, fs.ErrNotExist)
	if err := d.make(); err != nil {
		return "", nil, err
	}
	f, err := os.Open(string(d))
	if err != nil {
		return "", nil, err
	}
	temp = filepath.Join(string(d), restoring)
	begun := false
	undo = func(failed bool) {
		if failed && begun {
			os.RemoveAll(temp)
		}
		if failed && made {
			os.Remove(string(d))
		}
		f.Close()
	}
	if err = tryLock(f); errors.Is(err, errLocked) {
		err = fmt.Errorf("another backup is being restored into %s", d)
	}
	if err == nil {
		err = d.isFree()
	}
	if err == nil { // before the second look: a server that starts now sees it, or is seen
		begun = true
		err = errors.Join(os.RemoveAll(temp), os.Mkdir(temp, 0o700))
	}
	if err == nil {
		err = d.isFree()
	}
	if err == nil {
		err = checkRoom(string(d), h)
	}
	if err != nil {
		undo(true)
		return "", nil, err
	}
	return temp, undo, nil
}

// isFree refuses a directory with anything but what is extracted, or was by a
// restoration that was killed before it put anything in its place.
func (d dirs) isFree() error {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != restoring {
			return fmt.Errorf("%s is not empty: it has %s. A backup is restored into a directory of its own; choose another --data-dir, or move what is there away", d, e.Name())
		}
	}
	return nil
}

// adopt moves what was extracted to its place, once it has reached the disk. The last
// thing to go is the directory that keeps a server from starting.
func (d dirs) adopt(temp string) error {
	f, err := os.Open(temp)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil { // far faster than a sync of each file
		return os.NewSyscallError("syncfs", err)
	}
	entries, err := f.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Rename(filepath.Join(temp, e.Name()), filepath.Join(string(d), e.Name())); err != nil {
			return err
		}
	}
	if err := atomicfile.SyncDir(string(d)); err != nil {
		return err
	}
	if err := os.Remove(temp); err != nil { // from now on a server may start
		return err
	}
	return atomicfile.SyncDir(string(d))
}

// checkRestored refuses a directory whose restoration did not end.
func (d dirs) checkRestored() error {
	if _, err := os.Lstat(filepath.Join(string(d), restoring)); err == nil {
		return fmt.Errorf("the restoration of a backup into %s did not end: empty the directory and run slipway restore again", d)
	}
	return nil
}
