// Package codehost knows the providers of source code: GitHub and Bitbucket, and
// beyond App Runner GitLab, Gitea and plain git servers. It says which repositories a
// connection's credential is for, asks providers whether they accept a token, which the
// API does before a connection becomes AVAILABLE, makes deploy keys, and says how git
// presents a token.
//
// It fetches no code and keeps nothing. Its errors never contain a token.
package codehost

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/outbound"
)

// The providers' own APIs.
const (
	DefaultGitHub    = "https://api.github.com"
	DefaultBitbucket = "https://api.bitbucket.org/2.0"
	DefaultGitLab    = "https://gitlab.com/api/v4"
)

// Config names the providers' APIs. GitHub Enterprise Server has its own at
// https://<host>/api/v3.
type Config struct {
	GitHub    string // URL; "" for DefaultGitHub
	Bitbucket string // URL; "" for DefaultBitbucket
	GitLab    string // URL; "" for DefaultGitLab
	Gitea     string // URL, https://<host>/api/v1; "": there is no such provider

	// Reach says at which addresses the hosts of connections are asked; nil: at those on
	// the internet only. The hosts above are asked wherever they are.
	Reach *outbound.Policy
}

// Hosts are the providers of source code.
type Hosts struct {
	base map[string]string // URL of the API by provider type
	host map[string]string // host:port of the repositories by provider type
	http *http.Client
}

// askLimit bounds the time of a provider's answer.
const askLimit = 10 * time.Second

// idleLimit is how long a connection is kept for the next question.
const idleLimit = time.Minute

// New checks the configuration.
func New(cfg Config) (*Hosts, error) {
	reach, err := cfg.reach()
	if err != nil {
		return nil, err
	}
	h := &Hosts{
		base: map[string]string{"GITHUB": DefaultGitHub, "BITBUCKET": DefaultBitbucket, "GITLAB": DefaultGitLab},
		host: map[string]string{},
		http: &http.Client{
			Timeout:   askLimit,
			Transport: reach.Transport(&http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: askLimit, IdleConnTimeout: idleLimit}),
			// A token must not be forwarded to another host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for provider, given := range map[string]string{"GITHUB": cfg.GitHub, "BITBUCKET": cfg.Bitbucket, "GITLAB": cfg.GitLab, "GITEA": cfg.Gitea} {
		if given == "" {
			continue
		}
		u, err := url.Parse(given)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" {
			return nil, fmt.Errorf("the address of %s's API is %q; it must be a URL like https://host/path", provider, given)
		}
		h.base[provider] = strings.TrimSuffix(given, "/")
	}
	for provider, base := range h.base {
		switch base {
		case DefaultGitHub:
			h.host[provider] = "github.com:443"
		case DefaultBitbucket:
			h.host[provider] = "bitbucket.org:443"
		default: // others have both at one address
			u, err := url.Parse(base)
			if err != nil {
				return nil, err
			}
			h.host[provider] = address(u)
		}
	}
	return h, nil
}

// reach returns the policy that also reaches the configured hosts.
func (c Config) reach() (*outbound.Policy, error) {
	var named []string
	for _, given := range []string{c.GitHub, c.Bitbucket, c.GitLab, c.Gitea} {
		if u, err := url.Parse(given); err == nil && u.Host != "" {
			named = append(named, u.Host)
		}
	}
	return c.Reach.And(named...)
}

// Owner returns the provider ("GITHUB", "BITBUCKET", "GITLAB", "GITEA") that has the repository of a URL;
// "" for other hosts, and for other protocols than HTTP, which take no tokens. Only
// an owner may be sent the token of a connection.
func (h *Hosts) Owner(repositoryURL string) string {
	u, err := url.Parse(repositoryURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	at := address(u)
	if same, ok := httpHosts[at]; ok {
		at = same
	}
	for provider, host := range h.host {
		// A token never goes to GitHub or Bitbucket in the clear.
		if at == host && (u.Scheme == "https" || strings.HasPrefix(h.base[provider], "http:")) {
			return provider
		}
	}
	return ""
}

// httpHosts are other names of public providers' hosts. A server of one's own has its
// name only: the token of git.example.com is not for www.git.example.com.
var httpHosts = map[string]string{"www.github.com:443": "github.com:443", "www.bitbucket.org:443": "bitbucket.org:443"}

// sshHosts are the names of public providers' ssh servers at port 443.
var sshHosts = map[string]string{
	"ssh.github.com:443": "github.com", "altssh.gitlab.com:443": "gitlab.com", "altssh.bitbucket.org:443": "bitbucket.org",
}

// Serves reports whether a connection's credential may be sent to the host of a
// repository: a token by https to the connection's host, a deploy key by ssh.
func (h *Hosts) Serves(c slipway.Connection, repositoryURL string) bool {
	protocol, host := slipway.RepositoryHost(repositoryURL)
	switch {
	case host == "" || (protocol == "ssh") != (c.PublicKey != ""):
		return false
	case c.Host != "":
		return (protocol == "https" || protocol == "ssh") && host == c.Host
	case protocol == "ssh":
		if same, ok := sshHosts[host]; ok {
			host = same
		}
		own, _, err := net.SplitHostPort(h.host[c.Provider])
		return err == nil && host == own
	}
	return c.Provider != "" && h.Owner(repositoryURL) == c.Provider
}

// address returns the host and port of a URL, for comparison.
func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), port)
}

// apiPaths are the paths of the APIs of providers that have hosts of their own.
var apiPaths = map[string]string{"GITHUB": "/api/v3", "GITLAB": "/api/v4", "GITEA": "/api/v1"}

// Accepts asks the provider of a connection whether it accepts a token. refusal is its
// reason, "" if it accepts; err means that it could not be asked. A token with a colon
// is a user name and a password, such as an API token of Bitbucket's. A plain git
// server ("GIT") can't be asked: it accepts every token until a repository is read.
func (h *Hosts) Accepts(ctx context.Context, c slipway.Connection, token string) (refusal string, err error) {
	provider := c.Provider
	base, ok := h.base[provider]
	switch {
	case provider == "GIT":
		return "", nil
	case c.Host != "" && apiPaths[provider] != "":
		base = "https://" + c.Host + apiPaths[provider]
	case !ok || c.Host != "":
		return "", fmt.Errorf("there is no provider %q at %q", provider, c.Host)
	}
	a, err := h.ask(ctx, base+"/user", token)
	if err != nil {
		return "", err
	}
	if provider == "GITHUB" && a.status == http.StatusForbidden && !a.limited {
		// The token of an installed GitHub App belongs to no user.
		if a, err = h.ask(ctx, base+"/installation/repositories?per_page=1", token); err != nil {
			return "", err
		}
	}
	switch {
	case a.status == http.StatusOK,
		// The others accept it, but it may not read the account. What it may read
		// shows when code is fetched.
		provider != "GITHUB" && a.status == http.StatusForbidden && !a.limited:
		return "", nil
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden && !a.limited:
		return a.message, nil
	}
	return "", fmt.Errorf("%s answered with status %d: %s", base, a.status, a.message)
}

// answer is a provider's answer to a question about a token.
type answer struct {
	status  int
	limited bool   // refused by rate limiting
	message string // the provider's message
}

func (h *Hosts) ask(ctx context.Context, at, token string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "slipway")
	if user, password, ok := strings.Cut(token, ":"); ok {
		req.SetBasicAuth(user, password)
	} else {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := h.http.Do(req)
	if err != nil {
		return answer{}, errors.New(outbound.Reason(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return answer{}, err
	}
	return answer{
		status:  resp.StatusCode,
		limited: resp.Header.Get("X-RateLimit-Remaining") == "0" || resp.Header.Get("Retry-After") != "",
		message: messageOf(body, fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))),
	}, nil
}

// messageOf finds the message in an error of GitHub ({"message": ...}) or
// Bitbucket ({"error": {"message": ...}}).
func messageOf(body []byte, otherwise string) string {
	var doc struct {
		Message string `json:"message"`
		Error   struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &doc) // a page in HTML has no message
	return outbound.Clean(cmp.Or(doc.Message, doc.Error.Message, otherwise))
}
