package proxy

import (
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
)

// verdict is what the guard tells the handler about a request that net/http cannot
// carry: the request was refused, or net/http would refuse its target.
//
// The guard and the handler share nothing but the bytes that net/http parses in
// between, and the guard may be several pipelined requests ahead. So a verdict
// travels in band, in the place of the request's target. No client can forge one:
// package http1 refuses targets of this form.
type verdict struct {
	status int    // to refuse the request with; 0 to serve it
	target string // of a request to serve, as the client sent it
}

const verdictPrefix = "verdict:"

// encode returns the verdict as a request target that net/http accepts.
func (v verdict) encode() string {
	return verdictPrefix + strconv.Itoa(v.status) + ":" + hex.EncodeToString([]byte(v.target))
}

// verdictOf returns the verdict on a request. Most have none of their own: they
// are served with the target that net/http parsed.
func verdictOf(req *http.Request) verdict {
	s, ok := strings.CutPrefix(req.RequestURI, verdictPrefix)
	if !ok {
		return verdict{target: req.RequestURI}
	}
	digits, target, _ := strings.Cut(s, ":")
	status, err := strconv.Atoi(digits)
	b, err2 := hex.DecodeString(target)
	if err != nil || err2 != nil {
		return verdict{status: http.StatusBadRequest}
	}
	return verdict{status: status, target: string(b)}
}
