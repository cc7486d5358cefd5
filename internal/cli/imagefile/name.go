package imagefile

import (
	"path/filepath"
	"strings"
)

// rename sets Name and Tag from a reference: its repository, without the registry
// and Docker Hub's "library", and its tag. Invalid characters are removed.
func (i *Image) rename(reference string) {
	reference, _, _ = strings.Cut(reference, "@")
	repository, tag := reference, ""
	if at := strings.LastIndexByte(reference, ':'); at > strings.LastIndexByte(reference, '/') {
		repository, tag = reference[:at], reference[at+1:]
	} else if !strings.Contains(reference, "/") {
		// An annotation may hold a bare tag: the image-spec allows any text.
		repository, tag = "", reference
	}
	if host, rest, ok := strings.Cut(repository, "/"); ok && (strings.ContainsAny(host, ".:") || host == "localhost") {
		repository = strings.TrimPrefix(rest, "library/")
	}
	if name := repositoryPath(repository); name != "" {
		i.Name = name
	}
	if isTag(tag) {
		i.Tag = tag
	}
}

// repositoryPath makes each element of a repository's name valid.
func repositoryPath(s string) string {
	var elements []string
	for element := range strings.SplitSeq(s, "/") {
		if name := repositoryName(element); name != "" {
			elements = append(elements, name)
		}
	}
	return strings.Join(elements, "/")
}

func nameFromPath(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	base := filepath.Base(path)
	for _, suffix := range []string{".gz", ".tgz", ".tar", ".oci"} {
		base = strings.TrimSuffix(base, suffix)
	}
	if name := repositoryName(base); name != "" {
		return name
	}
	return "image"
}

// repositoryName converts text without a slash to an element of a repository's
// name: lower-case letters and digits, with single separators . _ - within. It is
// empty if too little is left.
func repositoryName(s string) string {
	s = strings.ToLower(s)
	var b strings.Builder
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.ContainsRune("._-", rune(b.String()[b.Len()-1])):
			if r != '.' && r != '_' {
				r = '-'
			}
			b.WriteRune(r)
		}
	}
	const shortest, longest = 2, 128 // registry clients refuse a single character
	name := strings.TrimRight(b.String()[:min(b.Len(), longest)], "._-")
	if len(name) < shortest {
		return ""
	}
	return name
}

// isTag reports whether s is a valid tag of the distribution-spec.
func isTag(s string) bool {
	if s == "" || len(s) > 128 || s[0] == '.' || s[0] == '-' {
		return false
	}
	for _, r := range s {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '.' || r == '-'
		if !ok {
			return false
		}
	}
	return true
}
