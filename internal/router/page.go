package router

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/http"
	"strconv"
	"strings"
)

// pageID identifies a response that the router gives by itself.
type pageID uint8

const (
	pageBadRequest pageID = iota
	pageNotFound
	pageMethod
	pageTimeout
	pageTarget
	pageExpectation
	pageTooMany
	pageHead
	pageCoding
	pageBadAnswer
	pagePaused
	pageNotDeployed
	pageUnreachable
	pageLimit
	pageVersion
	pageCount
)

// page is such a response. It is constant: it contains nothing of the request,
// so nothing can be smuggled into it.
type page struct {
	status     int
	code       string // for programs
	title      string
	text       string
	retryAfter string // seconds; empty for no header

	json, html []byte
}

var pages = makePages([pageCount]page{
	pageBadRequest:  {status: 400, code: "bad_request", title: "Bad request", text: "This request is not well-formed HTTP, so it was not passed on."},
	pageNotFound:    {status: 404, code: "unknown_service", title: "No service here", text: "No service answers at this address. It may be misspelt, or the service was deleted."},
	pageMethod:      {status: 405, code: "method_not_allowed", title: "Method not allowed", text: "The method CONNECT is not served here."},
	pageTimeout:     {status: 408, code: "request_timeout", title: "Request timed out", text: "The request's header did not arrive in time."},
	pageTarget:      {status: 414, code: "target_too_long", title: "Address too long", text: "The address in this request is longer than 8 KiB."},
	pageExpectation: {status: 417, code: "expectation_failed", title: "Expectation failed", text: "The only expectation that can be met is 100-continue."},
	pageTooMany:     {status: 429, code: "too_many_requests", title: "Too many requests", text: "All instances of this service are busy and too many requests wait already. Try again in a moment.", retryAfter: "1"},
	pageHead:        {status: 431, code: "header_too_large", title: "Header too large", text: "The header of this request is larger than 64 KiB or has more than 200 fields."},
	pageCoding:      {status: 501, code: "unsupported_coding", title: "Unsupported coding", text: "The only transfer coding that is understood is chunked."},
	pageBadAnswer:   {status: 502, code: "bad_answer", title: "No valid answer", text: "The service broke off, or what it answered is not HTTP."},
	pagePaused:      {status: 503, code: "service_paused", title: "This service is paused", text: "It does not answer until its owner resumes it."},
	pageNotDeployed: {status: 503, code: "service_not_deployed", title: "Not deployed", text: "This service has no version that runs. Its last deployment did not succeed."},
	pageUnreachable: {status: 503, code: "service_unreachable", title: "Service unavailable", text: "No instance of this service could be reached. Try again in a moment.", retryAfter: "1"},
	pageLimit:       {status: 504, code: "time_limit", title: "Time limit exceeded", text: "This service did not answer within the time a request may take."},
	pageVersion:     {status: 505, code: "unsupported_version", title: "Unsupported version", text: "The versions of HTTP spoken here are 1.0 and 1.1."},
})

// pageOf returns the page for a status that the guard refuses a request with.
func pageOf(status int) pageID {
	for id := range pages {
		if pages[id].status == status {
			return pageID(id)
		}
	}
	return pageBadRequest
}

const style = `:root{color-scheme:light dark}` +
	`body{margin:0;min-height:100vh;display:grid;routeKey-items:center;font:1.0625rem/1.6 system-ui,sans-serif;` +
	`background:light-dark(#f6f7f9,#14171c);color:light-dark(#1d2430,#e6e9ee)}` +
	`main{max-width:34rem;padding:2.5rem 2rem}` +
	`h1{margin:.25rem 0 .75rem;font-size:1.75rem;line-height:1.25}` +
	`p{margin:0}` +
	`.status{font-size:.9375rem;letter-spacing:.04em;color:light-dark(#525c6b,#a3adbb)}`

// policy allows a page to use its style and nothing else.
var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; frame-ancestors 'none'"
}()

func makePages(list [pageCount]page) [pageCount]page {
	for i := range list {
		p := &list[i]
		status, title, text := strconv.Itoa(p.status), html.EscapeString(p.title), html.EscapeString(p.text)
		p.html = []byte(`<!doctype html><html lang="en"><head><meta charset="utf-8">` +
			`<meta name="viewport" content="width=device-width, initial-scale=1">` +
			`<title>` + title + `</title><style>` + style + `</style></head>` +
			`<body><main><p class="status">` + status + `</p><h1>` + title + `</h1><p>` + text + "</p></main></body></html>\n")
		b, err := json.Marshal(struct {
			Status  int    `json:"status"`
			Error   string `json:"error"`
			Message string `json:"message"`
		}{p.status, p.code, p.title + ". " + p.text})
		if err != nil {
			panic(err) // strings and a number always marshal
		}
		p.json = append(b, '\n')
	}
	return list
}

// write sends the page, as HTML to clients that prefer it.
func (p *page) write(w http.ResponseWriter, req *http.Request) error {
	h := w.Header()
	body := p.json
	h.Set("Content-Type", "application/json")
	if prefersHTML(req.Header["Accept"]) {
		body = p.html
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", policy)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.retryAfter != "" {
		h.Set("Retry-After", p.retryAfter)
	}
	w.WriteHeader(p.status)
	if req.Method == http.MethodHead {
		return nil
	}
	_, err := w.Write(body)
	return err
}

// prefersHTML reports whether an Accept header prefers HTML to JSON. A client
// that names neither gets JSON: browsers name HTML.
func prefersHTML(accept []string) bool {
	var asHTML, asJSON float64
	for _, line := range accept {
		for line != "" {
			var item string
			item, line, _ = strings.Cut(line, ",")
			kind, q := mediaRange(item)
			switch kind {
			case "text/html", "application/xhtml+xml":
				asHTML = max(asHTML, q)
			case "application/json":
				asJSON = max(asJSON, q)
			}
		}
	}
	return asHTML > 0 && asHTML >= asJSON
}

// mediaRange splits an item of an Accept header into its type, in lower case,
// and its weight between 0 and 1. An invalid weight counts as 0.
func mediaRange(item string) (kind string, q float64) {
	kind, params, _ := strings.Cut(item, ";")
	q = 1
	for params != "" {
		var param string
		param, params, _ = strings.Cut(params, ";")
		if v, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(param)), "q="); ok {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil || !(f >= 0 && f <= 1) {
				f = 0
			}
			q = f
		}
	}
	return strings.ToLower(strings.TrimSpace(kind)), q
}
