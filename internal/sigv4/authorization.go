package sigv4

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	timeFormat = "20060102T150405Z"
	dateFormat = "20060102"
)

// authorization is a request's parsed signature headers.
type authorization struct {
	keyID                 string
	date, region, service string // the credential's scope
	signedHeaders         []string
	signature             string
	at                    time.Time // from X-Amz-Date or Date
}

// parse reads a request's Authorization and date headers.
func parse(h http.Header) (authorization, error) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return authorization{}, refuse(MissingAuthenticationToken, "Request is missing Authentication Token")
	}
	if len(values) > 1 {
		return authorization{}, refuse(IncompleteSignature, "The request has several Authorization headers.")
	}
	scheme, params, _ := strings.Cut(strings.TrimSpace(values[0]), " ")
	if scheme != algorithm {
		return authorization{}, refuse(IncompleteSignature,
			"Authorization header requires '%s'. Authorization header requires 'Credential' parameter. "+
				"Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter.", algorithm)
	}
	a, err := parseParameters(params)
	if err != nil {
		return authorization{}, err
	}
	a.at, err = signingTime(h)
	return a, err
}

// parseParameters reads "Credential=..., SignedHeaders=..., Signature=...", in
// any order.
func parseParameters(s string) (a authorization, err error) {
	p := map[string]string{}
	for part := range strings.SplitSeq(s, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || p[name] != "" {
			return a, refuse(IncompleteSignature, "Authorization header is not a comma-separated list of distinct name=value parameters.")
		}
		p[name] = value
	}
	var missing []string
	for _, name := range []string{"Credential", "Signature", "SignedHeaders"} {
		if p[name] == "" {
			missing = append(missing, "Authorization header requires '"+name+"' parameter.")
		}
	}
	if missing != nil {
		return a, refuse(IncompleteSignature, "%s", strings.Join(missing, " "))
	}
	c := strings.Split(p["Credential"], "/")
	if len(c) != 5 || slices.Contains(c, "") {
		return a, refuse(IncompleteSignature,
			"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.")
	}
	if c[4] != terminator {
		return a, refuse(InvalidSignature, "Credential should be scoped with a valid terminator: '%s'.", terminator)
	}
	a.keyID, a.date, a.region, a.service = c[0], c[1], c[2], c[3]
	a.signature = p["Signature"]
	a.signedHeaders = strings.Split(p["SignedHeaders"], ";")
	// Canonical requests list each header once, sorted. Another order can't
	// have been signed, and must not make a header count as signed.
	for i, name := range a.signedHeaders {
		if name == "" || name != strings.ToLower(name) || i > 0 && name <= a.signedHeaders[i-1] {
			return a, refuse(IncompleteSignature, "SignedHeaders must be distinct lower-case names in alphabetical order.")
		}
	}
	return a, nil
}

func signingTime(h http.Header) (time.Time, error) {
	if v := h.Get("X-Amz-Date"); v != "" {
		t, err := time.Parse(timeFormat, v)
		if err != nil {
			return t, refuse(IncompleteSignature, "Date must be in ISO-8601 'basic format'. Got '%.40s'.", v)
		}
		return t, nil
	}
	v := h.Get("Date")
	if v == "" {
		return time.Time{}, refuse(IncompleteSignature,
			"Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	if t, err := time.Parse(timeFormat, v); err == nil {
		return t, nil
	}
	t, err := http.ParseTime(v)
	if err != nil {
		return t, refuse(IncompleteSignature, "Date must be in ISO-8601 'basic format' or an HTTP date. Got '%.40s'.", v)
	}
	return t.UTC(), nil
}

// mustSign returns a header that the request carries and must sign but does
// not: the host, and every header that AWS gives a meaning.
func (a authorization) mustSign(h http.Header) (string, bool) {
	if !slices.Contains(a.signedHeaders, "host") {
		return "Host", true
	}
	for name := range h {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") && !slices.Contains(a.signedHeaders, lower) {
			return name, true
		}
	}
	return "", false
}

// ClaimedService returns the service that a request says it is signed for, ""
// if it is not signed. It is not verified; it only selects who answers.
func ClaimedService(h http.Header) string {
	a, err := parse(h)
	if err != nil {
		return ""
	}
	return a.service
}
