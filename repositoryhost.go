package slipway

import (
	"net/url"
	"regexp"
	"strings"
)

// scpForm matches ssh's short form of a repository's URL, user@host:path.
var scpForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*@([A-Za-z0-9][A-Za-z0-9.-]*):[^/:]`)

// RepositoryHost returns the protocol of a repository's URL and its host, with the port
// where that is not the protocol's own, in lower case; "" for what is no such URL.
// Credentials are bound to a host by it.
func RepositoryHost(repositoryURL string) (protocol, host string) {
	if m := scpForm.FindStringSubmatch(repositoryURL); m != nil {
		return "ssh", strings.ToLower(strings.TrimSuffix(m[1], "."))
	}
	u, err := url.Parse(repositoryURL)
	if err != nil || u.Opaque != "" || u.Hostname() == "" {
		return "", ""
	}
	host = strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	own := map[string]string{"https": "443", "http": "80", "ssh": "22"}[u.Scheme]
	if port := u.Port(); port != "" && port != own {
		host += ":" + port
	}
	return u.Scheme, host
}
