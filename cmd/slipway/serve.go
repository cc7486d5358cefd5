package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/codehost"
)

// serveConfig is what `slipway serve` can be told. Each flag is also an
// environment variable: --api-addr is SLIPWAY_API_ADDR.
type serveConfig struct {
	DataDir  string
	APIAddr  string
	HTTPAddr string
	Domain   string
	Region   string
	Account  string

	ReadyFile string
	LogLevel  slog.Level

	KeyFile           string // with the master key of secrets; "" for the one in DataDir
	KeyPassphraseFile string // with what encrypts the key file
	KeyPassphrase     string // what it says, or the environment: never a flag, which all users of the host see

	DNS            []string // name servers that prove custom domains
	TrustedDomains []string // at and below which custom domains need no proof

	AWSSecrets  bool          // references may lead to AWS
	HealthLimit time.Duration // for an instance to become healthy in a deployment
	Isolated    bool          // instances reach nothing outside
	Resolvers   []string      // DNS servers for instances
	PublicPorts []int         // TCP ports of this host that instances may reach
	Warm        int           // sandboxes kept ready
	Aliases     []string      // repository=repository
	Insecure    []string      // registries without TLS
	Trusted     []string      // proxies whose X-Forwarded-* are believed
	Quotas      []string      // name=number
	GitHub      string        // URL of its API
	Bitbucket   string
	Networks    networks  // that VPC connectors lead to
	Endpoints   endpoints // VPC endpoints

	OTLPEndpoint     string // URL of a collector of traces that speaks gRPC
	OTLPHTTPEndpoint string // URL of one that speaks HTTP
}

func newServeCommand(m *Main) *cobra.Command {
	cmd, _ := m.serveCommand()
	return cmd
}

// serveCommand returns the command and what its flags and environment are read
// into.
func (m *Main) serveCommand() (*cobra.Command, *serveConfig) {
	c := &serveConfig{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server: App Runner's API, the image registry, the services and what
keeps them running. It needs root for the sandbox its instances run in.

On first start it makes a root access key and writes it to the file credentials
in the data directory, in the form that AWS clients read:

  AWS_SHARED_CREDENTIALS_FILE=/var/lib/slipway/credentials \
    aws --region us-east-1 --endpoint-url http://127.0.0.1:8070 apprunner list-services

Secrets are encrypted before they reach the database, under a master key in the
file master.key of the data directory, or where --key-file says. Keep a copy of
it: without it they are lost. It is an identity file of age; with a passphrase,
in SLIPWAY_KEY_PASSPHRASE or a file, it is encrypted as ` + "`age --passphrase --armor`" + `
does it.

SIGTERM ends the server and leaves the instances running; the next start finds
them again. Each flag is also an environment variable: SLIPWAY_API_ADDR is
--api-addr.`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.fromEnvironment(cmd.Flags(), m.Getenv); err != nil {
				return usageError(cmd, "%v", err)
			}
			var err error
			if c.DataDir, err = client.DataDir(m.settings.DataDir, m.Getenv); err != nil {
				return usageError(cmd, "%v", err)
			}
			if m.settings.Region != "" {
				c.Region = m.settings.Region
			}
			if err := c.check(); err != nil {
				return usageError(cmd, "%v", err)
			}
			err = serve(cmd.Context(), *c, slog.New(slog.NewTextHandler(m.Stderr, &slog.HandlerOptions{Level: c.LogLevel})))
			if err != nil { // a server's own: what is said of calls to one does not fit
				return &client.Problem{Text: err.Error(), Err: err}
			}
			return nil
		},
	}
	c.bind(cmd.Flags())
	return cmd, c
}

// defaultServe is the configuration of a server nobody told anything.
func defaultServe() serveConfig {
	return serveConfig{
		APIAddr: "127.0.0.1:8070", HTTPAddr: "127.0.0.1:8080", Domain: "slipway.localhost",
		Region: "us-east-1", Account: "000000000000", HealthLimit: 5 * time.Minute, Warm: 4,
		TrustedDomains: []string{"localhost"},
	}
}

func (c *serveConfig) bind(f *pflag.FlagSet) {
	*c = defaultServe()
	c.Networks, c.Endpoints = networks{}, endpoints{}
	f.StringVar(&c.APIAddr, "api-addr", c.APIAddr, "address of the API, the registry (/v2/), /healthz and /metrics")
	f.StringVar(&c.HTTPAddr, "http-addr", c.HTTPAddr, "address at which the services answer")
	f.StringVar(&c.Domain, "domain", c.Domain, "domain of the services: a URL is <label>.<region>.<domain>")
	f.StringVar(&c.Account, "account", c.Account, "account number in ARNs, 12 digits")
	f.StringVar(&c.ReadyFile, "ready-file", "", "`file` to write addresses to, as JSON, once everything serves")
	f.TextVar(&c.LogLevel, "log-level", c.LogLevel, "least `level` logged: debug, info, warn or error")
	f.StringVar(&c.KeyFile, "key-file", "", "`file` with the master key that secrets are encrypted under (default: master.key in the data directory, made on first start)")
	f.StringVar(&c.KeyPassphraseFile, "key-passphrase-file", "", "`file` with a passphrase that the key file is encrypted with (or env SLIPWAY_KEY_PASSPHRASE)")
	f.BoolVar(&c.AWSSecrets, "aws-secrets", false, "read secrets of services that are not kept here from AWS, with the AWS credentials of the server's environment")
	f.DurationVar(&c.HealthLimit, "health-limit", c.HealthLimit, "how long new instances may take to pass their health check")
	f.BoolVar(&c.Isolated, "isolated", false, "give instances no network but the requests they answer")
	f.StringSliceVar(&c.Resolvers, "resolvers", nil, "DNS `servers` for instances (default: this host's)")
	f.IntSliceVar(&c.PublicPorts, "public-ports", nil, "TCP `ports` of this host that instances may reach")
	f.IntVar(&c.Warm, "warm", c.Warm, "how many sandboxes to keep ready")
	f.StringSliceVar(&c.Aliases, "alias", nil, "take the images of a repository or prefix from another one, as `from=to`; local/... is our registry")
	f.StringSliceVar(&c.Insecure, "insecure-registry", nil, "registry `hosts` to speak to without TLS")
	f.StringSliceVar(&c.Trusted, "trusted-proxy", nil, "`prefixes` of proxies whose X-Forwarded headers are believed")
	f.StringSliceVar(&c.DNS, "dns-resolver", nil, "name `servers` that are asked for the validation records of custom domains (default: this host's)")
	f.StringSliceVar(&c.TrustedDomains, "trusted-domain", c.TrustedDomains, "`domains` at and below which every service may have a custom domain without validation records")
	f.StringSliceVar(&c.Quotas, "quota", nil, "another `quota`, as name=number, -1 for none; the names are "+strings.Join(api.QuotaNames(), ", "))
	f.StringVar(&c.GitHub, "github-api", codehost.DefaultGitHub, "`URL` of GitHub's API, which connections are completed with")
	f.StringVar(&c.OTLPEndpoint, "otlp-endpoint", "", "`URL` of the collector (OTLP over gRPC) for the traces of services with observability, as http://127.0.0.1:4317")
	f.StringVar(&c.OTLPHTTPEndpoint, "otlp-http-endpoint", "", "`URL` of the same collector for OTLP over HTTP, as http://127.0.0.1:4318")
	f.StringVar(&c.Bitbucket, "bitbucket-api", codehost.DefaultBitbucket, "`URL` of Bitbucket's API")
	f.Var(c.Endpoints, "vpc-endpoint", "where a VPC `endpoint` listens for the private services whose ingress connections name it, as id=host:port[,vpc=id]; repeatable")
	f.Var(c.Networks, "network", "what a `subnet` of VPC connectors leads to, as id=prefix[,prefix...][,via=device][,dns=address]; repeatable")
}

// fromEnvironment sets every flag that was not given from its variable, and
// what no flag may tell.
func (c *serveConfig) fromEnvironment(f *pflag.FlagSet, getenv func(string) string) error {
	var errs []error
	f.VisitAll(func(flag *pflag.Flag) {
		name := "SLIPWAY_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		v := getenv(name)
		if v == "" || flag.Changed {
			return
		}
		if err := f.Set(flag.Name, v); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	})
	var err error
	c.KeyPassphrase, err = keyPassphrase(c.KeyPassphraseFile, getenv)
	return errors.Join(append(errs, err)...)
}

// keyPassphrase returns the passphrase of the key file, "" when there is none.
func keyPassphrase(file string, getenv func(string) string) (string, error) {
	if file == "" {
		return getenv("SLIPWAY_KEY_PASSPHRASE"), nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("--key-passphrase-file: %w", err)
	}
	text := strings.TrimRight(string(b), "\r\n")
	if text == "" {
		return "", fmt.Errorf("--key-passphrase-file: %s is empty", file)
	}
	return text, nil
}

var (
	domainForm  = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	regionForm  = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]$`)
	accountForm = regexp.MustCompile(`^[0-9]{12}$`)
)

func (c *serveConfig) check() error {
	for _, a := range []struct{ flag, addr string }{{"api-addr", c.APIAddr}, {"http-addr", c.HTTPAddr}} {
		if _, _, err := net.SplitHostPort(a.addr); err != nil {
			return fmt.Errorf("--%s is %q; it must be host:port, where port 0 means any", a.flag, a.addr)
		}
	}
	switch {
	case !domainForm.MatchString(c.Domain):
		return fmt.Errorf("--domain is %q; it must be a host name in lower case", c.Domain)
	case !regionForm.MatchString(c.Region):
		return fmt.Errorf("--region is %q; it must look like us-east-1", c.Region)
	case !accountForm.MatchString(c.Account):
		return fmt.Errorf("--account is %q; it must be 12 digits", c.Account)
	case c.HealthLimit < time.Second:
		return fmt.Errorf("--health-limit is %s; it must be at least 1s", c.HealthLimit)
	case c.Warm < 0 || c.Warm > 256:
		return fmt.Errorf("--warm is %d; it must be from 0 to 256", c.Warm)
	}
	for _, d := range c.TrustedDomains {
		if !domainForm.MatchString(d) {
			return fmt.Errorf("--trusted-domain has %q; it must be a host name in lower case", d)
		}
	}
	return nil
}

// dirs are the places below the data directory.
type dirs string

func (d dirs) database() string    { return filepath.Join(string(d), "slipway.db") }
func (d dirs) credentials() string { return filepath.Join(string(d), "credentials") }
func (d dirs) masterKey() string   { return filepath.Join(string(d), "master.key") }
func (d dirs) images() string      { return filepath.Join(string(d), "images") }
func (d dirs) instances() string   { return filepath.Join(string(d), "runtime") }
func (d dirs) network() string     { return filepath.Join(string(d), "network") }
func (d dirs) logs() string        { return filepath.Join(string(d), "logs") }
func (d dirs) lock() string        { return filepath.Join(string(d), "lock") }

func (d dirs) make() error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	return nil
}
