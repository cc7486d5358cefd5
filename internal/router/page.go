package router

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"strconv"
	"strings"
)

// PageID identifies a response that the router gives by itself.
type PageID uint8

const (
	PageBadRequest PageID = iota
	PageForbidden
	PageNotFound
	PageMethod
	PageTimeout
	PageBody
	PageTarget
	PageExpectation
	PageTooMany
	PageHead
	PageCoding
	PageBadAnswer
	PagePaused
	PageNotDeployed
	PageUnreachable
	PageMemory
	PageNotReady
	PageLimit
	PageVersion
	PageMoved     // for GET and HEAD, as App Runner's
	PageMovedKeep // for other methods: clients repeat them as they are
	pageCount
)

// Page is such a response. It is constant: it contains nothing of the request, so
// nothing can be smuggled into it. A response to HEAD has its header only.
type Page struct {
	Status int
	Header []Field // Content-Length included; names in canonical form
	Body   []byte
}

// Field is one field of a header.
type Field struct{ Name, Value string }

// page is what a Page is made of, and the page as JSON and as HTML.
type page struct {
	status     int
	code       string // for programs
	title      string
	text       string
	retryAfter string // seconds; empty for no header

	json, html Page
}

var pages = makePages([pageCount]page{
	PageBadRequest:  {status: 400, code: "bad_request", title: "Bad request", text: "This request is not well-formed HTTP, so it was not passed on."},
	PageForbidden:   {status: 403, code: "client_not_allowed", title: "Not allowed", text: "This service answers only clients of certain addresses, and this is none of them."},
	PageNotFound:    {status: 404, code: "unknown_service", title: "No service here", text: "No service answers at this address. It may be misspelt, or the service was deleted."},
	PageMethod:      {status: 405, code: "method_not_allowed", title: "Method not allowed", text: "The method CONNECT is not served here."},
	PageTimeout:     {status: 408, code: "request_timeout", title: "Request timed out", text: "The request's header did not arrive in time."},
	PageBody:        {status: 413, code: "body_too_large", title: "Body too large", text: "The body of this request is larger than this service accepts."},
	PageTarget:      {status: 414, code: "target_too_long", title: "Address too long", text: "The address in this request is longer than 64 KiB."},
	PageExpectation: {status: 417, code: "expectation_failed", title: "Expectation failed", text: "The only expectation that can be met is 100-continue."},
	PageTooMany:     {status: 429, code: "too_many_requests", title: "Too many requests", text: "All instances of this service are busy and too many requests wait already. Try again in a moment.", retryAfter: "1"},
	PageHead:        {status: 431, code: "header_too_large", title: "Header too large", text: "The header of this request is larger than this service accepts, which is 64 KiB and 200 fields at most."},
	PageCoding:      {status: 501, code: "unsupported_coding", title: "Unsupported coding", text: "The only transfer coding that is understood is chunked."},
	PageBadAnswer:   {status: 502, code: "bad_answer", title: "No valid answer", text: "The service broke off, or what it answered is not HTTP."},
	PagePaused:      {status: 503, code: "service_paused", title: "This service is paused", text: "It does not answer until its owner resumes it."},
	PageNotDeployed: {status: 503, code: "service_not_deployed", title: "Not deployed", text: "This service has no version that runs. Its last deployment did not succeed."},
	PageUnreachable: {status: 503, code: "service_unreachable", title: "Service unavailable", text: "No instance of this service could be reached. Try again in a moment.", retryAfter: "1"},
	PageMemory:      {status: 503, code: "server_busy", title: "Server busy", text: "Too many requests with large headers are on their way to this server. Try again in a moment.", retryAfter: "1"},
	PageNotReady:    {status: 503, code: "no_instance_ready", title: "No instance is ready", text: "The instances of this service end or fail their health check, and the next one is not ready soon. Try again later."},
	PageLimit:       {status: 504, code: "time_limit", title: "Time limit exceeded", text: "This service did not answer within the time a request may take."},
	PageVersion:     {status: 505, code: "unsupported_version", title: "Unsupported version", text: "The versions of HTTP spoken here are 1.0 and 1.1."},
	PageMoved:       {status: 301, code: "use_https", title: "Use HTTPS", text: "This service is served over HTTPS, at the address in Location."},
	PageMovedKeep:   {status: 308, code: "use_https_same_method", title: "Use HTTPS", text: "This service is served over HTTPS, at the address in Location."},
})

// Status returns the status of the page.
func (id PageID) Status() int { return pages[id].status }

// Page returns the page as HTML or JSON. It is shared and must not be changed.
func (id PageID) Page(asHTML bool) *Page {
	if asHTML {
		return &pages[id].html
	}
	return &pages[id].json
}

// TextPage returns a text that this server answers with in place of a service.
func TextPage(text string) *Page {
	return &Page{Status: 200, Header: []Field{
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Length", strconv.Itoa(len(text))},
		{"Cache-Control", "no-store"},
		{"X-Content-Type-Options", "nosniff"},
	}, Body: []byte(text)}
}

// PageFor returns the page for an error of Admit. ok is false for any other error.
func PageFor(err error) (id PageID, ok bool) {
	switch {
	case errors.Is(err, ErrPaused):
		return PagePaused, true
	case errors.Is(err, ErrNotDeployed):
		return PageNotDeployed, true
	case errors.Is(err, ErrDeleted):
		return PageNotFound, true
	case errors.Is(err, ErrQueueFull):
		return PageTooMany, true
	}
	if _, ok := errors.AsType[*NotReadyError](err); ok {
		return PageNotReady, true
	}
	return 0, false
}

// PageOf returns the page for a status that package http1 refuses a request with.
func PageOf(status int) PageID {
	for id := range pages {
		if pages[id].status == status && status >= 400 {
			return PageID(id)
		}
	}
	return PageBadRequest
}

const style = `:root{color-scheme:light dark}` +
	`body{margin:0;min-height:100vh;display:grid;place-items:center;font:1.0625rem/1.6 system-ui,sans-serif;` +
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
		p.html = p.with(`<!doctype html><html lang="en"><head><meta charset="utf-8">`+
			`<meta name="viewport" content="width=device-width, initial-scale=1">`+
			`<title>`+title+`</title><style>`+style+`</style></head>`+
			`<body><main><p class="status">`+status+`</p><h1>`+title+`</h1><p>`+text+"</p></main></body></html>\n",
			Field{"Content-Type", "text/html; charset=utf-8"}, Field{"Content-Security-Policy", policy})
		b, err := json.Marshal(struct {
			Status  int    `json:"status"`
			Error   string `json:"error"`
			Message string `json:"message"`
		}{p.status, p.code, p.title + ". " + p.text})
		if err != nil {
			panic(err) // strings and a number always marshal
		}
		p.json = p.with(string(b)+"\n", Field{"Content-Type", "application/json"})
	}
	return list
}

// with returns the page with a body and the header fields of its format.
func (p *page) with(body string, format ...Field) Page {
	h := append(format,
		Field{"Content-Length", strconv.Itoa(len(body))},
		Field{"Cache-Control", "no-store"},
		Field{"Vary", "Accept"},
		Field{"X-Content-Type-Options", "nosniff"})
	if p.retryAfter != "" {
		h = append(h, Field{"Retry-After", p.retryAfter})
	}
	return Page{Status: p.status, Header: h, Body: []byte(body)}
}

// PrefersHTML reports whether an Accept header prefers HTML to JSON. A client
// that names neither gets JSON: browsers name HTML.
func PrefersHTML(accept []string) bool {
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
