package slipway

import (
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// scpForm matches ssh's short form of a repository's URL, user@host:path.
var scpForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*@([A-Za-z0-9][A-Za-z0-9.-]*):[^/:]`)

// hostForm matches the names of hosts, in lower case.
var hostForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$`)

// RepositoryHost returns the protocol of a repository's URL and its host, with the port
// where that is not the protocol's own, in lower case; "" for what is no such URL.
// Credentials are bound to a host by it.
func RepositoryHost(repositoryURL string) (protocol, host string) {
	if m := scpForm.FindStringSubmatch(repositoryURL); m != nil {
		if host = cleanHost(m[1]); host == "" {
			return "", ""
		}
		return "ssh", host
	}
	u, err := url.Parse(repositoryURL)
	if err != nil || u.Scheme == "" || u.Opaque != "" {
		return "", ""
	}
	if host = cleanHost(u.Hostname()); host == "" {
		return "", ""
	}
	own := map[string]string{"https": "443", "http": "80", "ssh": "22"}[u.Scheme]
	if port := u.Port(); port != "" && port != own {
		host += ":" + port
	}
	return u.Scheme, host
}

// cleanHost returns the name or the address of a host in the form of URLs; "" if it is
// neither.
func cleanHost(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil && hostForm.MatchString(host), err == nil && ip.Is4():
		return host
	case err == nil && ip.Zone() == "":
		return "[" + host + "]"
	}
	return ""
}
