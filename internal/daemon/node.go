package daemon

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/ecr"
	"github.com/openslipway/slipway/internal/fleet"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/logs"
	"github.com/openslipway/slipway/internal/metrics"
	"github.com/openslipway/slipway/internal/runtime/embedded"
	"github.com/openslipway/slipway/internal/runtime/embedded/egress"
	"github.com/openslipway/slipway/internal/secrets"
)

// claimsDir is where the servers of a machine claim the ids of their sandboxes. Claims end
// with the boot, as sandboxes do.
const claimsDir = "/run/slipway/ids"

// nodeRole runs instances on this machine: their images, sandboxes, network and
// output.
type nodeRole struct {
	*core
	listeners *listeners // whose registry is local
	closers   closers

	images    *image.Store
	logs      *logs.Store
	collector *logs.Collector
	access    *logs.Access
	egress    *egress.Network // nil: instances are isolated
	driver    *embedded.Driver
	fleet     *fleet.Fleet
}

func (n *nodeRole) open(ctx context.Context) error {
	for _, step := range []func(context.Context) error{n.openImages, n.openLogs, n.openRuntime, n.openFleet} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return n.metrics.Register(&metrics.Func{
		Desc: metrics.Desc{
			Name: "slipway_log_lines_dropped_total", Kind: metrics.KindCounter,
			Help: "Lines of application output that could not be written.",
		},
		Read: func() float64 { return float64(n.collector.Dropped()) },
	}, &metrics.Func{
		Desc: metrics.Desc{
			Name: "slipway_access_log_lines_dropped_total", Kind: metrics.KindCounter,
			Help: "Lines of access logs that were dropped: they came faster than they are written, or could not be written.",
		},
		Read: func() float64 { return float64(n.access.Dropped()) },
	}, usage{n.driver}, promised{n.driver})
}

func (n *nodeRole) openImages(context.Context) (err error) {
	known := names{n.store}
	cfg := image.Config{
		DockerHub: n.cfg.DockerHub, Created: known.created, Borne: known.borne,
		Dir: n.dirs.images(), Log: n.part("images"), Insecure: n.cfg.Insecure, Reach: n.reach,
		LocalHosts: func() []string { return n.listeners.registryHosts(n.cfg.APIAddr, n.cfg.apiNames()) },
		Immutable:  func(repository, tag string) (bool, error) { return ecr.Immutable(n.store, repository, tag) },
	}
	for _, a := range n.cfg.Aliases {
		from, to, ok := strings.Cut(a, "=")
		if !ok || from == "" || to == "" {
			return fmt.Errorf("--alias is %q; it must be from=to", a)
		}
		cfg.Aliases = append(cfg.Aliases, image.Alias{From: from, To: to})
	}
	if n.images, err = image.Open(cfg); err != nil {
		return err
	}
	n.closers.add(n.images.Close)
	return nil
}

func (n *nodeRole) openLogs(context.Context) (err error) {
	if n.logs, err = logs.New(logs.Config{Dir: n.dirs.logs(), Log: n.part("logs"), Trusted: n.clock.Trusted}); err != nil {
		return err
	}
	n.access = logs.NewAccess(n.logs, n.part("logs"))
	return nil
}

func (n *nodeRole) openRuntime(ctx context.Context) (err error) {
	cfg := embedded.Config{
		Dir: n.dirs.instances(), Images: n.images, LayerDir: n.dirs.images(), Log: n.part("runtime"), Pool: n.cfg.Warm,
		Overcommit: n.cfg.DiskOvercommit, SelfInit: n.cfg.SelfInit, Claims: claimsDir, Rates: n.cfg.IO.rates(), Profile: n.cfg.AppArmor,
	}
	if n.cfg.Warm == 0 {
		cfg.Pool = -1
	}
	if !n.cfg.Isolated {
		if n.egress, err = openEgress(ctx, n.core); err != nil {
			return err
		}
		if n.egress != nil {
			cfg.Egress = n.egress
		}
	}
	if cfg.Collectors, err = n.cfg.collectors(); err != nil {
		return err
	}
	if n.driver, err = embedded.New(cfg); err != nil {
		return err
	}
	n.collector = logs.NewCollector(n.logs, n.driver, n.part("logs"))
	return nil
}

// rates are the limits in the driver's units.
func (i IO) rates() embedded.Rates {
	return embedded.Rates{ReadBytes: i.Read << 20, WriteBytes: i.Write << 20, ReadOps: i.ReadOps, WriteOps: i.WriteOps}
}

func (n *nodeRole) openFleet(context.Context) (err error) {
	n.fleet, err = fleet.New(fleet.Config{
		Environment: func(r slipway.Release) ([]string, error) { return secrets.Environment(n.keys, r) },
		Store:       n.store, Driver: n.driver, Logs: n.collector, Log: n.part("fleet"), Loops: n.loops, RemoveStrays: n.cfg.RemoveStrays,
	})
	return err
}

func (n *nodeRole) parts() []runner {
	parts := []runner{n.driver, n.logs, n.collector, n.access, n.fleet}
	if n.egress != nil {
		parts = append(parts, n.egress)
	}
	return parts
}

func (n *nodeRole) close() error { return n.closers.close() }

// idle reports whether no instance is left that needs what outlives the
// process.
func (n *nodeRole) idle() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	list, err := n.driver.List(ctx)
	if err != nil { // it did not get to serve
		return !n.dirs.hasInstances()
	}
	return len(list) == 0
}

// tearDown removes the instances' network from the host.
func (n *nodeRole) tearDown(ctx context.Context) {
	if n.egress == nil {
		return
	}
	if err := n.egress.Teardown(context.WithoutCancel(ctx)); err != nil {
		n.log.Warn("the instances' network could not be removed", "err", err)
	}
}
