package git

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/openslipway/slipway"
)

// Remote is a commit's place: a repository and what of it is meant.
type Remote struct {
	// URL is https://host/path, ssh://user@host/path, user@host:path, or file:///path
	// where Config.Directories allows it. It holds no password.
	URL string

	Ref        Ref
	Directory  string // of the repository, that Revision.DirectoryTree is about; "" and "/": all of it
	Credential Credential
}

// Ref says which commit of a repository is meant. At most one field is set; none
// means the commit at HEAD, the tip of the default branch.
type Ref struct {
	Name   string // of a branch or, where there is no branch of this name, of a tag
	Branch string
	Tag    string
	Commit string // 40 or 64 hexadecimal digits
}

// ParseRef reads what users write for a reference: a name, which is a branch or else a
// tag, as for git clone --branch; a full name below refs/heads or refs/tags, which is
// nothing else; or a commit's whole id, which is a commit, as for git, also if a branch
// is called so.
func ParseRef(text string) Ref {
	if id := strings.ToLower(text); commitID.MatchString(id) {
		return Ref{Commit: id}
	}
	if tag, ok := strings.CutPrefix(text, "refs/tags/"); ok {
		return Ref{Tag: tag}
	}
	if branch, ok := strings.CutPrefix(text, "refs/heads/"); ok {
		return Ref{Branch: branch}
	}
	return Ref{Name: text}
}

// names returns the full names that the reference may have in a repository, the one that
// precedes first.
func (r Ref) names() []string {
	switch {
	case r.Name != "":
		return []string{"refs/heads/" + r.Name, "refs/tags/" + r.Name}
	case r.Branch != "":
		return []string{"refs/heads/" + r.Branch}
	case r.Tag != "":
		return []string{"refs/tags/" + r.Tag}
	}
	return []string{"HEAD"}
}

// String names the reference in messages.
func (r Ref) String() string {
	switch {
	case r.Name != "":
		return fmt.Sprintf("a branch or a tag %q", r.Name)
	case r.Branch != "":
		return fmt.Sprintf("the branch %q", r.Branch)
	case r.Tag != "":
		return fmt.Sprintf("the tag %q", r.Tag)
	case r.Commit != "":
		return "the commit " + r.Commit
	}
	return "the default branch"
}

// Credential is what a server asks for. It is sent only to the host of the
// repository's URL.
type Credential struct {
	// Username and Password are presented by HTTP's basic authentication, as git
	// itself does. Providers ignore the name, or have one for tokens: see package
	// codehost.
	Username, Password string

	Bearer     string // a token presented as "Authorization: Bearer"
	PrivateKey []byte // for ssh, in OpenSSH's or PEM form, without a passphrase
	KnownHosts []byte // keys of the server in the form of known_hosts, besides Config.KnownHosts
}

// header returns the header that presents the credential; "" for none.
func (c Credential) header() string {
	switch {
	case c.Bearer != "":
		return "Authorization: Bearer " + c.Bearer
	case c.Password != "":
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password))
	}
	return ""
}

// secrets returns what must not appear in a message or a log.
func (c Credential) secrets() []string {
	all := []string{c.Password, c.Bearer}
	if _, encoded, ok := strings.Cut(c.header(), "Basic "); ok {
		all = append(all, encoded)
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// Limits of what users give, in bytes.
const (
	maxURL = 2048
	maxRef = 1024
)

// scpLike matches ssh's short form, user@host:path. Without a user it could be a
// URL of an unknown kind.
var scpLike = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9._-]*)@([A-Za-z0-9][A-Za-z0-9.-]*):([^/:].*)$`)

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

// parseURL checks a repository's URL. The result has scheme, user, host and path,
// and nothing else.
func parseURL(given string) (*url.URL, error) {
	refuse := func(why string) (*url.URL, error) {
		return nil, slipway.Errorf(slipway.InvalidRequest, "The repository URL %q %s.", shown(given), why)
	}
	const forms = "is not understood; use https://host/path, ssh://user@host/path or user@host:path"
	if len(given) > maxURL {
		return refuse(fmt.Sprintf("is longer than %d bytes", maxURL))
	}
	if strings.HasPrefix(given, "-") || strings.Contains(given, "::") && !strings.Contains(given, "[") {
		return refuse(forms)
	}
	if strings.ContainsFunc(given, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return refuse("has control characters")
	}
	if m := scpLike.FindStringSubmatch(given); m != nil {
		return &url.URL{Scheme: "ssh", User: url.User(m[1]), Host: m[2], Path: "/" + m[3]}, nil
	}
	u, err := url.Parse(given)
	if err != nil || u.Opaque != "" {
		return refuse(forms)
	}
	if _, secret := u.User.Password(); secret {
		return refuse("contains a password; remove it and use a connection")
	}
	if u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return refuse("must not have a query or a fragment")
	}
	if u.Path == "" || u.Path == "/" || strings.ContainsAny(u.Path, "\n\x00") {
		return refuse("names no repository: it has no path")
	}
	switch u.Scheme {
	case "https", "http", "ssh":
		if !validHost(u) {
			return refuse("has no valid host")
		}
		if user := u.User.Username(); u.Scheme == "ssh" && !regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9._-]*)?$`).MatchString(user) {
			return refuse("has no valid user")
		}
	case "file":
		if u.Host != "" || u.User != nil {
			return refuse("must have the form file:///path")
		}
		u.Path = path.Clean(u.Path)
	default:
		return refuse(forms)
	}
	return u, nil
}

func validHost(u *url.URL) bool {
	host := u.Hostname()
	return hostName.MatchString(host) || net.ParseIP(host) != nil
}

// shown returns a URL as messages show it: without a password.
func shown(given string) string {
	if u, err := url.Parse(given); err == nil {
		return u.Redacted()
	}
	if at := strings.LastIndexByte(given, '@'); at >= 0 {
		return "..." + given[at:]
	}
	return given
}

// address returns host and port of a URL.
func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80", "ssh": "22"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

var commitID = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// check refuses references that git could take for something else.
func (r Ref) check() error {
	set := 0
	for member, value := range map[string]string{"branch or tag": r.Name, "branch": r.Branch, "tag": r.Tag} {
		if value == "" {
			continue
		}
		set++
		if !validRef(value) {
			return slipway.Errorf(slipway.InvalidRequest, "The %s %q is not a name that git allows.", member, value)
		}
	}
	if r.Commit != "" {
		set++
		if !commitID.MatchString(r.Commit) {
			return slipway.Errorf(slipway.InvalidRequest, "The commit %q is not a full commit id of 40 hexadecimal digits in lower case.", r.Commit)
		}
	}
	if set > 1 {
		return slipway.Errorf(slipway.InvalidRequest, "Only one of branch, tag and commit can be given.")
	}
	return nil
}

// validRef holds the rules of git-check-ref-format, and refuses a leading dash.
func validRef(name string) bool {
	if len(name) > maxRef || strings.HasPrefix(name, "-") || name == "@" || strings.HasSuffix(name, ".") ||
		strings.Contains(name, "..") || strings.Contains(name, "@{") || strings.ContainsAny(name, " ~^:?*[\\\x7f") {
		return false
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return true
}

// cleanDirectory returns a directory of the repository without slashes around it;
// "" for the root.
func cleanDirectory(dir string) (string, error) {
	for part := range strings.SplitSeq(dir, "/") {
		if part == ".." {
			return "", slipway.Errorf(slipway.InvalidRequest, "The source directory %q must not contain \"..\".", dir)
		}
	}
	if strings.ContainsAny(dir, "\n\x00") || len(dir) > maxPath {
		return "", slipway.Errorf(slipway.InvalidRequest, "The source directory %.100q is not a path.", dir)
	}
	return strings.TrimPrefix(path.Clean("/"+dir), "/"), nil
}
