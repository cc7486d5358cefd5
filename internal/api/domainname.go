package api

import (
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/openslipway/slipway"
)

// longestDomain is the length of the longest name whose validation records fit
// into DNS names, which have at most 253 characters.
const longestDomain = 253 - len("_0123456789abcdef0123456789abcdef.2a57j7aaaaaaaaaaaaaaaaaaaaaaaa.")

// checkDomainName refuses a name that App Runner does not accept for a custom
// domain. It accepts a root domain, anything below one or, without www, the
// wildcard directly below a root domain. own is the domain of service URLs.
// https://docs.aws.amazon.com/apprunner/latest/dg/manage-custom-domains.html
func checkDomainName(name string, www bool, own string) error {
	refuse := func(reason string) error {
		return slipway.Errorf(slipway.InvalidRequest, "DomainName is %s, which %s.", name, reason)
	}
	host := strings.ToLower(name)
	base, wildcard := strings.CutPrefix(host, "*.")
	switch {
	case strings.Contains(base, "*"):
		return refuse("has a * that is not the whole first label")
	case !hasLabels(base):
		return refuse("is no host name: it must be labels of 1 to 63 letters, digits and inner hyphens, joined by dots")
	case len(base) > longestDomain:
		return refuse("is too long for its validation records: at most 188 characters fit")
	case !strings.Contains(base, "."):
		return refuse("has a single label: it must be below a top-level domain")
	case strings.Trim(base[strings.LastIndex(base, ".")+1:], "0123456789") == "":
		return refuse("ends like an IP address: it must be a host name")
	case base == own || strings.HasSuffix(base, "."+own) || www && "www."+base == own:
		return refuse("belongs to this server's own domain " + own)
	}
	if suffix, icann := publicsuffix.PublicSuffix(base); suffix == base && icann {
		return refuse("is a public suffix, under which others have their domains")
	}
	if !wildcard {
		return nil
	}
	if root, err := publicsuffix.EffectiveTLDPlusOne(base); err == nil && root != base {
		return refuse("is a wildcard below a subdomain: it must be directly below the root domain, *." + root)
	}
	if www {
		return slipway.Errorf(slipway.InvalidRequest,
			"DomainName is %s, a wildcard: EnableWWWSubdomain, which is true by default, must be false.", name)
	}
	return nil
}

// hasLabels reports whether a name in lower case consists of valid host name
// labels.
func hasLabels(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if len(label) < 1 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}
