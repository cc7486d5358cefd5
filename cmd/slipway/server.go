package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"golang.org/x/sync/errgroup"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/audit"
	"github.com/openslipway/slipway/internal/cloudwatch"
	"github.com/openslipway/slipway/internal/codehost"
	"github.com/openslipway/slipway/internal/deploy"
	"github.com/openslipway/slipway/internal/domain"
	"github.com/openslipway/slipway/internal/ecr"
	"github.com/openslipway/slipway/internal/fleet"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/hooks"
	"github.com/openslipway/slipway/internal/iam"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/ingress"
	"github.com/openslipway/slipway/internal/logs"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/masterkey"
	"github.com/openslipway/slipway/internal/metrics"
	"github.com/openslipway/slipway/internal/operation"
	"github.com/openslipway/slipway/internal/registry"
	"github.com/openslipway/slipway/internal/router"
	"github.com/openslipway/slipway/internal/router/proxy"
	"github.com/openslipway/slipway/internal/runtime/embedded"
	"github.com/openslipway/slipway/internal/runtime/embedded/egress"
	"github.com/openslipway/slipway/internal/scale"
	"github.com/openslipway/slipway/internal/seal"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/secretsmanager"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/ssm"
	"github.com/openslipway/slipway/internal/store"
)

// serve runs a server until ctx ends.
func serve(ctx context.Context, c serveConfig, log *slog.Logger) error {
	// Whoever reads the log may go, a journal that restarts for instance: then
	// writing it fails, which by default would end the server. What it starts
	// keeps that default, as it would not if the signal were ignored.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	s, err := newServer(ctx, c, log)
	if err != nil {
		return err
	}
	defer s.close()
	return s.run(ctx)
}

// server is all parts of a server, wired together.
type server struct {
	cfg    serveConfig
	dirs   dirs
	log    *slog.Logger
	closer []func() error // in the order of opening

	apiListener, httpListener net.Listener
	serving                   atomic.Bool   // everything is up
	up                        chan struct{} // closed then

	store     *store.Store
	keys      *seal.Keyring
	secrets   *secrets.Reader
	images    *image.Store
	logs      *logs.Store
	collector *logs.Collector
	driver    *embedded.Driver
	egress    *egress.Network // nil: instances are isolated
	fleet     *fleet.Fleet
	router    *router.Router
	proxy     *proxy.Proxy
	scale     *scale.Scaler
	engine    *operation.Engine
	auto      *deploy.Auto
	domains   *domain.Reconciler
	ingress   *ingress.Ingress
	hooks     *hooks.Hooks
	gateway   *gateway.Gateway
	trail     *audit.Trail
	ecr       *ecr.ECR
	tokens    *ecr.Tokens
	loops     *loop.Set
	counts    counts
	metrics   *metrics.Registry
}

// runner is a part that works until its context ends.
type runner interface {
	Run(ctx context.Context) error
}

// newServer opens and wires everything and starts nothing.
func newServer(ctx context.Context, c serveConfig, log *slog.Logger) (*server, error) {
	s := &server{cfg: c, dirs: dirs(c.DataDir), log: log, metrics: metrics.New(), counts: newCounts(), loops: &loop.Set{}, up: make(chan struct{})}
	if err := s.open(ctx); err != nil {
		s.close()
		return nil, err
	}
	if err := s.observe(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// open opens and wires the parts. After an error close closes those that it
// came to.
func (s *server) open(ctx context.Context) error {
	if err := s.dirs.make(); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{
		s.lockData, s.openStore, s.openKeys, s.listen, s.openImages, s.openLogs, s.openRuntime, s.wireTraffic, s.wireDomains, s.wireOperations, s.wireAPI,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// close closes what newServer opened, last things first.
func (s *server) close() {
	for i := len(s.closer) - 1; i >= 0; i-- {
		if err := s.closer[i](); err != nil && !errors.Is(err, net.ErrClosed) {
			s.log.Warn("close", "err", err)
		}
	}
	s.closer = nil
}

func (s *server) onClose(f func() error) { s.closer = append(s.closer, f) }

func (s *server) lockData(context.Context) error {
	unlock, err := lockDir(s.dirs)
	if err == nil {
		s.onClose(unlock)
	}
	return err
}

// openStore opens the database. Whoever held leases or routed before is dead:
// this process has the directory to itself.
func (s *server) openStore(ctx context.Context) (err error) {
	if s.store, err = store.Open(ctx, s.dirs.database()); err != nil {
		return err
	}
	s.onClose(s.store.Close)
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.ReleaseLeases(), tx.ForgetRouters(time.Time{}))
	})
	if err != nil {
		return fmt.Errorf("take over from the last server: %w", err)
	}
	return nil
}

// openKeys opens what secrets are sealed with and what reads them, and makes the
// first access key.
func (s *server) openKeys(ctx context.Context) (err error) {
	s.keys, err = seal.Open(ctx, seal.Config{
		Store: s.store, File: cmp.Or(s.cfg.KeyFile, s.dirs.masterKey()), Passphrase: s.cfg.KeyPassphrase, Log: s.log.With("part", "keys"),
	})
	if err != nil {
		return err
	}
	s.secrets = &secrets.Reader{Store: s.store, Vault: &secrets.Vault{Keys: s.keys, Region: s.cfg.Region, Account: s.cfg.Account}}
	if s.cfg.AWSSecrets {
		conf, err := config.LoadDefaultConfig(ctx, config.WithRegion(s.cfg.Region))
		if err != nil {
			return fmt.Errorf("--aws-secrets: read the AWS configuration: %w", err)
		}
		s.secrets.AWS = secrets.AWS{Config: conf}
	}
	return ensureRootKey(ctx, s.store, s.accessKeys(), s.dirs.credentials(), s.cfg.Region)
}

// accessKeys seals the secrets of access keys.
func (s *server) accessKeys() iam.Keys { return iam.Keys{Vault: s.keys} }

func (s *server) listen(ctx context.Context) error {
	for _, l := range []struct {
		to   *net.Listener
		flag string
		addr string
	}{{&s.apiListener, "api-addr", s.cfg.APIAddr}, {&s.httpListener, "http-addr", s.cfg.HTTPAddr}} {
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, "tcp", l.addr)
		if err != nil {
			return fmt.Errorf("listen at --%s: %w", l.flag, err)
		}
		*l.to = ln
		s.onClose(ln.Close)
	}
	return nil
}

func (s *server) openImages(context.Context) (err error) {
	cfg := image.Config{
		Dir: s.dirs.images(), Log: s.log.With("part", "images"), Insecure: s.cfg.Insecure,
		LocalHosts: s.registryHosts,
		Immutable:  func(repository, tag string) (bool, error) { return ecr.Immutable(s.store, repository, tag) },
	}
	for _, a := range s.cfg.Aliases {
		from, to, ok := strings.Cut(a, "=")
		if !ok || from == "" || to == "" {
			return fmt.Errorf("--alias is %q; it must be from=to", a)
		}
		cfg.Aliases = append(cfg.Aliases, image.Alias{From: from, To: to})
	}
	if s.images, err = image.Open(cfg); err != nil {
		return err
	}
	s.onClose(s.images.Close)
	return nil
}

// registryHosts are the names under which clients on this machine write our
// registry.
func (s *server) registryHosts() []string {
	hosts := []string{s.apiListener.Addr().String(), reachable(s.apiListener.Addr()), s.cfg.APIAddr}
	if _, port, err := net.SplitHostPort(s.apiListener.Addr().String()); err == nil {
		hosts = append(hosts, net.JoinHostPort("localhost", port), net.JoinHostPort("127.0.0.1", port))
	}
	return hosts
}

func (s *server) openLogs(context.Context) (err error) {
	s.logs, err = logs.New(logs.Config{Dir: s.dirs.logs(), Log: s.log.With("part", "logs")})
	return err
}

func (s *server) openRuntime(ctx context.Context) (err error) {
	cfg := embedded.Config{
		Dir: s.dirs.instances(), Images: s.images, LayerDir: s.dirs.images(), Log: s.log.With("part", "runtime"), Pool: s.cfg.Warm,
		SelfInit: true, // see main
	}
	if s.cfg.Warm == 0 {
		cfg.Pool = -1
	}
	if !s.cfg.Isolated {
		if s.egress, err = s.openEgress(ctx); err != nil {
			return err
		}
		if s.egress != nil {
			cfg.Egress = s.egress
		}
	}
	if cfg.Collectors, err = s.cfg.collectors(); err != nil {
		return err
	}
	if s.driver, err = embedded.New(cfg); err != nil {
		return err
	}
	s.collector = logs.NewCollector(s.logs, s.driver, s.log.With("part", "logs"))
	return nil
}

// wireTraffic wires what looks after instances and takes requests to them.
func (s *server) wireTraffic(context.Context) (err error) {
	var trusted []netip.Prefix
	for _, p := range s.cfg.Trusted {
		prefix, err := netip.ParsePrefix(p)
		if err != nil {
			return fmt.Errorf("--trusted-proxy is %q; it must be a prefix like 10.0.0.0/8", p)
		}
		trusted = append(trusted, prefix)
	}
	s.fleet, err = fleet.New(fleet.Config{
		Environment: func(r slipway.Release) ([]string, error) { return secrets.Environment(s.keys, r) },
		Store:       s.store, Driver: s.driver, Logs: s.collector, Log: s.log.With("part", "fleet"),
	})
	if err != nil {
		return err
	}
	s.router, err = router.New(router.Config{
		Store: s.store, Log: s.log.With("part", "router"), Loops: s.loops, Suffix: s.cfg.Region + "." + s.cfg.Domain,
		OnWait: func(id string) { s.scale.Nudge(id) },
	})
	if err != nil {
		return err
	}
	s.proxy, err = proxy.New(proxy.Config{Router: s.router, Dialer: s.driver, Log: s.log.With("part", "router"), Trusted: trusted})
	if err != nil {
		return err
	}
	s.ingress, err = ingress.New(ingress.Config{
		Store: s.store, Endpoints: s.cfg.Endpoints, Log: s.log.With("part", "ingress"), Loops: s.loops,
		Serve: func(ctx context.Context, l net.Listener, endpoint string) error {
			return s.proxy.Serve(ctx, l, router.Listener{ID: endpoint})
		},
	})
	if err != nil {
		return err
	}
	s.scale, err = scale.New(scale.Config{Store: s.store, Demand: s.router, Log: s.log.With("part", "scale")})
	return err
}

// wireDomains wires what proves custom domains.
func (s *server) wireDomains(context.Context) error {
	servers, err := nameServers("dns-resolver", s.cfg.DNS)
	if err != nil {
		return err
	}
	dns := domain.DNS{File: "/etc/resolv.conf"}
	for _, at := range servers {
		dns.Servers = append(dns.Servers, at.String())
	}
	s.domains, err = domain.New(domain.Config{
		Store: s.store, Resolver: dns, Trusted: s.cfg.TrustedDomains, Log: s.log.With("part", "domains"), Loops: s.loops,
	})
	return err
}

func (s *server) wireOperations(context.Context) error {
	plans, err := deploy.New(deploy.Config{
		Store: s.store, Resolver: source.Resolver{Images: s.images}, Secrets: s.secrets, Region: s.cfg.Region,
		Tracing: s.cfg.OTLPEndpoint != "", HealthLimit: s.cfg.HealthLimit, Log: s.log.With("part", "deploy"),
	})
	if err != nil {
		return err
	}
	s.engine, err = operation.New(operation.Config{
		Store: s.store, Plan: plans.Plan, Owner: slipway.NewID(), Log: s.log.With("part", "operation"),
	})
	if err != nil {
		return err
	}
	s.auto = deploy.NewAuto(s.store, s.images.Local, s.log.With("part", "deploy"))
	s.hooks, err = hooks.New(hooks.Config{
		Store: s.store, Keys: s.keys, Log: s.log.With("part", "hooks"), Observe: s.counts.attempt,
	})
	return err
}

// wireAPI wires the endpoint with every AWS service that it speaks.
func (s *server) wireAPI(ctx context.Context) error {
	quotas, err := parseQuotas(s.cfg.Quotas)
	if err != nil {
		return err
	}
	hosts, err := codehost.New(codehost.Config{GitHub: s.cfg.GitHub, Bitbucket: s.cfg.Bitbucket})
	if err != nil {
		return err
	}
	apprunner, err := api.New(api.Config{
		Store: s.store, Region: s.cfg.Region, Account: s.cfg.Account, Domain: s.cfg.Domain,
		URLPort: s.httpListener.Addr().(*net.TCPAddr).Port, Quotas: quotas, Networks: s.cfg.Networks.subnets(), EndpointPort: s.ingress.Port,
		Provider: hosts, Vault: s.keys,
	})
	if err != nil {
		return err
	}
	logs, err := cloudwatch.New(cloudwatch.Config{
		Store: s.store, Region: s.cfg.Region, Account: s.cfg.Account, Output: applicationLogs{s.logs},
	})
	if err != nil {
		return err
	}
	webhooks, err := hooks.NewAPI(hooks.APIConfig{Store: s.store, Keys: s.keys, Region: s.cfg.Region, Account: s.cfg.Account})
	if err != nil {
		return err
	}
	if err := s.wireECR(); err != nil {
		return err
	}
	identities, err := iam.New(iam.Config{Store: s.store, Account: s.cfg.Account, Keys: s.accessKeys()})
	if err != nil {
		return err
	}
	kept, err := s.secretServices()
	if err != nil {
		return err
	}
	s.trail, err = audit.New(audit.Config{Store: s.store, Region: s.cfg.Region, Account: s.cfg.Account, Log: s.log.With("part", "audit")})
	if err != nil {
		return err
	}
	s.gateway, err = gateway.New(gateway.Config{
		Store: s.store, Region: s.cfg.Region, Account: s.cfg.Account,
		Services: append([]gateway.Service{
			apprunner.Service(), logs.Service(), webhooks.Service(), identities.Service(), identities.STS(), s.trail.Service(), s.ecr.Service(),
		}, kept...),
		Policies: identities.Policies, Unseal: s.accessKeys().Unseal, Audit: s.trail,
		Log: s.log.With("part", "api"), Observe: s.counts.call,
	})
	if err != nil {
		return err
	}
	return apprunner.Bootstrap(ctx)
}

// secretServices are the services that keep secrets, and the operations on the
// key they are kept under.
func (s *server) secretServices() ([]gateway.Service, error) {
	manager, err := secretsmanager.New(secretsmanager.Config{Store: s.store, Vault: s.secrets.Vault})
	if err != nil {
		return nil, err
	}
	parameters, err := ssm.New(ssm.Config{Store: s.store, Vault: s.secrets.Vault})
	if err != nil {
		return nil, err
	}
	return []gateway.Service{manager.Service(), parameters.Service(), masterkey.Service(s.keys)}, nil
}

// wireECR wires the calls about the registry's images, and the tokens that log in there.
func (s *server) wireECR() (err error) {
	s.tokens = &ecr.Tokens{Caller: func(ctx context.Context, id string) (gateway.Caller, gateway.Key, bool, error) {
		return s.gateway.Caller(ctx, id)
	}}
	s.ecr, err = ecr.New(ecr.Config{
		Store: s.store, Images: s.images, Tokens: s.tokens, Region: s.cfg.Region, Account: s.cfg.Account,
		Endpoint: "http://" + reachable(s.apiListener.Addr()), Pushed: s.pushed,
	})
	return err
}

// registryHandler is our image registry. Access keys are its users, and policies
// for ECR's actions hold.
func (s *server) registryHandler() (http.Handler, error) {
	users := authenticator{s.gateway, s.tokens, s.ecr.ARN}
	return registry.New(registry.Config{
		Images: s.images, Log: s.log.With("part", "registry"),
		Authenticate: users.check, Permit: users.permit,
		Pushed: s.pushed,
	})
}

// pushed deploys to the services that follow a tag which has a new image.
func (s *server) pushed(ctx context.Context, repository, tag, _ string) error {
	return s.auto.Pushed(ctx, repository, tag)
}

// run runs every part until ctx ends or one of them fails. The order of ending
// is that of need: first nothing new is let in, then what is in flight ends,
// and the loops last.
func (s *server) run(ctx context.Context) error {
	loops, stopLoops := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLoops()
	inner, inside := errgroup.WithContext(loops)
	parts := []runner{s.driver, s.logs, s.collector, s.fleet, s.router, s.scale, s.engine, s.auto, s.domains, s.hooks, s.trail}
	if s.egress != nil {
		parts = append(parts, s.egress)
	}
	for _, p := range parts {
		inner.Go(func() error { return p.Run(inside) })
	}
	keep := keeper{s.store, s.images, s.ecr, s.logs, s.loops, s.log.With("part", "keeper")}
	inner.Go(func() error { return keep.run(inside) })
	inner.Go(func() error { s.shrink(inside); return nil })

	front, fctx := errgroup.WithContext(ctx)
	front.Go(func() error { return s.serveAPI(fctx) })
	front.Go(func() error { return s.proxy.Serve(fctx, s.httpListener, router.Listener{}) })
	front.Go(func() error { return s.ingress.Run(fctx) })
	front.Go(func() error { return s.announce(fctx) })
	front.Go(func() error { // a part that fails ends the server
		select {
		case <-inside.Done():
			return context.Cause(inside)
		case <-fctx.Done():
			return nil
		}
	})
	err := front.Wait()
	idle := s.idle()
	stopLoops()
	// A part that failed is why the front did, whatever that says.
	if ierr := inner.Wait(); ierr != nil && !errors.Is(ierr, context.Canceled) || err == nil || errors.Is(err, context.Canceled) {
		err = ierr
	}
	if idle && s.egress != nil {
		if terr := s.egress.Teardown(context.WithoutCancel(ctx)); terr != nil {
			s.log.Warn("the instances' network could not be taken back", "err", terr)
		}
	}
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		s.log.Info("server ended; instances run on")
		return nil
	}
	return err
}

// idle reports whether no instance is left that needs what outlives the
// process.
func (s *server) idle() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	list, err := s.driver.List(ctx)
	return err == nil && len(list) == 0
}

// shrink gives back, once the server has served for a moment, the memory that
// only its start took: the Go runtime would keep most of it for minutes, and
// some for ever.
func (s *server) shrink(ctx context.Context) {
	select {
	case <-s.up:
	case <-ctx.Done():
		return
	}
	select {
	case <-time.After(5 * time.Second):
		debug.FreeOSMemory()
	case <-ctx.Done():
	}
}

// announce says where the server is once it serves.
func (s *server) announce(ctx context.Context) error {
	if _, err := s.driver.List(ctx); err != nil { // waits until the driver runs
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	select {
	case <-s.ingress.Ready():
	case <-ctx.Done():
		return nil
	}
	s.serving.Store(true)
	close(s.up)
	r := newReady(s.apiListener.Addr(), s.httpListener.Addr(), s.dirs)
	for id, addr := range s.ingress.Addrs() {
		r.Endpoints[id] = reachable(addr)
	}
	s.log.Info("serving", "api", r.API, "http", r.HTTP, "credentials", r.Credentials)
	if s.cfg.ReadyFile == "" {
		return nil
	}
	return r.write(s.cfg.ReadyFile)
}
