package image

import (
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/openslipway/slipway"
)

const (
	dockerHub = "docker.io"
	// localAlias begins an alias's target that is this server's own registry.
	// No other registry can have the name: it has neither a dot nor a port.
	localAlias = "local"
)

// ecrHost is the host of a private ECR registry, of any account and region.
var ecrHost = regexp.MustCompile(`^[0-9]{12}\.dkr[.-]ecr(?:-fips)?\.[a-z0-9-]+\.(?:amazonaws\.com(?:\.cn)?|on\.aws)$`)

// reference is a parsed image reference.
type reference struct {
	text   string // as the user wrote it
	host   string // "" when it names no registry
	repo   string
	tag    string // "" if there is a digest
	digest string
}

// parseReference parses a reference as Docker does: what comes before the first
// slash is a host if it has a dot or a port or is "localhost", and the tag is
// "latest" if there is neither tag nor digest.
func parseReference(text string) (reference, error) {
	parsed, err := name.ParseReference(text)
	if err != nil {
		return reference{}, slipway.Errorf(slipway.InvalidRequest, "%q is not the name of an image: [registry/]repository[:tag] or [registry/]repository@sha256:...", text)
	}
	r := reference{text: text}
	switch p := parsed.(type) {
	case name.Tag:
		r.tag = p.TagStr()
		if err := CheckTag(r.tag); err != nil {
			return reference{}, err
		}
	case name.Digest:
		r.digest = p.DigestStr()
		if _, err := parseDigest(r.digest); err != nil {
			return reference{}, err
		}
	}
	repo, _, _ := strings.Cut(text, "@")
	if i := strings.LastIndexByte(repo, ':'); i > strings.LastIndexByte(repo, '/') {
		repo = repo[:i]
	}
	if first, rest, ok := strings.Cut(repo, "/"); ok && isHost(first) {
		r.host, repo = first, rest
	}
	r.repo = repo
	return r, CheckRepository(repo)
}

// identifier returns the tag or the digest.
func (r reference) identifier() string {
	if r.digest != "" {
		return r.digest
	}
	return r.tag
}

// onHub returns the name with Docker Hub's host and, for official images, its
// namespace: "docker.io/library/redis" for "redis".
func (r reference) onHub() string {
	repo := r.repo
	if !strings.Contains(repo, "/") {
		repo = "library/" + repo
	}
	return dockerHub + "/" + repo
}

// fullName returns the repository's name with its host. Docker Hub's is in the
// form that marks official images.
func (r reference) fullName() string {
	switch r.host {
	case "", dockerHub, "index." + dockerHub:
		return r.onHub()
	}
	return r.host + "/" + r.repo
}

// aliased applies the best alias for the repository's name to r. local says
// whether the result is in this server's registry; ok is false if no alias
// matches.
func (r reference) aliased(name string, aliases []Alias) (out reference, local, ok bool) {
	best, to := -1, ""
	for _, a := range aliases {
		if rest, ok := under(name, a.From); ok && len(a.From) > best {
			best, to = len(a.From), a.To+rest
		}
	}
	if best < 0 {
		return r, false, false
	}
	r.host, r.repo = "", to
	first, rest, _ := strings.Cut(to, "/")
	switch {
	case first == localAlias:
		r.repo = rest
		return r, true, true
	case isHost(first):
		r.host, r.repo = first, rest
	default:
		r.host, r.repo, _ = strings.Cut(r.onHub(), "/")
	}
	return r, false, true
}

// isHost reports whether the part before a name's first slash is a host.
func isHost(first string) bool { return strings.ContainsAny(first, ".:") || first == "localhost" }

// under reports whether a repository's name equals from or lies under it, and
// returns the rest.
func under(repo, from string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(repo, from)
	return rest, ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(from, "/"))
}

// target is what a reference resolves to.
type target struct {
	reference
	// local are the candidate repositories in this server's registry, in the
	// order to try them.
	local []string
	// remote says to ask the registry of host.
	remote bool
	// hub says that a name without a host was taken for Docker Hub's.
	hub bool
}

// resolve decides by a reference's form where to look it up. hub says that a name
// without a registry's host may be Docker Hub's.
//
// Such a name never leaves this machine if this server's registry has its repository,
// with or without its tag: else a name that was meant for it would run whatever a
// stranger has published under it.
func (s *Store) resolve(text string, hub bool) (target, error) {
	r, err := parseReference(text)
	if err != nil {
		return target{}, err
	}
	if r.host != "" {
		to, local, _ := r.aliased(r.fullName(), s.cfg.Aliases)
		return s.locate(to, local)
	}
	if to, local, ok := r.aliased(r.repo, s.cfg.Aliases); ok {
		return s.locate(to, local)
	}
	for _, repo := range r.localNames() {
		if owned, err := s.owns(repo); err != nil {
			return target{}, err
		} else if owned {
			return target{reference: r, local: []string{repo}}, nil
		}
	}
	to, local, ok := r.aliased(r.onHub(), s.cfg.Aliases)
	if local {
		return s.locate(to, local)
	}
	if !hub {
		return target{}, r.refused()
	}
	if !ok {
		to.host, to.repo, _ = strings.Cut(r.onHub(), "/")
	}
	t, err := s.locate(to, false)
	t.hub = true
	return t, err
}

// owns reports whether this server's registry has a repository, with images or
// without.
func (s *Store) owns(repo string) (bool, error) {
	if CheckRepository(repo) != nil {
		return false, nil
	}
	known, err := exists(s.repositoryPath(repo, manifestDir))
	if known || err != nil || s.cfg.Created == nil {
		return known, err
	}
	return s.cfg.Created(repo)
}

// refused says why a name without a registry means nothing here.
func (r reference) refused() error {
	return slipway.Errorf(slipway.NotFound, "The image %q was not found: this server's registry has no repository %q, and a name without a registry's host is not looked up elsewhere. "+
		"Push or import it, or write %s if Docker Hub's is meant. (`slipway serve --docker-hub` lets such names mean Docker Hub.)", r.text, r.repo, r.named(r.onHub()))
}

// named returns the reference with another name of its repository.
func (r reference) named(repo string) string {
	if r.digest != "" {
		return repo + "@" + r.digest
	}
	return repo + ":" + r.tag
}

// locate decides where to look a reference up after aliases are applied.
func (s *Store) locate(r reference, local bool) (target, error) {
	if local || ecrHost.MatchString(r.host) || s.isLocalHost(r.host) {
		return target{reference: r, local: []string{r.repo}}, CheckRepository(r.repo)
	}
	return target{reference: r, remote: true}, nil
}

// localNames returns the repositories of this server's registry that a name
// without a host may mean. It means the first that there is, and never a later one
// because that lacks the image.
func (r reference) localNames() []string {
	if official, ok := strings.CutPrefix(r.repo, "library/"); ok {
		return []string{r.repo, official}
	}
	if !strings.Contains(r.repo, "/") {
		return []string{r.repo, "library/" + r.repo}
	}
	return []string{r.repo}
}

func (s *Store) isLocalHost(host string) bool {
	return host != "" && s.cfg.LocalHosts != nil && slices.Contains(s.cfg.LocalHosts(), host)
}

// localName returns the repository and tag of this server's registry that an
// image called text is imported under: those of the name, without a registry's
// host.
func localName(text string) (repo, tag string, err error) {
	r, err := parseReference(text)
	if err != nil {
		return "", "", err
	}
	if r.digest != "" {
		return "", "", slipway.Errorf(slipway.InvalidRequest, "%q has a digest; an imported image needs a tag.", text)
	}
	repo = r.repo
	if r.host == dockerHub {
		repo = strings.TrimPrefix(repo, "library/")
	}
	return repo, r.tag, CheckRepository(repo)
}
