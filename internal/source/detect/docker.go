package detect

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/openslipway/slipway/internal/source/config"
)

// dockerfile takes the user's Dockerfile, which wins over all languages.
func (s *scan) dockerfile() bool {
	name := s.first("Dockerfile", "dockerfile", "Containerfile")
	reason := name + " is there and wins over the languages"
	if named := s.hosted.dockerfile; named != "" {
		if s.has(named) {
			name, reason = named, s.hosted.dockerfileFrom+" names "+named
		} else {
			s.warn("%s names %s, which does not exist.", s.hosted.dockerfileFrom, named)
		}
	}
	if name == "" {
		return false
	}
	s.Language, s.Dockerfile = "docker", name
	s.File.Runtime = config.Docker
	s.why("%s -> docker", reason)
	if s.hosted.command != "" && !strings.HasPrefix(s.hosted.from, "Procfile") {
		s.honour()
	} else {
		s.why("the start command is the image's own: its ENTRYPOINT and CMD")
	}
	if name != "Dockerfile" {
		s.warn("An apprunner.yaml can't name the file: the build looks for Dockerfile, not for %s.", name)
	}
	if s.hosted.port == 0 {
		port, line := exposed(s.text(name))
		if port != 0 {
			s.listens(port, name+":"+strconv.Itoa(line)+" exposes "+strconv.Itoa(port))
		}
	}
	s.finish()
	return true
}

var (
	exposeLine = regexp.MustCompile(`(?i)^\s*EXPOSE\s+(.+)$`)
	fromLine   = regexp.MustCompile(`(?i)^\s*FROM\s`)
	argLine    = regexp.MustCompile(`(?i)^\s*(?:ARG|ENV)\s+([A-Za-z_][A-Za-z0-9_]*)[= ]"?([0-9]{1,5})"?\s*$`)
	varForm    = regexp.MustCompile(`^\$\{?([A-Za-z_][A-Za-z0-9_]*)(?::-([0-9]+))?\}?$`)
)

// exposed returns the first TCP port that the last stage of a Dockerfile exposes, and
// its line. It understands variables with a default in the file.
func exposed(text string) (port, at int) {
	values := map[string]string{}
	n := 0
	for l := range strings.Lines(text) {
		n++
		if fromLine.MatchString(l) {
			port, at = 0, 0
		}
		if m := argLine.FindStringSubmatch(l); m != nil {
			values[m[1]] = m[2]
		}
		m := exposeLine.FindStringSubmatch(strings.TrimRight(l, "\r\n"))
		if m == nil || port != 0 {
			continue
		}
		for _, word := range strings.Fields(m[1]) {
			word, protocol, _ := strings.Cut(word, "/")
			if v := varForm.FindStringSubmatch(word); v != nil {
				word = v[2]
				if known := values[v[1]]; known != "" {
					word = known
				}
			}
			if p, err := strconv.Atoi(word); err == nil && p > 0 && p < 1<<16 && !strings.EqualFold(protocol, "udp") {
				port, at = p, n
				break
			}
		}
	}
	return port, at
}
