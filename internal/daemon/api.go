package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/audit"
	"github.com/openslipway/slipway/internal/builds"
	"github.com/openslipway/slipway/internal/checks"
	"github.com/openslipway/slipway/internal/cloudwatch"
	"github.com/openslipway/slipway/internal/codehost"
	"github.com/openslipway/slipway/internal/ecr"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/awshttp"
	"github.com/openslipway/slipway/internal/health"
	"github.com/openslipway/slipway/internal/hooks"
	"github.com/openslipway/slipway/internal/httpdrain"
	"github.com/openslipway/slipway/internal/httplimit"
	"github.com/openslipway/slipway/internal/iam"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/logs"
	"github.com/openslipway/slipway/internal/masterkey"
	"github.com/openslipway/slipway/internal/pushhook"
	"github.com/openslipway/slipway/internal/registry"
	"github.com/openslipway/slipway/internal/router"
	"github.com/openslipway/slipway/internal/secretsmanager"
	"github.com/openslipway/slipway/internal/ssm"
	"github.com/openslipway/slipway/internal/uploads"
)

// apiRole answers AWS's calls, the registry's clients and /healthz, and at another address
// /metrics.
type apiRole struct {
	*core
	listeners       *listeners
	images          *image.Store
	logs            *logs.Store
	pushed          func(ctx context.Context, repository, tag, digest string) error // a tag has a new image
	checkRepository func(url string) error                                          // of code
	gitPushed       func(ctx context.Context, p slipway.Push) (services int, err error)
	endpointPort    func(endpoint string) int // of an open VPC endpoint
	uploads         *uploads.Uploads
	checks          *checks.Checks
	builds          *builds.Builds
	start           chan struct{} // closed when calls may be answered
	health          *health.Health
	usage           func(context.Context) map[string]api.Usage // of instances
	traffic         func(serviceID string) (api.Traffic, bool) // of services
	explain         func(serviceID string) api.DescribeScalingOutput
	sleep           func(serviceID string) (router.Sleep, bool)
	tls             func() *tls.Config                      // of the API, if it speaks TLS
	authority       func() []byte                           // the local certificate authority's certificate as PEM; nil without one
	await           func(ctx context.Context, routes int64) // until requests meet that version of them

	trail   *audit.Trail
	tokens  *ecr.Tokens
	ecr     *ecr.ECR
	gateway *gateway.Gateway
}

func (a *apiRole) open(ctx context.Context) error {
	keys := a.accessKeys()
	if err := ensureRootKey(ctx, a.store, keys, a.dirs.credentials(), a.cfg.Region); err != nil {
		return err
	}
	apprunner, err := a.appRunner()
	if err != nil {
		return err
	}
	if err := a.openECR(); err != nil {
		return err
	}
	identities, err := iam.New(iam.Config{Store: a.store, Account: a.cfg.Account, Keys: keys})
	if err != nil {
		return err
	}
	a.trail, err = audit.New(audit.Config{Store: a.store, Region: a.cfg.Region, Account: a.cfg.Account, Log: a.part("audit")})
	if err != nil {
		return err
	}
	others, err := a.otherServices()
	if err != nil {
		return err
	}
	calls := newCallMetrics()
	a.gateway, err = gateway.New(gateway.Config{
		Store: a.store, Region: a.cfg.Region, Account: a.cfg.Account,
		Services: append([]gateway.Service{
			apprunner.Service(), identities.Service(), identities.STS(), a.trail.Service(), a.ecr.Service(),
		}, others...),
		Policies: identities.Policies, Unseal: keys.Unseal, Audit: a.trail,
		Await: a.await,
		Log:   a.part("api"), Observe: calls.observe,
	})
	if err != nil {
		return err
	}
	return errors.Join(a.metrics.Register(calls), apprunner.Bootstrap(ctx))
}

// accessKeys seals the secrets of access keys.
func (a *apiRole) accessKeys() iam.Keys { return iam.Keys{Vault: a.keys} }

func (a *apiRole) appRunner() (*api.API, error) {
	quotas, err := parseQuotas(a.cfg.Quotas)
	if err != nil {
		return nil, err
	}
	hosts, err := codehost.New(codehost.Config{GitHub: a.cfg.GitHub, Bitbucket: a.cfg.Bitbucket, Reach: a.reach})
	if err != nil {
		return nil, err
	}
	return api.New(api.Config{
		Store: a.store, Region: a.cfg.Region, Account: a.cfg.Account, Domain: a.cfg.Domain,
		URLPort: a.listeners.urlPort(), Quotas: quotas, Networks: a.cfg.Networks.Subnets(), EndpointPort: a.endpointPort,
		CheckRepository: a.checkRepository, Provider: hosts, Vault: a.keys, WebhookURL: a.webhookURL(), SBOM: a.sbom,
		SecretNeed: a.secretNeed, ImageNeeds: a.imageNeeds, SecretsOfAWS: a.cfg.AWSSecrets, CompleteImage: a.complete, Usage: a.usage, Traffic: a.traffic,
		Explain: a.explain, Sleep: a.describeSleep,
	})
}

// describeSleep describes the sleep of a service, as api.Config.Sleep wants it.
func (a *apiRole) describeSleep(serviceID string) *api.SleepDescription {
	s, ok := a.sleep(serviceID)
	if !ok || s.State == router.Awake && s.Slept == 0 {
		return nil
	}
	d := &api.SleepDescription{
		State: aws.String(s.State.String()), CountedSince: &s.Known, SleptSeconds: aws.Float64(s.Slept.Seconds()),
		FrozenWakes: aws.Int64(int64(s.Frozen.Count)), StoppedWakes: aws.Int64(int64(s.Stopped.Count)),
	}
	if s.State != router.Awake {
		d.Since = &s.Since
	}
	if s.Frozen.Count > 0 {
		d.FrozenMedianSeconds = aws.Float64(s.Frozen.Median.Seconds())
	}
	if s.Stopped.Count > 0 {
		d.StoppedMedianSeconds = aws.Float64(s.Stopped.Median.Seconds())
	}
	if w := s.Last; !w.At.IsZero() {
		d.LastWakeAt, d.LastWakeFrom = &w.At, aws.String(w.From.String())
		d.LastSleepSeconds, d.LastWakeSeconds = aws.Float64(w.Slept.Seconds()), aws.Float64(w.Took.Seconds())
	}
	return d
}

// webhookURL is where providers of source code reach the API's address.
func (a *apiRole) webhookURL() string {
	if a.cfg.WebhookURL != "" {
		return strings.TrimSuffix(a.cfg.WebhookURL, "/")
	}
	return a.listeners.apiURL()
}

// sbom returns the list of software in an image, as api.Config.SBOM wants it.
func (a *apiRole) sbom(digest string) ([]byte, error) {
	document, err := a.images.SBOM(digest)
	if errors.Is(err, image.ErrNotFound) {
		return nil, slipway.Errorf(slipway.NotFound, "There is no list of the software in image %s: an earlier version of Slipway built it. The next deployment of new code makes one.", digest)
	}
	return document, err
}

// otherServices are the services of CloudWatch Logs, webhooks, secrets,
// parameters, the master key, uploads, checks and builds.
func (a *apiRole) otherServices() ([]gateway.Service, error) {
	lines, err := cloudwatch.New(cloudwatch.Config{
		Store: a.store, Region: a.cfg.Region, Account: a.cfg.Account, Output: a.logs,
	})
	if err != nil {
		return nil, err
	}
	webhooks, err := hooks.NewAPI(hooks.APIConfig{Store: a.store, Keys: a.keys, Reach: a.reach, Region: a.cfg.Region, Account: a.cfg.Account})
	if err != nil {
		return nil, err
	}
	manager, err := secretsmanager.New(secretsmanager.Config{Store: a.store, Vault: a.vault, Trusted: a.clock.Trusted})
	if err != nil {
		return nil, err
	}
	parameters, err := ssm.New(ssm.Config{Store: a.store, Vault: a.vault})
	if err != nil {
		return nil, err
	}
	return []gateway.Service{lines.Service(), webhooks.Service(), manager.Service(), parameters.Service(), masterkey.Service(a.keys), a.uploads.Service(), a.checks.Service(), a.builds.Service()}, nil
}

// openECR opens the calls about the registry's images, and the tokens that log
// in there.
func (a *apiRole) openECR() (err error) {
	a.tokens = &ecr.Tokens{Caller: func(ctx context.Context, id string) (gateway.Caller, gateway.Key, bool, error) {
		return a.gateway.Caller(ctx, id)
	}}
	a.ecr, err = ecr.New(ecr.Config{
		Store: a.store, Images: a.images, Tokens: a.tokens, Region: a.cfg.Region, Account: a.cfg.Account,
		Endpoint: a.listeners.apiURL(), Pushed: a.pushed,
	})
	return err
}

// registryHandler is the image registry. Access keys are its users, and policies
// for ECR's actions authorize them.
func (a *apiRole) registryHandler() (http.Handler, error) {
	users := authenticator{a.gateway, a.tokens, a.ecr.ARN, a.trail}
	return registry.New(registry.Config{
		Images: a.images, Log: a.part("registry"),
		Authenticate: users.check, Permit: users.permit,
		Pushed: a.pushed, Note: users.note, User: users.user,
	})
}

func (a *apiRole) parts() []runner { return []runner{a.trail} }

func (a *apiRole) close() error { return nil }

// handler is what the API's address answers: the API, the registry, webhooks of
// providers and health.
func (a *apiRole) handler() (http.Handler, error) {
	reg, err := a.registryHandler()
	if err != nil {
		return nil, err
	}
	calls, err := awshttp.New(awshttp.Config{Gateway: a.gateway, Region: a.cfg.Region})
	if err != nil {
		return nil, err
	}
	pushes, err := pushhook.New(pushhook.Config{Store: a.store, Vault: a.keys, Log: a.part("pushhook"), Pushed: a.gitPushed})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle(slipway.PushHookPath, pushes)
	mux.Handle("/", calls)
	mux.Handle("GET /{$}", front(calls))
	mux.HandleFunc("GET /favicon.ico", http.NotFound)
	mux.Handle("/v2/", reg)
	mux.Handle("GET /v2", reg)
	mux.Handle("GET /healthz", a.health.Live())
	mux.Handle("GET /readyz", a.health.Ready())
	mux.HandleFunc("GET /version", a.version)
	mux.HandleFunc("GET /tls/authority.pem", a.authorityPEM)
	return a.cfg.ownHosts().only(unambiguous(a.withScheme(mux))), nil
}

// serve serves the handler until ctx ends.
func (a *apiRole) serve(ctx context.Context) error {
	handler, err := a.handler()
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler:           httplimit.Times{Body: 30 * time.Second, Write: time.Minute}.Handler(handler),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	if !a.starts(ctx) {
		return nil
	}
	err = httpdrain.Drain{Limit: 10 * time.Second}.Serve(ctx, srv, a.secured(a.limited(a.listeners.api))...)
	if errors.Is(err, httpdrain.ErrCut) {
		return nil // a long upload: clients can resume it
	}
	if err != nil {
		return fmt.Errorf("serve the API: %w", err)
	}
	return nil
}

// starts waits until calls may be answered, and reports whether they are before ctx ends.
func (a *apiRole) starts(ctx context.Context) bool {
	select {
	case <-a.start:
		return true
	case <-ctx.Done():
		return false
	}
}

// serveMetrics answers /metrics until ctx ends. It has an address of its own: metrics name
// services and instances, and Prometheus signs nothing.
func (a *apiRole) serveMetrics(ctx context.Context) error {
	if len(a.listeners.metrics) == 0 {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", a.metrics.Handler())
	srv := &http.Server{
		Handler: a.cfg.ownHosts().only(mux), ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	if !a.starts(ctx) {
		return nil
	}
	err := httpdrain.Drain{Limit: 10 * time.Second}.Serve(ctx, srv, a.limited(a.listeners.metrics)...)
	if err != nil && !errors.Is(err, httpdrain.ErrCut) {
		return fmt.Errorf("serve the metrics: %w", err)
	}
	return nil
}

// version says how this program was built. Anybody may ask, as for /healthz: `slipway
// version` has no access key where something is wrong with the key.
func (a *apiRole) version(w http.ResponseWriter, r *http.Request) {
	if a.cfg.Version == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(a.cfg.Version) // a client that has gone needs none
}

// limited returns listeners whose connections are limited together.
func (a *apiRole) limited(list []net.Listener) (limited []net.Listener) {
	clients := a.clients(a.descriptors.calls, a.part("api"))
	for _, l := range list {
		limited = append(limited, clients.Limit(l))
	}
	return limited
}
