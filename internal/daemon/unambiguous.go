package daemon

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// unambiguous refuses requests that two readers may understand differently: of a header or
// a key of the query that comes twice one reader takes the first and another the last, and
// an escaped slash or dot in a path is a part of a name to one and a separator to another.
// A proxy, a signature and what is behind them must read the same. All of it is refused
// before any handler, so that no route can forget it. net/http itself refuses a second
// Host, and Content-Lengths that differ.
func unambiguous(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if why := ambiguity(r); why != "" {
			http.Error(w, why, http.StatusBadRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ambiguity says what two readers may understand differently, "" for nothing.
func ambiguity(r *http.Request) string {
	for name, values := range r.Header {
		if len(values) > 1 && decides(name) {
			return fmt.Sprintf("The header %.64s comes %d times; it must come once.", name, len(values))
		}
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "The query cannot be read: it has an escape that is none, or a semicolon. Pairs are joined by &."
	}
	for key, values := range query {
		if len(values) > 1 {
			return fmt.Sprintf("The query has the key %.64q %d times; it must have it once.", key, len(values))
		}
	}
	path := strings.ToLower(r.URL.EscapedPath())
	for _, escape := range []string{"%2f", "%2e", "%5c", "%25", "%00"} {
		if strings.Contains(path, escape) {
			return fmt.Sprintf("The path has the escape %s; no name here needs it.", escape)
		}
	}
	return ""
}

// deciders are the headers, or with a * the beginnings of their names, that decide who
// calls, what is asked, or how a body is read. Others, such as Accept, may come twice.
var deciders = []string{
	"Authorization", "Content-Type", "Content-Encoding", "Content-Range", "Content-Length", "Date", "Range", "Origin",
	"X-Amz-*", "Amz-Sdk-*", "X-Forwarded-*", "X-Hub-*", "X-Github-*", "X-Gitlab-*", "X-Gitea-*", "X-Forgejo-*", "X-Gogs-*",
	"X-Event-Key", "X-Hook-Uuid", "X-Request-*",
}

func decides(name string) bool {
	return slices.ContainsFunc(deciders, func(d string) bool {
		beginning, many := strings.CutSuffix(d, "*")
		return name == d || many && strings.HasPrefix(name, beginning)
	})
}
