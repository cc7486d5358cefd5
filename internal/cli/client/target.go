package client

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// DefaultEndpoint is where `slipway serve` listens by default.
const DefaultEndpoint = "http://127.0.0.1:8070"

const defaultRegion = "us-east-1"

// Settings are the flags of the command line; an empty one was not given.
type Settings struct {
	Endpoint    string
	Region      string
	Credentials string // path of an AWS credentials file
	DataDir     string
}

// Target is a server, before anything is sent to it.
type Target struct {
	Endpoint *url.URL // scheme and host only
	DataDir  string   // absolute

	region      string // as the user gave it, "" if not
	credentials string // as the user gave it, "" if not
	getenv      func(string) string
}

// Resolve completes settings from the environment and the defaults. Flags take
// precedence over SLIPWAY_ variables. An error is the user's mistake.
func (s Settings) Resolve(getenv func(string) string) (Target, error) {
	t := Target{
		region:      cmp.Or(s.Region, getenv("SLIPWAY_REGION")),
		credentials: cmp.Or(s.Credentials, getenv("SLIPWAY_CREDENTIALS")),
		getenv:      getenv,
	}
	var err error
	if t.Endpoint, err = parseEndpoint(cmp.Or(s.Endpoint, getenv("SLIPWAY_ENDPOINT"), DefaultEndpoint)); err != nil {
		return Target{}, err
	}
	if t.DataDir, err = DataDir(s.DataDir, getenv); err != nil {
		return Target{}, err
	}
	return t, nil
}

// DataDir returns the data directory of this user's server: the flag's value, else
// SLIPWAY_DATA_DIR, else /var/lib/slipway for root, else slipway in the XDG data
// directory, or in the user's own application data of Windows. It may not exist.
func DataDir(flag string, getenv func(string) string) (string, error) {
	dir := cmp.Or(flag, getenv("SLIPWAY_DATA_DIR"))
	switch {
	case dir != "":
	case os.Geteuid() == 0:
		dir = "/var/lib/slipway"
	case filepath.IsAbs(getenv("XDG_DATA_HOME")):
		dir = filepath.Join(getenv("XDG_DATA_HOME"), "slipway")
	case getenv("HOME") != "":
		dir = filepath.Join(getenv("HOME"), ".local", "share", "slipway")
	case getenv("LOCALAPPDATA") != "": // Windows
		dir = filepath.Join(getenv("LOCALAPPDATA"), "slipway")
	default:
		return "", &Problem{
			Text: "no data directory: neither XDG_DATA_HOME nor HOME is set",
			Hint: "Set --data-dir or SLIPWAY_DATA_DIR.",
		}
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("data directory %s: %w", dir, err)
	}
	return abs, nil
}

// Local reports whether the endpoint is a loopback address.
func (t Target) Local() bool {
	host := t.Endpoint.Hostname()
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// Addr returns the endpoint as host:port.
func (t Target) Addr() string {
	port := t.Endpoint.Port()
	switch {
	case port != "":
	case t.Endpoint.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(t.Endpoint.Hostname(), port)
}

func parseEndpoint(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	ok := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
		(u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == "" && u.User == nil
	if !ok {
		return nil, &Problem{
			Misuse: true,
			Text:   fmt.Sprintf("%q is not an endpoint", s),
			Hint:   "An endpoint is http://host:port or https://host:port and nothing more, for example " + DefaultEndpoint + ".",
		}
	}
	u.Path = ""
	return u, nil
}
