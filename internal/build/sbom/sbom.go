package sbom

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Component is a package in an image.
type Component struct {
	Type      string // as in package URLs: "npm", "golang", "pypi", "gem", "composer", "maven", "deb", "apk"
	Namespace string // what comes before the name, without slashes around it; "" for none
	Name      string
	Version   string
	Found     string // path in the image of the file that says so
	Declared  bool   // by a lock file; whether it is installed is not known
}

// URL returns the component's package URL.
// https://github.com/package-url/purl-spec
func (c Component) URL() string {
	var b strings.Builder
	b.WriteString("pkg:" + c.Type + "/")
	for part := range strings.SplitSeq(c.Namespace, "/") {
		if part != "" {
			b.WriteString(escape(part) + "/")
		}
	}
	b.WriteString(escape(c.Name))
	if c.Version != "" {
		b.WriteString("@" + escape(c.Version))
	}
	return b.String()
}

// escape encodes what is not a letter, a digit or one of ".-_~:" in percent signs.
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(".-_~:", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// maxText is the length of the longest name or version, in bytes.
const maxText = 256

// valid reports whether what a file says can be a package.
func (c Component) valid() bool {
	for _, s := range []string{c.Namespace, c.Name, c.Version} {
		if len(s) > maxText || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
			return false
		}
	}
	return c.Name != ""
}

// sortComponents puts components in order, each once: found installed rather than
// declared.
func sortComponents(list []Component) []Component {
	slices.SortFunc(list, func(a, b Component) int {
		declared := 0
		if a.Declared != b.Declared {
			declared = -1
			if a.Declared {
				declared = 1
			}
		}
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name),
			strings.Compare(a.Version, b.Version), declared, strings.Compare(a.Found, b.Found))
	})
	return slices.CompactFunc(list, func(a, b Component) bool {
		return a.Type == b.Type && a.Namespace == b.Namespace && a.Name == b.Name && a.Version == b.Version
	})
}

// Subject is the image that a document is about.
type Subject struct {
	Name    string    // of the service
	Version string    // commit; may be ""
	Time    time.Time // of the commit; zero for none
	Tool    string    // version of the builder; may be ""
	Serial  string    // 32 hexadecimal digits that only this image's content gives
	Partial bool      // the scan met a bound
}

// MediaType is that of documents.
const MediaType = "application/vnd.cyclonedx+json"

// The document, as far as it is used. https://cyclonedx.org/docs/1.5/json/
type (
	document struct {
		Format       string        `json:"bomFormat"`
		SpecVersion  string        `json:"specVersion"`
		Serial       string        `json:"serialNumber,omitempty"`
		Version      int           `json:"version"`
		Metadata     metadata      `json:"metadata"`
		Components   []component   `json:"components"`
		Compositions []composition `json:"compositions"`
	}
	metadata struct {
		Timestamp string    `json:"timestamp,omitempty"`
		Tools     tools     `json:"tools"`
		Component component `json:"component"`
	}
	tools struct {
		Components []component `json:"components"`
	}
	component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref,omitempty"`
		Group      string     `json:"group,omitempty"`
		Name       string     `json:"name"`
		Version    string     `json:"version,omitempty"`
		URL        string     `json:"purl,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	composition struct {
		Aggregate  string   `json:"aggregate"`
		Assemblies []string `json:"assemblies"`
	}
)

// Names of properties in a document.
const (
	PropertyFound    = "io.slipway.found"    // the file that names the package
	PropertyEvidence = "io.slipway.evidence" // "installed" or "declared"
)

const subjectRef = "image"

// Document writes components as a CycloneDX document. The same arguments give the same
// bytes.
func Document(s Subject, list []Component) ([]byte, error) {
	d := document{
		Format: "CycloneDX", SpecVersion: "1.5", Version: 1, Components: []component{},
		Metadata: metadata{
			Tools:     tools{[]component{{Type: "application", Name: "slipway", Version: s.Tool}}},
			Component: component{Type: "container", Ref: subjectRef, Name: s.Name, Version: s.Version},
		},
		// A scan cannot know what nobody left a record of.
		Compositions: []composition{{Aggregate: "unknown", Assemblies: []string{subjectRef}}},
	}
	if s.Partial {
		d.Compositions[0].Aggregate = "incomplete"
	}
	if !s.Time.IsZero() {
		d.Metadata.Timestamp = s.Time.UTC().Format(time.RFC3339)
	}
	if h := s.Serial; len(h) == 32 {
		d.Serial = "urn:uuid:" + h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	}
	for _, c := range list {
		evidence := "installed"
		if c.Declared {
			evidence = "declared"
		}
		url := c.URL()
		d.Components = append(d.Components, component{
			Type: "library", Ref: url, Group: c.Namespace, Name: c.Name, Version: c.Version, URL: url,
			Properties: []property{{PropertyEvidence, evidence}, {PropertyFound, c.Found}},
		})
	}
	return json.MarshalIndent(d, "", " ")
}
