package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openslipway/slipway/internal/runtime/embedded"
	"github.com/openslipway/slipway/internal/runtime/embedded/egress"
)

// uninstallGrace is how long an instance has to end by itself.
const uninstallGrace = 10 * time.Second

// Leftovers is what servers of a data directory have on a host. Nobody else may use the
// directory until Close.
type Leftovers struct {
	Instances int // that are known, alive or ended

	dirs   dirs
	log    *slog.Logger
	unlock func() error

	driver  *embedded.Driver
	stop    context.CancelFunc
	running chan error
	network *egress.Network // nil if none was ever made
}

// noImages stands for an image store where nothing is started.
type noImages struct{}

func (noImages) Layers(context.Context, string) ([]string, error) {
	return nil, errors.New("nothing is started here")
}

// OpenLeftovers finds what servers of a data directory have left on this host. It fails
// for a directory of something else, and while a server runs there. It does not open the
// database, which may be damaged.
func OpenLeftovers(ctx context.Context, dataDir string, log *slog.Logger) (*Leftovers, error) {
	d := dirs(dataDir)
	if err := d.check(); err != nil {
		return nil, err
	}
	unlock, err := lockDir(d)
	if err != nil {
		return nil, err
	}
	l := &Leftovers{dirs: d, log: log, unlock: unlock, running: make(chan error, 1)}
	if err := l.open(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// check refuses a directory that no server has made: it is about to be removed.
func (d dirs) check() error {
	info, err := os.Stat(string(d))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no data directory %s", d)
	case err != nil:
		return fmt.Errorf("look at the data directory: %w", err)
	case !info.IsDir():
		return fmt.Errorf("%s is no directory", d)
	}
	if !isFile(d.lock()) {
		return fmt.Errorf("%s is no data directory of a server: it has no file %s", d, filepath.Base(d.lock()))
	}
	if !isFile(d.database()) && !isFile(d.identity()) { // a database that is lost is no reason to stay
		return fmt.Errorf("%s is no data directory of a server: it has no file %s", d, filepath.Base(d.database()))
	}
	return nil
}

func isFile(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular()
}

func (l *Leftovers) open(ctx context.Context) error {
	if b, err := os.ReadFile(l.dirs.network()); err == nil {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(string(b)))
		if err != nil {
			return fmt.Errorf("read the network in %s: %w", l.dirs.network(), err)
		}
		if l.network, err = egress.New(egress.Config{Name: networkName(l.dirs), Prefix: prefix, Log: l.log}); err != nil {
			return err
		}
	}
	var err error
	// Without the network: the driver need not detach from what is removed as a whole.
	l.driver, err = embedded.New(embedded.Config{
		Dir: l.dirs.instances(), Images: noImages{}, LayerDir: l.dirs.images(), Log: l.log, Pool: -1, SelfInit: true, Claims: claimsDir,
	})
	if err != nil {
		return err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	go func() { l.running <- l.driver.Run(run) }()
	list, err := l.driver.List(ctx) // waits until the driver runs
	if err != nil {
		return errors.Join(err, l.end())
	}
	l.Instances = len(list)
	return nil
}

// Remove ends all instances and removes what servers made on the host: processes,
// mounts, control groups, links, addresses and rules. It may be called again.
func (l *Leftovers) Remove(ctx context.Context) error {
	list, err := l.driver.List(ctx)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(32)
	for _, o := range list {
		g.Go(func() error { return l.driver.Remove(gctx, o.ID, uninstallGrace) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("end the instances: %w", err)
	}
	if err := l.end(); err != nil {
		return fmt.Errorf("remove the sandboxes: %w", err)
	}
	if l.network == nil {
		return nil
	}
	return l.network.Teardown(ctx)
}

// RemoveData removes the data directory. Remove comes before it: files are not removed
// through mounts that are still there.
func (l *Leftovers) RemoveData() error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("read the mounts: %w", err)
	}
	for line := range bytes.Lines(mounts) {
		if f := strings.Fields(string(line)); len(f) > 4 && strings.HasPrefix(f[4], string(l.dirs)+"/") {
			return fmt.Errorf("%s is still mounted; unmount it and try again", f[4])
		}
	}
	if err := os.RemoveAll(string(l.dirs)); err != nil {
		return fmt.Errorf("remove the data directory: %w", err)
	}
	return nil
}

// end stops the driver, which removes what it has not removed yet.
func (l *Leftovers) end() error {
	if l.stop == nil {
		return nil
	}
	l.stop()
	l.stop = nil
	return <-l.running
}

// Close lets go of the directory.
func (l *Leftovers) Close() error { return errors.Join(l.end(), l.unlock()) }
