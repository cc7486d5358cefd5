package source

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
)

// Moved reports whether a push concerns what a service is built from: its repository,
// and its branch or tag.
func Moved(s types.SourceConfiguration, p slipway.Push) bool {
	r := s.CodeRepository
	if r == nil || r.SourceCodeVersion == nil {
		return false
	}
	ref := aws.ToString(r.SourceCodeVersion.Value)
	if !slices.Contains(p.Refs, ref) && !slices.Contains(p.Refs, "refs/heads/"+ref) && !slices.Contains(p.Refs, "refs/tags/"+ref) {
		return false
	}
	key := repositoryKey(aws.ToString(r.RepositoryUrl))
	if key == "" {
		return false
	}
	if slices.ContainsFunc(p.URLs, func(u string) bool { return repositoryKey(u) == key }) {
		return true
	}
	auth := s.AuthenticationConfiguration
	return p.Path != "" && auth != nil && aws.ToString(auth.ConnectionArn) == p.Connection &&
		strings.HasSuffix(key, "/"+strings.ToLower(p.Path))
}

// Ports and hosts that mean the same as none or another one.
var (
	defaultPorts = map[string]string{"https": "443", "http": "80", "ssh": "22", "git": "9418"}
	sameHosts    = map[string]string{
		"www.github.com": "github.com", "www.bitbucket.org": "bitbucket.org", "www.gitlab.com": "gitlab.com",
		// SSH at port 443, for networks that let nothing else out.
		"ssh.github.com:443": "github.com", "altssh.bitbucket.org:443": "bitbucket.org", "altssh.gitlab.com:443": "gitlab.com",
	}
	scpForm = regexp.MustCompile(`^(?:[^@/:\s]+@)?([^@/:\s]+):([^\s]*)$`)
)

// repositoryKey returns what the URLs of one repository have in common: host and path.
// The protocol, the user, a default port, the case of letters and .git at the end do
// not matter. It is "" for a text that is no URL of a repository.
//
// Providers take paths without regard to case. Where a server does not, a push to
// one repository makes services of the other look at theirs, which is harmless.
func repositoryKey(text string) string {
	scheme, host, at := "", "", ""
	if u, err := url.Parse(text); err == nil && u.Scheme != "" && u.Opaque == "" && strings.Contains(text, "://") {
		scheme, at = strings.ToLower(u.Scheme), u.Path
		host = strings.TrimSuffix(u.Hostname(), ".")
		if port := u.Port(); port != "" && port != defaultPorts[scheme] {
			host += ":" + port
		}
	} else if m := scpForm.FindStringSubmatch(text); m != nil && !strings.Contains(text, "://") {
		host, at = strings.TrimSuffix(m[1], "."), m[2]
	}
	host = strings.ToLower(host)
	if same, ok := sameHosts[host]; ok {
		host = same
	}
	at = strings.Trim(path.Clean("/"+strings.ToLower(at)), "/")
	at = strings.TrimSuffix(at, ".git")
	if host == "" && scheme != "file" || at == "" {
		return ""
	}
	return host + "/" + at
}
