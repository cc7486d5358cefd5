//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
	"github.com/openslipway/slipway/internal/daemon"
)

func newServeCommand(m *Main) *cobra.Command {
	cmd, _ := m.serveCommand()
	return cmd
}

// serveCommand returns the command and the configuration that its flags and
// environment variables set.
func (m *Main) serveCommand() (*cobra.Command, *daemon.Config) {
	conf := daemon.Default()
	conf.SelfInit = true                        // see main
	conf.Version, _ = json.Marshal(thisBuild()) // strings and a bool, which always have a form
	c := &conf
	format := logAuto
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Serve runs the server: App Runner's API, the image registry, and the services
with their instances. It needs root for the sandboxes that instances run in.

At its first start it creates a root access key and writes it to the file
credentials in the data directory, in the form that AWS clients read:

  AWS_SHARED_CREDENTIALS_FILE=/var/lib/slipway/credentials \
    aws --region us-east-1 --endpoint-url http://127.0.0.1:8070 apprunner list-services

Secrets are encrypted before they reach the database, with a master key in the
file master.key of the data directory or in --key-file. Keep a copy of it: without
it the secrets are lost. The file is an age identity file. With a passphrase, in
SLIPWAY_KEY_PASSPHRASE or a file, it is encrypted as by ` + "`age --passphrase --armor`" + `.

SIGTERM ends the server. Instances keep running, and the next server adopts them.
Connections that come in between are refused, unless systemd holds the sockets: it
passes those named http, api, metrics or like a VPC endpoint, and they replace the addresses
of the flags.

With --take-over a server replaces the one that runs on the data directory, and no request
is lost: it gets the listening sockets and the connections of clients from it, and the
other one ends when its last request has. If it cannot start, the other one goes on. This
is what ` + "`slipway upgrade`" + ` and SIGUSR2 have a server do with its own program.
Each flag is also an environment variable: SLIPWAY_API_ADDR is --api-addr.`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return m.serve(cmd, c, format) },
	}
	bindServe(cmd.Flags(), c)
	cmd.Flags().TextVar(&format, "log-format", format, "`form` of log lines: text, json, or auto, which is text for people on a terminal and text with key=value elsewhere")
	return cmd, c
}

// serve runs a server with the configuration of the flags, and what the environment and the
// flags of all verbs add to it, until the command's context ends.
func (m *Main) serve(cmd *cobra.Command, c *daemon.Config, format logFormat) (err error) {
	defer func() {
		if err != nil && c.TakeOver && c.DataDir != "" {
			daemon.ReportFailure(c.DataDir, err)
		}
	}()
	if err := readEnvironment(c, cmd.Flags(), m.Getenv); err != nil {
		return usageError(cmd, "%v", err)
	}
	if c.DataDir, err = client.DataDir(m.settings.DataDir, m.Getenv); err != nil {
		return usageError(cmd, "%v", err)
	}
	if m.settings.Region != "" {
		c.Region = m.settings.Region
	}
	if c.Sockets, err = inheritedSockets(m.Getenv, os.Getpid()); err != nil {
		return &client.Problem{Text: err.Error(), Err: err}
	}
	if err := c.Check(); err != nil {
		return usageError(cmd, "%v", err)
	}
	if c.Launch, err = launcher(os.Getpid()); err != nil {
		return &client.Problem{Text: err.Error(), Err: err}
	}
	err = runDaemon(cmd.Context(), *c, m.Getenv("NOTIFY_SOCKET"), m.logger(format, c.LogLevel))
	if err != nil { // the server's own error, not one of a call to a server
		return &client.Problem{Text: err.Error(), Err: err}
	}
	return nil
}

// logFormat is the form of the server's log lines.
type logFormat string

const (
	logAuto logFormat = "auto"
	logText logFormat = "text"
	logJSON logFormat = "json"
)

// MarshalText returns the format's name.
func (f logFormat) MarshalText() ([]byte, error) { return []byte(f), nil }

// UnmarshalText sets the format by its name.
func (f *logFormat) UnmarshalText(text []byte) error {
	switch name := logFormat(text); name {
	case logAuto, logText, logJSON:
		*f = name
		return nil
	}
	return fmt.Errorf("%q is no form of log lines; it can be auto, text or json", text)
}

// logger returns a logger of the server that writes to standard error.
func (m *Main) logger(format logFormat, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	switch {
	case format == logJSON:
		return slog.New(slog.NewJSONHandler(m.Stderr, options))
	case format == logAuto && term.IsTerminal(m.Stderr):
		return slog.New(term.NewLogHandler(m.Stderr, m.errStyle(), level))
	}
	return slog.New(slog.NewTextHandler(m.Stderr, options))
}

// bindServe registers the flags of serve, which set c.
func bindServe(f *pflag.FlagSet, c *daemon.Config) {
	f.StringVar(&c.APIAddr, "api-addr", c.APIAddr, "address of the API, the registry (/v2/), /healthz and /readyz")
	f.StringSliceVar(&c.APIHosts, "api-host", nil, "`names` by which clients call the API and the registry, besides localhost, addresses, this host's name and those of --domain and --webhook-url; * for any; repeatable")
	f.StringVar(&c.Metrics, "metrics-addr", "", "address of /metrics, such as 127.0.0.1:8071; everybody who reaches it may read them (default: nowhere)")
	f.StringVar(&c.HTTPAddr, "http-addr", c.HTTPAddr, "address at which the services answer")
	f.StringVar(&c.TLS.Addr, "https-addr", "", "address at which the services answer with TLS, such as :443; requests at --http-addr are then sent there (default: nowhere)")
	f.StringSliceVar(&c.TLS.Certs, "tls-cert", nil, "`files` with certificates for --https-addr, PEM, the server's first and then those of its authorities; read again when they change; repeatable")
	f.StringSliceVar(&c.TLS.Keys, "tls-key", nil, "`files` with their keys, in the same order (default: those of --tls-cert)")
	f.BoolVar(&c.TLS.Local, "tls-local", false, "let names that nothing else has certified get a certificate of this server's own authority, for development; without --tls-cert and --acme all do. slipway trust has this machine accept it")
	bindACME(f, &c.TLS.ACME)
	f.BoolVar(&c.TLS.API, "api-tls", false, "have --api-addr speak TLS instead of plain HTTP, with certificates of --tls-cert, or of this server's own authority for names that it has none for")
	f.StringVar(&c.Domain, "domain", c.Domain, "domain of the services: a URL is <label>.<region>.<domain>")
	f.StringVar(&c.Account, "account", c.Account, "account number in ARNs, 12 digits")
	f.BoolVar(&c.TakeOver, "take-over", false, "replace the server that runs on the data directory, if there is one, without losing a request")
	f.BoolVar(&c.NewDatabase, "new-database", false, "go on although the database is missing or not the one of the data directory: with the one that is there, or a new one")
	f.BoolVar(&c.RemoveStrays, "remove-strays", false, "end instances whose service is not in the database; without this flag they keep running")
	f.StringVar(&c.ReadyFile, "ready-file", "", "`file` that the server's addresses are written to, as JSON, once it serves")
	f.TextVar(&c.LogLevel, "log-level", c.LogLevel, "minimum `level` of log lines: debug, info, warn or error")
	f.StringVar(&c.KeyFile, "key-file", "", "`file` with the master key that secrets are encrypted with (default: master.key in the data directory, created at the first start)")
	f.StringVar(&c.KeyPassphraseFile, "key-passphrase-file", "", passphraseFileUsage)
	f.BoolVar(&c.AWSSecrets, "aws-secrets", false, "read secrets that are not stored here from AWS, with the AWS credentials of the server's environment")
	f.DurationVar(&c.HealthLimit, "health-limit", c.HealthLimit, "time limit for new instances to pass their health check")
	f.IntVar(&c.KeepReleases, "keep-releases", c.KeepReleases, "`number` of earlier releases of each service whose images are kept, to go back to them")
	f.BoolVar(&c.Isolated, "isolated", false, "give instances no network except for the requests they answer")
	f.StringSliceVar(&c.Resolvers, "resolvers", nil, "DNS `servers` for instances (default: this host's)")
	f.IntSliceVar(&c.PublicPorts, "public-ports", nil, "TCP `ports` of this host that instances may reach")
	f.IntVar(&c.Warm, "warm", c.Warm, "`number` of sandboxes created ahead of need")
	f.StringSliceVar(&c.Aliases, "alias", nil, "take the images of a repository or prefix from another one, `from=to`; local/... is the server's registry")
	f.BoolVar(&c.DockerHub, "docker-hub", false, "let names of images without a registry, such as nginx, mean Docker Hub's if this server has no repository or service of that name")
	f.StringSliceVar(&c.Insecure, "insecure-registry", nil, "registry `hosts` to connect to without TLS")
	f.StringSliceVar(&c.Allowed, "allow-address", nil, "`addresses` that the server connects to for its users although they are loopback, private or otherwise special, or its own: an address, a network or a host name, such as 10.0.0.0/8 or registry.internal:5000; repeatable")
	f.DurationVar(&c.ImagePoll, "image-poll", 0, "time between two looks for a new image of a service in another registry (default 5m)")
	f.StringSliceVar(&c.Trusted, "trusted-proxy", nil, "address `prefixes` of proxies whose X-Forwarded headers are used")
	f.BoolVar(&c.PriorHTTP2, "http2-prior-knowledge", false, "let clients at --http-addr speak HTTP/2 without TLS, as gRPC clients and proxies do that know of it")
	f.BoolVar(&c.ProxyHeader, "proxy-protocol", false, "expect a header of the PROXY protocol, version 1 or 2, before each connection of --trusted-proxy to services: for load balancers that pass connections on, not requests")
	f.BoolVar(&c.Underscores, "underscore-headers", false, "pass header fields whose names have underscores to applications, except those that could be taken for others")
	f.IntVar(&c.Connections, "connections", c.Connections, "`number` of connections that clients may have open at once at the API's address, and at those of services together")
	f.IntVar(&c.EventLoops, "event-loops", 0, "`number` of event loops that serve requests on kept connections with less memory and processor time, such as one for each core (experimental)")
	f.IntVar(&c.PerAddress, "connections-per-address", c.PerAddress, "`number` of them that one address, or IPv6 /64, may have; those of --trusted-proxy may have all")
	f.StringSliceVar(&c.DNS, "dns-resolver", nil, "name `servers` to look up the validation records of custom domains at (default: this host's)")
	f.StringSliceVar(&c.TrustedDomains, "trusted-domain", c.TrustedDomains, "`domains` at and below which custom domains need no validation records")
	f.StringSliceVar(&c.Quotas, "quota", nil, "change a `quota`, name=number, -1 for no limit; the names are "+strings.Join(daemon.QuotaNames(), ", "))
	f.StringVar(&c.GitHub, "github-api", c.GitHub, "`URL` of GitHub's API")
	f.StringVar(&c.OTLPEndpoint, "otlp-endpoint", "", "`URL` of the trace collector (OTLP over gRPC) of services with observability, such as http://127.0.0.1:4317")
	f.StringVar(&c.OTLPHTTPEndpoint, "otlp-http-endpoint", "", "`URL` of the same collector for OTLP over HTTP, such as http://127.0.0.1:4318")
	f.StringVar(&c.Bitbucket, "bitbucket-api", c.Bitbucket, "`URL` of Bitbucket's API")
	f.StringVar(&c.WebhookURL, "webhook-url", "", "`URL` at which providers of source code reach /webhooks/ of the API's address (default: that address)")
	bindBuilds(f, c)
	f.IntVar(&c.DiskOvercommit, "disk-overcommit", c.DiskOvercommit, "how many `times` the free bytes of the data directory's disk may be promised to the disks of instances and builds; beyond it no other starts; 0 for no bound")
	f.Int64Var(&c.IO.Read, "io-read", 0, "most that an instance, or a stage of a build, may read from a disk, in `MiB` a second; 0 for no limit")
	f.Int64Var(&c.IO.Write, "io-write", 0, "most that it may write, in `MiB` a second; 0 for no limit; see docs/operating.md for what cgroup version 1 leaves out")
	f.Int64Var(&c.IO.ReadOps, "io-read-ops", 0, "most `requests` to read that it may make of a disk each second; 0 for no limit")
	f.Int64Var(&c.IO.WriteOps, "io-write-ops", 0, "most `requests` to write that it may make of a disk each second; 0 for no limit")
	f.StringVar(&c.AppArmor, "apparmor-profile", "", "loaded `profile` of AppArmor to confine instances and builds by; see docs/operating.md")
	f.Var(c.Endpoints, "vpc-endpoint", "listen for private services as a VPC `endpoint`, id=host:port[,vpc=id][,tls]; repeatable")
	f.Var(c.Networks, "network", "the network that a `subnet` of VPC connectors stands for, id=prefix[,prefix...][,via=device][,dns=address]; repeatable")
}

// bindACME registers the flags of serve about certificates of an authority.
func bindACME(f *pflag.FlagSet, a *daemon.ACME) {
	f.BoolVar(&a.Agreed, "acme", false, "get certificates for --https-addr from an authority by ACME, and agree to its terms of service; see docs/acme.md")
	f.StringVar(&a.Email, "acme-email", "", "`address` at which the authority reaches you")
	f.StringVar(&a.URL, "acme-url", "", "`URL` of the authority's directory (default: Let's Encrypt's)")
	f.StringVar(&a.CAFile, "acme-ca-file", "", "`file` with the certificate authorities of that URL (default: this host's)")
	f.StringVar(&a.EABFile, "acme-eab-file", "", "`file` with the key that the authority gave you as its customer (external account binding), JSON with key_id and mac_key")
	f.StringVar(&a.DNS, "acme-dns", "", "DNS `provider` of --domain, to get one certificate for all services by DNS-01: cloudflare, rfc2136 or route53")
	f.StringVar(&a.DNSFile, "acme-dns-file", "", "`file` with the settings of that provider, JSON")
}

// bindBuilds registers the flags of serve about code and its builds.
func bindBuilds(f *pflag.FlagSet, c *daemon.Config) {
	f.StringSliceVar(&c.Git.Protocols, "git-protocols", c.Git.Protocols, "`protocols` by which code repositories are read: https, ssh, http, file")
	f.StringSliceVar(&c.Git.Directories, "git-directory", nil, "`directories` below which repositories of file URLs may be")
	f.StringVar(&c.Git.CAFile, "git-ca-file", "", "`file` with the certificate authorities of git servers (default: this host's)")
	f.StringVar(&c.Git.KnownHosts, "git-known-hosts", "", "`file` with the keys of more ssh servers than GitHub, GitLab and Bitbucket, in the form of known_hosts")
	f.DurationVar(&c.Git.Poll, "git-poll", 0, "time between two looks for new commits of a service (default 1m)")
	f.IntVar(&c.UploadQuota, "upload-quota", 0, "space for the directories that one user has uploaded, in `MiB` (default 10240)")
	f.BoolVar(&c.Build.RecipesOnly, "runtime-recipes", false, "make the runtimes of builds of Debian packages and do not pull their publishers' images")
	f.StringVar(&c.Build.RuntimesFile, "runtimes-file", "", "`file` with runtimes of builds that replace those of the same names; see docs/runtimes.md")
	f.DurationVar(&c.Build.RuntimeCheck, "runtime-check", 0, "time between two looks for newer packages of a runtime, which is then made again (default 24h)")
	f.IntVar(&c.Build.Concurrent, "build-concurrent", 0, "`number` of builds that run at once (default 2)")
	f.IntVar(&c.Build.CPU, "build-cpu", 0, "CPU of a build in `units`, 1024 are one core (default: all cores)")
	f.IntVar(&c.Build.Memory, "build-memory", 0, "memory of a build in `MiB` (default 4096, at most half of this host's)")
	f.DurationVar(&c.Build.Time, "build-time", 0, "time limit of each stage of a build (default 30m)")
	f.IntVar(&c.Build.Pids, "build-pids", 0, "`number` of processes and threads of a build (default 4096)")
	f.Int64Var(&c.Build.Disk, "build-disk", 0, "disk in `MiB` that each stage of a build may write (default 10240)")
	f.Int64Var(&c.Build.Cache, "build-cache", 0, "disk in `MiB` that the dependency caches of a service may take (default 5120)")
	f.StringVar(&c.Build.CAFile, "build-ca-file", "", "`file` with the certificate authorities that builds trust (default: this host's; none for those of their image)")
	f.StringVar(&c.Build.Proxy, "build-proxy", "", "`URL` of the HTTP proxy of builds (default: this host's; none for none)")
	f.StringVar(&c.Build.NoProxy, "build-no-proxy", "", "`hosts` that builds reach without the proxy, as in NO_PROXY (default: this host's; none for none)")
	f.StringArrayVar(&c.Build.Env, "build-env", nil, "environment variable of every build, `NAME=value`; never in an image; repeatable")
}

// readEnvironment sets every flag that was not given from its environment
// variable, and the passphrase, which has no flag.
func readEnvironment(c *daemon.Config, f *pflag.FlagSet, getenv func(string) string) error {
	var errs []error
	f.VisitAll(func(flag *pflag.Flag) {
		name := "SLIPWAY_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		v := getenv(name)
		if v == "" || flag.Changed {
			return
		}
		if err := f.Set(flag.Name, v); err != nil {
			errs = append(errs, badVariable(name, flag, v, err))
		}
	})
	var err error
	c.Build.Getenv = getenv
	c.KeyPassphrase, err = keyPassphrase(c.KeyPassphraseFile, getenv)
	return errors.Join(append(errs, err)...)
}

// badVariable is the error of an environment variable in place of a flag.
func badVariable(name string, flag *pflag.Flag, value string, err error) error {
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		err = e.Unwrap()
	}
	return errors.New(badValue(name, flag, value, err))
}

// runDaemon runs a server until ctx ends. manager is the socket of the service manager
// that wants to know when it is up.
func runDaemon(ctx context.Context, c daemon.Config, manager string, log *slog.Logger) error {
	// The reader of the log may go, a journal that restarts for instance. Then a
	// write fails with SIGPIPE, which would end the server. Programs that it
	// starts keep the default, as they would not if the signal were ignored.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	renewals := make(chan os.Signal, 1) // also before it serves: SIGUSR2 would end it
	signal.Notify(renewals, syscall.SIGUSR2)
	defer signal.Stop(renewals)
	handed := make(chan struct{})
	if manager != "" {
		hand := sync.OnceFunc(func() { close(handed) })
		c.Handed = func(pid int) {
			hand()
			tell(manager, fmt.Sprintf("MAINPID=%d", pid), log)
		}
	}
	d, err := daemon.New(ctx, c, log)
	if err != nil {
		return err
	}
	defer d.Close()
	go renewOnSignal(ctx, renewals, c.DataDir, log)
	go notify(ctx, manager, d.Up(), handed, log)
	return d.Run(ctx)
}

const passphraseFileUsage = "`file` with the passphrase of the key file (or env SLIPWAY_KEY_PASSPHRASE)"

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

// renewOnSignal has the server replaced by its program as it is installed now, each time
// SIGUSR2 comes.
func renewOnSignal(ctx context.Context, signals <-chan os.Signal, dir string, log *slog.Logger) {
	for {
		select {
		case <-signals:
			if err := daemon.Upgrade(ctx, dir, daemon.Renewal{}); err != nil && ctx.Err() == nil {
				log.Error("the server was not replaced", "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
