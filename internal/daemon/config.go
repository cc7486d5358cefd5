package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/codehost"
	"github.com/openslipway/slipway/internal/outbound"
	"github.com/openslipway/slipway/internal/takeover"
)

// Config configures a daemon. The command that runs it reads it from flags and
// environment variables; each field has the flag of its name, and errors name
// that flag.
type Config struct {
	DataDir  string   // absolute; made if it does not exist
	APIAddr  string   // host:port of the API, the registry and /healthz; port 0 for any
	APIHosts []string // names by which clients call it besides those that it knows itself; "*" for any
	Metrics  string   // host:port of /metrics; "": nowhere
	HTTPAddr string   // host:port at which services answer; port 0 for any
	TLS      TLS      // at which services answer as well
	Sockets  []Socket // inherited, in place of these addresses and those of Endpoints
	Domain   string   // a service's host is <label>.<Region>.<Domain>
	Region   string   // of ARNs and signatures
	Account  string   // 12 digits

	// TakeOver replaces the server that runs on the data directory, if there is one, without
	// losing a request.
	TakeOver bool

	// NewDatabase accepts a database that is not the one of the data directory, and makes
	// one where others' data is and no database. Without it the server does not start then;
	// see ADR 045.
	NewDatabase bool

	// RemoveStrays ends the instances of services that the database does not know. Without
	// it they run on.
	RemoveStrays bool

	// Launch starts the program of another server, which takes over from this one, and
	// returns its process id. nil: this server can't be asked for that.
	Launch func(takeover.Renewal) (pid int, err error)

	// Handed is told the process that has taken over, which may have begun to serve. It may
	// be nil.
	Handed func(pid int)

	ReadyFile string // gets the daemon's Addresses as JSON once it serves; "" for none
	LogLevel  slog.Level
	Version   []byte // what GET /version answers, JSON: how the program was built; nil for 404

	KeyFile           string // of the master key; "" for the one in DataDir
	KeyPassphraseFile string // file with the passphrase of KeyFile
	KeyPassphrase     string // the passphrase; never a flag, which all users of the host can see

	DNS            []string // name servers for the validation of custom domains; none for the host's
	TrustedDomains []string // custom domains at or below these need no validation

	AWSSecrets   bool           // secrets that are not stored here are read from AWS
	HealthLimit  time.Duration  // for an instance to become healthy in a deployment; at least 1 s
	KeepReleases int            // earlier releases of a service whose images are kept, 0 to 1000
	Isolated     bool           // instances have no network except the requests they answer
	Resolvers    []string       // DNS servers of instances; none for the host's
	PublicPorts  []int          // TCP ports of this host that instances may reach
	Warm         int            // sandboxes made ahead of need, 0 to 256
	Aliases      []string       // repository=repository
	DockerHub    bool           // names of images without a registry may mean Docker Hub's
	Insecure     []string       // registries without TLS
	Allowed      []string       // addresses that the server connects to for its users besides those on the internet; see outbound.New
	ImagePoll    time.Duration  // between two looks at an image of another registry; 5 minutes when 0
	Trusted      []string       // prefixes of proxies whose X-Forwarded headers are used
	trusted      []netip.Prefix // those of Trusted, once Check has read them
	PriorHTTP2   bool           // clients without TLS may begin with HTTP/2
	ProxyHeader  bool           // the proxies of Trusted begin connections with a header of the PROXY protocol
	Underscores  bool           // fields of requests whose names have underscores reach applications
	Quotas       []string       // name=number; see QuotaNames

	// Connections are how many clients may have open at once at the API's address, and
	// at those of services together; PerAddress how many of them one client, unless it
	// is of Trusted. At least 1.
	Connections, PerAddress int

	// EventLoops is how many event loops serve requests to services, from 0 to 256: see
	// proxy.Config.Loops.
	EventLoops int

	GitHub     string    // URL of its API
	Bitbucket  string    // URL of its API
	WebhookURL string    // where providers of source code reach the API's address; "": at that address
	Networks   Networks  // that the subnets of VPC connectors stand for
	Endpoints  Endpoints // VPC endpoints

	Git   Git   // how code repositories are read
	Build Build // how their images are built

	// DiskOvercommit is how many times the bytes that are free on the disk of the data directory
	// may be promised to instances and builds, up to maxOvercommit; 0: any number of times.
	DiskOvercommit int

	IO IO // what each instance and each stage of a build may do to a disk

	AppArmor string // profile of AppArmor that confines instances and builds; "": none

	UploadQuota int // MiB that the uploaded directories of a user may take; 10 GiB when 0

	// SelfInit says that this program's main function serves as the init of
	// sandboxes where none is embedded; see embedded.Config.
	SelfInit bool

	OTLPEndpoint     string // URL of a collector of traces, OTLP over gRPC
	OTLPHTTPEndpoint string // URL of the same collector, OTLP over HTTP
}

const maxOvercommit = 1_000_000

// IO bounds the use of a disk by one instance, or one stage of a build, each second. Zero
// means without bound.
type IO struct {
	Read, Write       int64 // MiB, at most maxIO
	ReadOps, WriteOps int64 // requests to the disk, at most maxIOOps
}

const (
	maxIO    = 1 << 20
	maxIOOps = 1_000_000_000
)

// check returns the first mistake.
func (i IO) check() error {
	for _, v := range []struct {
		flag        string
		value, most int64
	}{{"io-read", i.Read, maxIO}, {"io-write", i.Write, maxIO}, {"io-read-ops", i.ReadOps, maxIOOps}, {"io-write-ops", i.WriteOps, maxIOOps}} {
		if v.value < 0 || v.value > v.most {
			return fmt.Errorf("--%s is %d; it must be from 1 to %d, or 0 for no limit", v.flag, v.value, v.most)
		}
	}
	return nil
}

// Git says which repositories of code a daemon reads.
type Git struct {
	Protocols   []string // of https, ssh, http, file
	Directories []string // below which repositories of file URLs are
	CAFile      string   // certificate authorities in place of the host's; "" for the host's
	KnownHosts  string   // file with the keys of ssh servers, besides those of GitHub, GitLab and Bitbucket; "" for none

	Poll time.Duration // between two questions about new commits of one service; a minute when 0
}

// Build says what builds may take and how they reach package registries. Zero limits
// are those of package build. Where CAFile, Proxy or NoProxy is "", builds have the
// host's; "none" keeps it from them.
type Build struct {
	Concurrent int
	CPU        int           // units, 1024 are one core
	Memory     int           // MiB
	Time       time.Duration // of each stage
	Pids       int           // processes and threads
	Disk       int64         // MiB that a stage may write outside of caches
	Cache      int64         // MiB that the caches of a service may take
	CAFile     string        // certificate authorities, an absolute path
	Proxy      string        // URL
	NoProxy    string        // hosts
	Env        []string      // NAME=value, for every command

	// Getenv reads the host's proxy, bundle of certificates and package registries from
	// its environment; see step.HostWay. nil reads nothing.
	Getenv func(name string) string

	RecipesOnly  bool   // runtimes are made of packages, not pulled
	RuntimesFile string // table whose entries replace those of package runtimes; "" for none

	RuntimeCheck time.Duration // between two looks for newer packages of a runtime; a day when 0
}

// Default returns the configuration of a daemon without flags. It has no
// DataDir.
func Default() Config {
	return Config{
		APIAddr: "127.0.0.1:8070", HTTPAddr: "127.0.0.1:8080", Domain: "slipway.localhost",
		Region: "us-east-1", Account: "000000000000", HealthLimit: 5 * time.Minute, KeepReleases: 10, Warm: 4, DiskOvercommit: 50, Connections: 10_000, PerAddress: 1000,
		TrustedDomains: []string{"localhost"}, Networks: Networks{}, Endpoints: Endpoints{},
		GitHub: codehost.DefaultGitHub, Bitbucket: codehost.DefaultBitbucket, Git: Git{Protocols: []string{"https", "ssh"}},
	}
}

// QuotaNames returns the names that Config.Quotas may set.
func QuotaNames() []string { return api.QuotaNames() }

var (
	domainForm  = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	regionForm  = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]$`)
	accountForm = regexp.MustCompile(`^[0-9]{12}$`)
)

// Check returns the first mistake that can be seen without opening anything, and keeps what
// it has read of texts. New takes what Check accepted, and finds the other mistakes.
func (c *Config) Check() error {
	for _, a := range []struct{ flag, addr string }{{"api-addr", c.APIAddr}, {"http-addr", c.HTTPAddr}} {
		if _, _, err := net.SplitHostPort(a.addr); err != nil {
			return fmt.Errorf("--%s is %q; it must be host:port, where port 0 means any", a.flag, a.addr)
		}
	}
	if c.Metrics != "" {
		if _, _, err := net.SplitHostPort(c.Metrics); err != nil {
			return fmt.Errorf("--metrics-addr is %q; it must be host:port, where port 0 means any", c.Metrics)
		}
	}
	if err := errors.Join(c.checkSockets(), c.checkHosts(), c.IO.check(), c.TLS.check(len(c.sockets(SocketHTTPS)) > 0 || len(c.Endpoints.secure()) > 0)); err != nil {
		return err
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
	case c.KeepReleases < 0 || c.KeepReleases > 1000:
		return fmt.Errorf("--keep-releases is %d; it must be from 0 to 1000", c.KeepReleases)
	case c.Warm < 0 || c.Warm > 256:
		return fmt.Errorf("--warm is %d; it must be from 0 to 256", c.Warm)
	case c.DiskOvercommit < 0 || c.DiskOvercommit > maxOvercommit:
		return fmt.Errorf("--disk-overcommit is %d; it must be from 0, for no bound, to %d", c.DiskOvercommit, maxOvercommit)
	case c.Connections < 1:
		return fmt.Errorf("--connections is %d; it must be at least 1", c.Connections)
	case c.EventLoops < 0 || c.EventLoops > 256:
		return fmt.Errorf("--event-loops is %d; it must be from 0 to 256", c.EventLoops)
	case c.PerAddress < 1:
		return fmt.Errorf("--connections-per-address is %d; it must be at least 1", c.PerAddress)
	}
	if u, err := url.Parse(c.WebhookURL); c.WebhookURL != "" &&
		(err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		return fmt.Errorf("--webhook-url is %q; it must be a URL like https://host or https://host/path", c.WebhookURL)
	}
	if _, err := c.reach(); err != nil {
		return err
	}
	if err := c.checkProxies(); err != nil {
		return err
	}
	for _, d := range c.TrustedDomains {
		if !domainForm.MatchString(d) {
			return fmt.Errorf("--trusted-domain has %q; it must be a host name in lower case", d)
		}
	}
	return nil
}

// checkProxies reads the prefixes of trusted proxies.
func (c *Config) checkProxies() error {
	c.trusted = nil
	for _, text := range c.Trusted {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("--trusted-proxy is %q; it must be a prefix like 10.0.0.0/8", text)
		}
		c.trusted = append(c.trusted, prefix)
	}
	if c.ProxyHeader && len(c.trusted) == 0 {
		return errors.New("--proxy-protocol is for the proxies of --trusted-proxy, which names none; name theirs")
	}
	return nil
}

// reach returns the policy of connections to the addresses that users give.
func (c *Config) reach() (*outbound.Policy, error) {
	p, err := outbound.New(c.Allowed...)
	if err != nil {
		return nil, fmt.Errorf("--allow-address: %w", err)
	}
	return p, nil
}

// codeReach also reaches the hosts of the providers of source code that flags name.
func (c *Config) codeReach() (*outbound.Policy, error) {
	p, err := c.reach()
	for _, api := range []string{c.GitHub, c.Bitbucket} {
		if u, uerr := url.Parse(api); err == nil && uerr == nil && u.Hostname() != "" {
			p, err = p.And(u.Hostname())
		}
	}
	return p, err
}

func parseQuotas(list []string) (api.Quotas, error) {
	var q api.Quotas
	for _, text := range list {
		name, value, _ := strings.Cut(text, "=")
		n, err := strconv.Atoi(value)
		if err != nil {
			return q, fmt.Errorf("--quota is %q; it must be name=number, where -1 is no limit", text)
		}
		if err := q.Set(name, n); err != nil {
			return q, fmt.Errorf("--quota: %w", err)
		}
	}
	return q, nil
}
