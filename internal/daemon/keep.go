package daemon

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/openslipway/slipway/internal/dirwatch"
	"github.com/openslipway/slipway/internal/takeover"
)

// keepDirs has the directories of the data directory there while the server runs: scripts
// that clean up remove empty ones.
func (d *Daemon) keepDirs(ctx context.Context) error {
	return dirwatch.Keep(ctx, d.workDirs(), d.core.log)
}

// workDirs are the directories that are needed at any time. Those of git are made anew for
// each use, and there is none before the first.
func (d *Daemon) workDirs() []string {
	own := d.core.dirs
	return slices.Concat([]string{own.logs(), own.source()}, d.node.images.Dirs(), d.node.driver.Dirs(),
		d.control.uploads.Dirs(), d.control.builder.Dirs(), d.control.runtimes.Dirs())
}

// keepDoor opens the socket for the next server again if somebody removes it: until then
// `slipway upgrade` finds nobody.
func (d *Daemon) keepDoor(ctx context.Context) error {
	select {
	case <-d.up:
	case <-ctx.Done():
		return nil
	}
	dir := string(d.core.dirs)
	return dirwatch.Watch(ctx, []string{dir}, func(_, name string) {
		if name != "" && name != takeover.SocketName {
			return
		}
		if _, err := os.Lstat(filepath.Join(dir, takeover.SocketName)); !errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err := d.reopenDoor(ctx); err != nil {
			d.core.log.Error("the socket for the next server was removed and cannot be opened again", "err", err)
			return
		}
		d.core.log.Warn("the socket for the next server was removed: opened it again")
	})
}

// reopenDoor opens the door again, unless the server ends.
func (d *Daemon) reopenDoor(ctx context.Context) error {
	d.doorway.Lock()
	defer d.doorway.Unlock()
	if d.door == nil || ctx.Err() != nil {
		return nil
	}
	before := d.door
	if err := d.listenAtDoor(); err != nil {
		return err
	}
	return before.Leave()
}
