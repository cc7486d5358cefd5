package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/atomicfile"
	"github.com/openslipway/slipway/internal/room"
	"github.com/openslipway/slipway/internal/store"
)

// identity is what a data directory knows of its database; see ADR 045.
type identity struct {
	id string // "": nothing
	// begun says that a database with this id is being made, and nothing is beside it yet.
	begun bool
}

var identityForm = regexp.MustCompile(`^([0-9a-f]{32})( begun)?\n$`)

func (i identity) String() string {
	if i.begun {
		return i.id + " begun\n"
	}
	return i.id + "\n"
}

// openStore opens the database, if it is the one of the data directory. One that is lost is
// not made anew in silence: the instances would be ended, and images and secrets lost with it.
func (c *core) openStore(ctx context.Context) error {
	use, err := c.dirs.identify(ctx, c.cfg.NewDatabase, c.log)
	if err != nil {
		return err
	}
	c.spare = &room.Ballast{Path: c.dirs.ballast()}
	if err = c.spare.Balance(); err != nil {
		return fmt.Errorf("hold room for the database: %w", err)
	}
	if c.store, err = store.Open(ctx, c.dirs.database()); err != nil {
		return err
	}
	c.store.HoldRoom(c.spare)
	c.store.OnDamage(func(row string, err error) {
		c.part("store").Error("a row of the database is damaged: passed over", "row", row, "err", err)
	})
	c.closers.add(c.store.Close)
	if err := c.store.Update(ctx, func(tx *store.Tx) (err error) { use.id, err = tx.DatabaseID(use.id); return err }); err != nil {
		return fmt.Errorf("give the database its id: %w", err)
	}
	use.begun = false
	return c.dirs.keepIdentity(use) // before anything is put beside the database
}

// identify returns the identity of the database that is to be opened, which may have to be
// made.
func (d dirs) identify(ctx context.Context, anew bool, log *slog.Logger) (use identity, err error) {
	known, err := d.readIdentity(anew)
	if err != nil {
		return use, err
	}
	has, err := store.Identify(ctx, d.database())
	if err != nil {
		return use, err
	}
	left, err := d.left(has)
	if err != nil {
		return use, err
	}
	use, err = decideIdentity(known, has, left, anew, slipway.NewID())
	if refused, ok := errors.AsType[*identityError](err); ok {
		refused.dir, refused.left = d, left
	}
	if err != nil {
		return use, err
	}
	switch {
	case anew && use == known:
		log.Warn("--new-database has no effect: the data directory has its database; leave the flag out")
	case anew:
		log.Warn("the data directory has another database from now on, as --new-database says", "id", use.id, "before", known.id)
	}
	if use.begun {
		return use, d.keepIdentity(use)
	}
	return use, nil
}

// decideIdentity decides which identity the database is to have: known is what the directory
// knows, has what the database's file has, and left what else is in the directory. anew says
// that another database than the known one is welcome. fresh is an id for a new one.
func decideIdentity(known identity, has store.Identity, left []string, anew bool, fresh string) (identity, error) {
	switch {
	case !has.Exists && known.begun: // it was interrupted
		return known, nil
	case !has.Exists && (anew || known.id == "" && len(left) == 0):
		return identity{fresh, true}, nil
	case !has.Exists:
		return identity{}, &identityError{what: has.Lack}
	case known.id == "" && has.ID == "": // of an earlier version
		return identity{id: fresh}, nil
	case known.id == "" || has.ID != known.id && anew && has.ID != "":
		return identity{id: has.ID}, nil
	case has.ID == "" || has.ID == known.id:
		// One without an id is of an earlier version: a server that was to take over has put
		// it back.
		return known, nil
	}
	return identity{}, &identityError{what: fmt.Sprintf("is another one: its id is %s, and the directory's is %s", has.ID, known.id)}
}

// identityError says that a data directory does not have its database.
type identityError struct {
	dir  dirs
	what string // is wrong with the database
	left []string
}

func (e *identityError) Error() string {
	at := ""
	if len(e.left) > 0 {
		at = " The directory has " + strings.Join(e.left, ", ") + "."
	}
	return fmt.Sprintf("the database %s %s.%s Nothing was changed, and instances run on. "+
		"Put the directory's database back, or restore a backup into another --data-dir (slipway restore FILE). "+
		"To go on with the database that is there, or a new one, start once with --new-database: what only the other one knew (services, secrets, users) is lost, and instances of its services are left alone until --remove-strays",
		e.dir.database(), e.what, at)
}

// readIdentity reads what the directory knows. A file that does not say is an error, unless
// any database is welcome.
func (d dirs) readIdentity(anew bool) (identity, error) {
	b, err := os.ReadFile(d.identity())
	if errors.Is(err, fs.ErrNotExist) {
		return identity{}, nil
	}
	if err != nil {
		return identity{}, fmt.Errorf("read the id of the data directory's database: %w", err)
	}
	m := identityForm.FindStringSubmatch(string(b))
	if m == nil && !anew {
		return identity{}, fmt.Errorf("read the id of the data directory's database: %s is damaged: it has %.80q. If the database is the right one, start once with --new-database, which writes the file again", d.identity(), b)
	}
	if m == nil {
		return identity{}, nil
	}
	return identity{m[1], m[2] != ""}, nil
}

// keepIdentity writes what the directory knows, unless the file says it already.
func (d dirs) keepIdentity(i identity) error {
	if have, err := os.ReadFile(d.identity()); err == nil && string(have) == i.String() {
		return nil
	}
	return atomicfile.Write(d.identity(), []byte(i.String()), 0o600)
}

// left lists what is in the directory that only a database gives a meaning to. A master key
// alone is none: it may have been put there for the first start.
func (d dirs) left(has store.Identity) (list []string, err error) {
	instances, err := entriesOf(filepath.Join(d.instances(), "instances"))
	if err != nil {
		return nil, err
	}
	if n := len(instances); n > 0 {
		list = append(list, fmt.Sprintf("%d instances", n))
	}
	for _, dir := range []string{"images/repositories", "images/images", "images/blobs/sha256", "uploads"} {
		entries, err := entriesOf(filepath.Join(string(d), dir))
		if err != nil {
			return nil, err
		}
		if len(entries) > 0 {
			list = append(list, dir)
		}
	}
	for _, file := range []string{d.credentials(), d.database() + "-wal", d.masterKey()} {
		info, err := os.Lstat(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("look at the data directory: %w", err)
		}
		if err != nil || !info.Mode().IsRegular() || info.Size() == 0 ||
			file == d.database()+"-wal" && has.Exists || file == d.masterKey() && len(list) == 0 {
			continue
		}
		list = append(list, filepath.Base(file))
	}
	return list, nil
}

// entriesOf returns the names in a directory; none if it does not exist.
func entriesOf(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at the data directory: %w", err)
	}
	defer f.Close()
	list, err := f.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("look at the data directory: %w", err)
	}
	return list, nil
}
