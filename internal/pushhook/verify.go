package pushhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// format is the form of a provider's deliveries.
type format string

const (
	github    format = "github" // and Gitea's compatible headers
	gitlab    format = "gitlab"
	bitbucket format = "bitbucket" // Cloud and Data Center
	gitea     format = "gitea"     // and Forgejo
)

// formats are those that the webhook of a connection takes, by its provider. Any other
// provider, a plain git server, may have any of them.
var formats = map[string][]format{
	"GITHUB":    {github},
	"GITLAB":    {gitlab},
	"BITBUCKET": {bitbucket},
	"GITEA":     {gitea},
}

var anyFormat = []format{gitea, github, gitlab, bitbucket}

// delivery is a request whose sender was verified.
type delivery struct {
	format format
	event  string // as the provider names it
	id     string // of the delivery; "" for none
	form   bool   // the body is a form with the payload in it
	signed bool   // the body is what was signed, so it was sent so
}

// signLimit bounds the age of a signature with a time.
const signLimit = 5 * time.Minute

// verify finds out whether the holder of the secret sent a request. Secrets and
// signatures are compared in constant time.
//
//   - GitHub: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
//   - GitLab: https://docs.gitlab.com/user/project/integrations/webhooks/
//   - Bitbucket: https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/
//   - Gitea: https://docs.gitea.com/usage/webhooks
func verify(provider string, h http.Header, body, secret []byte, now time.Time) (delivery, bool) {
	allowed, ok := formats[provider]
	if !ok {
		allowed = anyFormat
	}
	for _, f := range allowed {
		d := delivery{format: f, form: isForm(h)}
		var present, right bool
		switch f {
		case github:
			present, right = hubSignature(h, "X-Hub-Signature-256", body, secret)
			d.event, d.id, d.signed = one(h, "X-Github-Event"), one(h, "X-Github-Delivery"), true
		case bitbucket:
			present, right = hubSignature(h, "X-Hub-Signature", body, secret)
			d.event, d.signed = one(h, "X-Event-Key"), true
			if d.id = one(h, "X-Request-Uuid"); d.id == "" {
				d.id = one(h, "X-Request-Id")
			}
		case gitea:
			present, right = giteaSignature(h, body, secret)
			d.signed = true
			if d.event, d.id = one(h, "X-Gitea-Event"), one(h, "X-Gitea-Delivery"); d.event == "" {
				d.event, d.id = one(h, "X-Forgejo-Event"), one(h, "X-Forgejo-Delivery")
			}
		case gitlab:
			present, right, d.signed = gitlabToken(h, body, secret, now)
			d.event = one(h, "X-Gitlab-Event")
			for _, name := range []string{"Webhook-Id", "Idempotency-Key", "X-Gitlab-Event-Uuid"} {
				if d.id = one(h, name); d.id != "" {
					break
				}
			}
		}
		if present {
			return d, right
		}
	}
	return delivery{}, false
}

// one returns the value of a header that is there once, bounded; else "".
func one(h http.Header, name string) string {
	v := h.Values(name)
	if len(v) != 1 || len(v[0]) > 1024 {
		return ""
	}
	return v[0]
}

func isForm(h http.Header) bool {
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded")
}

func sum(secret []byte, parts ...[]byte) []byte {
	m := hmac.New(sha256.New, secret)
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

// sameHex compares a signature in hexadecimal.
func sameHex(text string, want []byte) bool {
	given, err := hex.DecodeString(text)
	return err == nil && hmac.Equal(given, want)
}

// hubSignature reads "sha256=<hex>".
func hubSignature(h http.Header, name string, body, secret []byte) (present, right bool) {
	text, ok := strings.CutPrefix(one(h, name), "sha256=")
	return len(h.Values(name)) > 0, ok && sameHex(text, sum(secret, body))
}

// giteaSignature reads "<hex>". Forgejo sends the same in two headers: both must be
// right.
func giteaSignature(h http.Header, body, secret []byte) (present, right bool) {
	right = true
	for _, name := range []string{"X-Gitea-Signature", "X-Forgejo-Signature"} {
		if len(h.Values(name)) > 0 {
			present = true
			right = sameHex(one(h, name), sum(secret, body)) && right
		}
	}
	return present, present && right
}

// gitlabToken takes a signature of the form of Standard Webhooks, which newer servers
// send with a signing token, and otherwise the secret itself. A signature that is wrong
// is not mended by a token.
func gitlabToken(h http.Header, body, secret []byte, now time.Time) (present, right, signed bool) {
	if len(h.Values("Webhook-Signature")) > 0 {
		return true, standardSignature(h, body, secret, now), true
	}
	given := sha256.Sum256([]byte(one(h, "X-Gitlab-Token")))
	want := sha256.Sum256(secret)
	return len(h.Values("X-Gitlab-Token")) > 0, subtle.ConstantTimeCompare(given[:], want[:]) == 1, false
}

// standardSignature verifies a signature of Standard Webhooks: v1,<base64> over id,
// time and body, with the key that "whsec_" and base64 hold.
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
func standardSignature(h http.Header, body, secret []byte, now time.Time) bool {
	id, at := one(h, "Webhook-Id"), one(h, "Webhook-Timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if id == "" || err != nil || seconds < 0 || seconds > 1<<40 {
		return false
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > signLimit || age < -signLimit {
		return false
	}
	want := sum(signingKey(secret), []byte(id+"."+at+"."), body)
	for part := range strings.FieldsSeq(one(h, "Webhook-Signature")) {
		text, ok := strings.CutPrefix(part, "v1,")
		given, err := base64.StdEncoding.DecodeString(text)
		if ok && err == nil && hmac.Equal(given, want) {
			return true
		}
	}
	return false
}

// SecretPrefix begins a secret that is also a signing token of Standard Webhooks.
const SecretPrefix = "whsec_"

// signingKey returns the key that a signing token holds.
func signingKey(secret []byte) []byte {
	text, ok := bytes.CutPrefix(secret, []byte(SecretPrefix))
	key, err := base64.StdEncoding.DecodeString(string(text))
	if !ok || err != nil || len(key) == 0 {
		return secret
	}
	return key
}

// keys name a delivery, so that it is known when it comes again. The id of most
// providers is not signed: whoever has recorded a delivery can send it under another
// one, but not with another body.
func (d delivery) keys(body []byte) (keys []string) {
	if d.id != "" {
		s := sha256.Sum256([]byte(d.id))
		keys = append(keys, "id "+hex.EncodeToString(s[:]))
	}
	if d.signed || d.id == "" {
		s := sha256.Sum256(body)
		keys = append(keys, "body "+hex.EncodeToString(s[:]))
	}
	return keys
}
