package pushhook

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

const secret = "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cw==" // base64 of "secret of the tests"

// now is a moment after the pushes of testdata.
var now = time.Unix(1_800_000_060, 0)

// plain is a vault that seals nothing.
type plain struct{}

func (plain) Open(owner string, sealed []byte) ([]byte, error) {
	text, ok := bytes.CutPrefix(sealed, []byte(owner+" "))
	if !ok {
		return nil, errors.New("sealed for another owner")
	}
	return text, nil
}

// bench is a handler with one webhook for each provider, whose id is the provider.
type bench struct {
	*testing.T
	st     *store.Store
	h      *Handler
	now    time.Time
	pushes []slipway.Push
	fail   error
}

func newBench(t *testing.T) *bench {
	t.Helper()
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	b := &bench{T: t, st: st, now: now}
	err = st.Update(t.Context(), func(tx *store.Tx) error {
		for _, p := range []string{"GITHUB", "GITLAB", "BITBUCKET", "GITEA", "GIT"} {
			arn := slipway.ARN{Region: "us-east-1", Account: "000000000000", Type: "connection", Parts: []string{p, "1"}}.String()
			if err := tx.InsertConnection(slipway.Connection{ARN: arn, Name: p, Provider: p}); err != nil {
				return err
			}
			h := slipway.PushHook{ID: p, Connection: arn}
			h.Secret = []byte(h.SecretOwner() + " " + secret)
			if err := tx.PutPushHook(h); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.restart()
	return b
}

// restart makes a new handler, as a start of the server does.
func (b *bench) restart() {
	b.Helper()
	h, err := New(Config{
		Store: b.st, Vault: plain{}, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return b.now },
		Pushed: func(_ context.Context, p slipway.Push) (int, error) {
			b.pushes = append(b.pushes, p)
			return 1, b.fail
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.h = h
}

// send delivers a body and returns status and message.
func (b *bench) send(hook string, body []byte, header map[string]string) (status int, message string) {
	b.Helper()
	r := httptest.NewRequest(http.MethodPost, slipway.PushHookPath+hook, bytes.NewReader(body))
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	b.h.ServeHTTP(w, r)
	var out struct{ Message string }
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || out.Message == "" {
		b.Errorf("the answer %q is no message: %v", w.Body, err)
	}
	return w.Code, out.Message
}

func (b *bench) want(step string, hook string, body []byte, header map[string]string, status int, text string) {
	b.Helper()
	if got, message := b.send(hook, body, header); got != status || !strings.Contains(message, text) {
		b.Errorf("%s: %d %q, want %d %q", step, got, message, status, text)
	}
}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func hexSum(body []byte) string { return hex.EncodeToString(sum([]byte(secret), body)) }

// sender makes the headers of a provider for a body.
type sender func(event, id string, body []byte) map[string]string

func fromGitHub(event, id string, body []byte) map[string]string {
	return map[string]string{"Content-Type": "application/json", "X-GitHub-Event": event, "X-GitHub-Delivery": id, "X-Hub-Signature-256": "sha256=" + hexSum(body), "X-Hub-Signature": "sha1=00"}
}

func fromGitea(event, id string, body []byte) map[string]string {
	h := fromGitHub(event, id, body)
	delete(h, "X-Hub-Signature")
	maps.Copy(h, map[string]string{"X-Gitea-Event": event, "X-Gitea-Delivery": id, "X-Gitea-Signature": hexSum(body), "X-Gogs-Event": event, "X-Gogs-Signature": hexSum(body)})
	return h
}

func fromForgejo(event, id string, body []byte) map[string]string {
	return map[string]string{"X-Forgejo-Event": event, "X-Forgejo-Delivery": id, "X-Forgejo-Signature": hexSum(body)}
}

func fromGitLab(event, id string, _ []byte) map[string]string {
	return map[string]string{"X-Gitlab-Event": event, "X-Gitlab-Event-UUID": id, "X-Gitlab-Token": secret, "X-Gitlab-Instance": "https://gitlab.com"}
}

func fromSigningGitLab(event, id string, body []byte) map[string]string {
	at := strconv.FormatInt(now.Unix(), 10)
	signature := base64.StdEncoding.EncodeToString(sum([]byte("secret of the tests"), []byte(id+"."+at+"."), body))
	return map[string]string{"X-Gitlab-Event": event, "Idempotency-Key": id, "Webhook-Id": id, "Webhook-Timestamp": at, "Webhook-Signature": "v1,AAAA v1," + signature}
}

func fromBitbucket(event, id string, body []byte) map[string]string {
	return map[string]string{"X-Event-Key": event, "X-Request-UUID": id, "X-Hook-UUID": "h", "X-Attempt-Number": "1", "X-Hub-Signature": "sha256=" + hexSum(body)}
}

func fromBitbucketServer(event, id string, body []byte) map[string]string {
	return map[string]string{"X-Event-Key": event, "X-Request-Id": id, "X-Hub-Signature": "sha256=" + hexSum(body)}
}

// providers are all kinds of senders with a push of theirs.
var providers = []struct {
	name, hook, event, file string
	headers                 sender
	want                    slipway.Push
}{
	{"GitHub", "GITHUB", "push", "github.json", fromGitHub, slipway.Push{
		URLs: []string{"https://github.com/acme/shop.git", "git@github.com:acme/shop.git", "git://github.com/acme/shop.git", "https://github.com/acme/shop"},
		Refs: []string{"refs/heads/main"},
	}},
	{"Gitea", "GITEA", "push", "gitea.json", fromGitea, giteaPush},
	{"Forgejo", "GITEA", "push", "gitea.json", fromForgejo, giteaPush},
	{"GitLab", "GITLAB", "Push Hook", "gitlab.json", fromGitLab, gitlabPush},
	{"GitLab with signatures", "GITLAB", "Push Hook", "gitlab.json", fromSigningGitLab, gitlabPush},
	{"GitLab's system hook", "GITLAB", "System Hook", "gitlab.json", fromGitLab, gitlabPush},
	{"Bitbucket Cloud", "BITBUCKET", "repo:push", "bitbucket-cloud.json", fromBitbucket, slipway.Push{
		URLs: []string{"https://bitbucket.org/acme/shop"}, Refs: []string{"refs/heads/main", "refs/tags/v1"},
	}},
	{"Bitbucket Data Center", "BITBUCKET", "repo:refs_changed", "bitbucket-server.json", fromBitbucketServer, slipway.Push{
		Path: "ACME/shop", Refs: []string{"refs/heads/main"},
	}},
	{"Gitea at a plain server", "GIT", "push", "gitea.json", fromGitea, giteaPush},
	{"GitLab at a plain server", "GIT", "Push Hook", "gitlab.json", fromGitLab, gitlabPush},
}

var (
	giteaPush = slipway.Push{
		URLs: []string{"https://code.example.com:3000/acme/shop.git", "ssh://gitea@code.example.com:2222/acme/shop.git", "https://code.example.com:3000/acme/shop"},
		Refs: []string{"refs/heads/main"},
	}
	gitlabPush = slipway.Push{
		URLs: []string{"https://gitlab.com/acme/web/shop.git", "git@gitlab.com:acme/web/shop.git", "https://gitlab.com/acme/web/shop", "https://gitlab.com/acme/web/shop.git", "git@gitlab.com:acme/web/shop.git", "git@gitlab.com:acme/web/shop.git"},
		Refs: []string{"refs/heads/main"},
	}
)

func TestPushes(t *testing.T) {
	t.Parallel()
	for _, c := range providers {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			body := fixture(t, c.file)
			b.want("a push", c.hook, body, c.headers(c.event, "1", body), http.StatusAccepted, "look for the newest commit")
			if len(b.pushes) != 1 {
				t.Fatalf("%d pushes", len(b.pushes))
			}
			got := b.pushes[0]
			if arn, err := slipway.ParseARN(got.Connection); err != nil || arn.Name() != c.hook {
				t.Errorf("the connection is %q", got.Connection)
			}
			got.Connection = ""
			if len(got.URLs) == 0 {
				got.URLs = nil
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("the push (-want +got):\n%s", d)
			}

			b.want("once more", c.hook, body, c.headers(c.event, "1", body), http.StatusConflict, "accepted before")
			b.restart()
			b.want("once more, after a restart", c.hook, body, c.headers(c.event, "1", body), http.StatusConflict, "accepted before")
			forged := append(slices.Clone(body), ' ')
			headers := c.headers(c.event, "2", body)
			if headers["X-Gitlab-Token"] == "" { // a token signs no body
				b.want("signed, and sent under another id", c.hook, body, headers, http.StatusConflict, "accepted before")
				b.want("another body", c.hook, forged, headers, http.StatusUnauthorized, "no webhook")
			}
			b.want("an event that starts nothing", c.hook, []byte(`{}`), c.headers("issues", "3", []byte(`{}`)), http.StatusAccepted, "starts nothing")
			b.want("another webhook's address", "unknown", body, c.headers(c.event, "4", body), http.StatusUnauthorized, "no webhook")
			if len(b.pushes) != 1 {
				t.Errorf("%d pushes", len(b.pushes))
			}
		})
	}
}

// Whatever is wrong with a signature has the answer of an unknown address.
func TestStrangers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, unknown := b.send("unknown", nil, nil)
	for _, c := range providers {
		body := fixture(t, c.file)
		right := c.headers(c.event, "1", body)
		for name := range right {
			if !strings.Contains(name, "Signature") && !strings.Contains(name, "Token") && !strings.HasPrefix(name, "Webhook-") || name == "X-Gogs-Signature" {
				continue
			}
			for _, bad := range []string{"", "sha256=", "sha256=00", "v1,", "v1a,AAAA", secret[:len(secret)-1], strings.ToUpper(secret), strings.Repeat("0", 64), strings.Repeat("A", 5000)} {
				header := maps.Clone(right)
				if c.hook == "GITEA" || c.hook == "GIT" {
					delete(header, "X-Hub-Signature-256")
				}
				if header[name] == "" || c.hook == "GITHUB" && name == "X-Hub-Signature" {
					continue
				}
				header[name] = bad
				b.now = b.now.Add(time.Second)
				if status, message := b.send(c.hook, body, header); status != http.StatusUnauthorized || message != unknown {
					t.Errorf("%s, %s: %.20q: %d %s", c.name, name, bad, status, message)
				}
			}
		}
		header := c.headers(c.event, "1", body)
		for _, name := range []string{"X-Hub-Signature-256", "X-Hub-Signature", "X-Gitea-Signature", "X-Forgejo-Signature", "X-Gitlab-Token", "Webhook-Signature"} {
			delete(header, name)
		}
		if status, message := b.send(c.hook, body, header); status != http.StatusUnauthorized || message != unknown {
			t.Errorf("%s, unsigned: %d %s", c.name, status, message)
		}
	}
	// A provider's webhook takes no other provider's deliveries.
	body := fixture(t, "gitlab.json")
	b.want("GitLab's token at GitHub's webhook", "GITHUB", body, fromGitLab("Push Hook", "1", body), http.StatusUnauthorized, "no webhook")
	// Two headers are none.
	r := httptest.NewRequest(http.MethodPost, slipway.PushHookPath+"GITLAB", bytes.NewReader(body))
	r.Header["X-Gitlab-Token"] = []string{"wrong", secret}
	w := httptest.NewRecorder()
	if b.h.ServeHTTP(w, r); w.Code != http.StatusUnauthorized {
		t.Errorf("two tokens: %d", w.Code)
	}
	if len(b.pushes) != 0 {
		t.Errorf("strangers pushed: %+v", b.pushes)
	}
}

// A signature of Standard Webhooks has a time, and an old one is refused even if it is
// right; the token does not mend it.
func TestSignatureWithATime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	body := fixture(t, "gitlab.json")
	for _, late := range []time.Duration{-6 * time.Minute, 6 * time.Minute} {
		b.now = now.Add(late)
		header := fromSigningGitLab("Push Hook", "1", body)
		header["X-Gitlab-Token"] = secret
		b.want(late.String(), "GITLAB", body, header, http.StatusUnauthorized, "no webhook")
	}
	b.now = now.Add(4 * time.Minute)
	b.want("in time", "GITLAB", body, fromSigningGitLab("Push Hook", "1", body), http.StatusAccepted, "look")
}

func TestOtherDeliveries(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, c := range []struct {
		name, hook, event, body string
		headers                 sender
		status                  int
		text                    string
	}{
		{"GitHub's ping", "GITHUB", "ping", `{"zen":"Design for failure.","hook_id":1}`, fromGitHub, 200, "works"},
		{"the same ping", "GITHUB", "ping", `{"zen":"Design for failure.","hook_id":1}`, fromGitHub, 200, "works"},
		{"Bitbucket's test", "BITBUCKET", "diagnostics:ping", `{"test":true}`, fromBitbucketServer, 200, "works"},
		{"no event", "GITHUB", "", `{}`, fromGitHub, 400, "names the event is missing"},
		{"a branch that is gone", "GITHUB", "push", `{"ref":"refs/heads/a","after":"0000000000000000000000000000000000000000","repository":{"clone_url":"https://github.com/a/b"}}`, fromGitHub, 202, "Nothing was pushed"},
		{"a note", "GITHUB", "push", `{"ref":"refs/notes/a","repository":{"clone_url":"https://github.com/a/b"}}`, fromGitHub, 202, "Nothing was pushed"},
		{"a tag of GitLab", "GITLAB", "Tag Push Hook", `{"object_kind":"tag_push","ref":"refs/tags/v1","after":"1","project":{"git_http_url":"https://gitlab.com/a/b"}}`, fromGitLab, 202, "newest commit"},
		{"a merge request", "GITLAB", "Merge Request Hook", `{"object_kind":"merge_request"}`, fromGitLab, 202, "starts nothing"},
		{"a key of a system hook", "GITLAB", "System Hook", `{"event_name":"key_create"}`, fromGitLab, 202, "starts nothing"},
		{"a push without changes", "BITBUCKET", "repo:push", `{"push":{"changes":[]},"repository":{"links":{"html":{"href":"https://bitbucket.org/a/b"}}}}`, fromBitbucket, 202, "Nothing was pushed"},

		{"no JSON", "GITHUB", "push", `<xml/>`, fromGitHub, 400, "not a JSON document"},
		{"an empty body", "GITHUB", "push", ``, fromGitHub, 400, "not a JSON document"},
		{"half a document", "GITHUB", "push", `{"ref":"refs/heads/main"`, fromGitHub, 400, "not a JSON document"},
		{"two documents", "GITHUB", "push", `{}{}`, fromGitHub, 400, "not a JSON document"},
		{"a name twice", "GITHUB", "push", `{"ref":"a","ref":"b"}`, fromGitHub, 400, "not a JSON document"},
		{"no UTF-8", "GITHUB", "push", "{\"ref\":\"\xff\"}", fromGitHub, 400, "not a JSON document"},
		{"a list", "GITHUB", "push", `[]`, fromGitHub, 400, "not a JSON object"},
		{"a number for a reference", "GITHUB", "push", `{"ref":1}`, fromGitHub, 400, "/ref has another type"},
		{"no repository", "GITHUB", "push", `{"ref":"refs/heads/main"}`, fromGitHub, 400, "ref and repository are required"},
		{"no URL", "GITHUB", "push", `{"ref":"refs/heads/main","repository":{}}`, fromGitHub, 400, "repository has no URL"},
		{"nothing of GitLab", "GITLAB", "Push Hook", `{"object_kind":"push"}`, fromGitLab, 400, "ref is required"},
		{"nothing of Bitbucket", "BITBUCKET", "repo:push", `{}`, fromBitbucket, 400, "push is required"},
		{"nothing of its server", "BITBUCKET", "repo:refs_changed", `{}`, fromBitbucketServer, 400, "repository is required"},
		{"deep", "GITHUB", "push", `{"x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, fromGitHub, 400, "not a JSON document"},
	} {
		b.now = b.now.Add(time.Second)
		b.want(c.name, c.hook, []byte(c.body), c.headers(c.event, "", []byte(c.body)), c.status, c.text)
	}
	r := httptest.NewRequest(http.MethodGet, slipway.PushHookPath+"GITHUB", nil)
	w := httptest.NewRecorder()
	if b.h.ServeHTTP(w, r); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

// GitHub and Gitea can send the payload in a form.
func TestForm(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	body := []byte(url.Values{"payload": {string(fixture(t, "github.json"))}}.Encode())
	header := fromGitHub("push", "1", body)
	header["Content-Type"] = "application/x-www-form-urlencoded"
	b.want("a form", "GITHUB", body, header, http.StatusAccepted, "newest commit")
	body = []byte("a=b")
	header = fromGitHub("push", "2", body)
	header["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
	b.want("a form without a payload", "GITHUB", body, header, http.StatusBadRequest, "no payload")
}

func TestOldPushes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.now = now.Add(73 * time.Hour)
	body := fixture(t, "github.json")
	b.want("GitHub's, with the time of the push", "GITHUB", body, fromGitHub("push", "1", body), http.StatusConflict, "older than 72 hours")
	body = fixture(t, "bitbucket-server.json")
	b.want("Bitbucket's, with the time of the push", "BITBUCKET", body, fromBitbucketServer("repo:refs_changed", "1", body), http.StatusConflict, "older than 72 hours")
}

func TestLargeBody(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	body := bytes.Repeat([]byte(" "), MaxBody+1)
	b.want("too large", "GITHUB", body, fromGitHub("push", "1", nil), http.StatusRequestEntityTooLarge, "25 MiB")
	r := httptest.NewRequest(http.MethodPost, slipway.PushHookPath+"GITHUB", bytes.NewReader(body))
	r.ContentLength = -1
	w := httptest.NewRecorder()
	if b.h.ServeHTTP(w, r); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("too large, in chunks: %d", w.Code)
	}
	body = append(fixture(t, "github.json"), body[:20<<20]...)
	b.want("as large as allowed", "GITHUB", body, fromGitHub("push", "1", body), http.StatusAccepted, "newest commit")
}

// A flood is turned away, and the senders of another webhook do not notice.
func TestFlood(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	many := func(hook string, header map[string]string) (refused int) {
		for range 300 {
			if status, _ := b.send(hook, []byte(`{}`), header); status == http.StatusTooManyRequests {
				refused++
			}
		}
		return refused
	}
	if n := many("unknown", nil); n != 200 {
		t.Errorf("%d of 300 requests to no webhook were turned away, want 200", n)
	}
	ping := fromGitHub("ping", "1", []byte(`{}`))
	if n := many("GITHUB", ping); n != 200 {
		t.Errorf("%d of 300 requests to one webhook were turned away, want 200", n)
	}
	body := fixture(t, "gitlab.json")
	b.want("another webhook", "GITLAB", body, fromGitLab("Push Hook", "1", body), http.StatusAccepted, "newest commit")
	b.now = b.now.Add(time.Minute)
	b.want("a minute later", "GITHUB", []byte(`{}`), ping, http.StatusOK, "works")
}

// What is remembered of deliveries is bounded.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	err := b.st.Update(t.Context(), func(tx *store.Tx) error {
		for i := range 50 {
			at := now.Add(time.Duration(i) * time.Second)
			if err := tx.PutPushDelivery("GITHUB", []string{"key " + strconv.Itoa(i)}, at, at.Add(-maxAge), 10); err != nil {
				return err
			}
		}
		for i, want := range map[int]bool{49: true, 40: true, 30: false, 0: false} {
			if seen, err := tx.PushDelivered("GITHUB", []string{"key " + strconv.Itoa(i)}); err != nil || seen != want {
				t.Errorf("delivery %d is known: %v, %v", i, seen, err)
			}
		}
		if err := tx.PutPushDelivery("GITHUB", []string{"last"}, now.Add(100*time.Hour), now.Add(28*time.Hour), 10); err != nil {
			return err
		}
		seen, err := tx.PushDelivered("GITHUB", []string{"key 49"})
		if seen {
			t.Error("a delivery of days ago is known")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// When nobody can be woken the provider may deliver again.
func TestFailure(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fail = errors.New("disk")
	body := fixture(t, "github.json")
	b.want("a failure of ours", "GITHUB", body, fromGitHub("push", "1", body), http.StatusInternalServerError, "could not be handled")
	b.fail = nil
	b.want("the same later", "GITHUB", body, fromGitHub("push", "1", body), http.StatusAccepted, "newest commit")
}

func FuzzParse(f *testing.F) {
	for _, c := range providers {
		f.Add(string(formatOf[c.hook]), c.event, fixture(f, c.file), false)
	}
	f.Add("github", "push", []byte("payload=%7B%7D"), true)
	f.Fuzz(func(t *testing.T, of, event string, body []byte, form bool) {
		p, kind, err := parse(delivery{format: format(of), event: event, form: form}, body)
		if err != nil || kind != push {
			return
		}
		if len(p.refs) == 0 || len(p.urls) == 0 && p.path == "" || len(p.urls) > maxURLs {
			t.Errorf("a push of %d references to %d URLs, path %q", len(p.refs), len(p.urls), p.path)
		}
		for _, r := range p.refs {
			if !strings.HasPrefix(r, "refs/") || len(r) > maxName {
				t.Errorf("the reference %q", r)
			}
		}
	})
}

var formatOf = map[string]format{"GITHUB": github, "GITLAB": gitlab, "BITBUCKET": bitbucket, "GITEA": gitea, "GIT": gitea}

func FuzzVerify(f *testing.F) {
	f.Add("GITHUB", "X-Hub-Signature-256", "sha256=00", "", "", []byte("{}"))
	f.Add("GITLAB", "Webhook-Signature", "v1,AAAA", "1", "1800000000", []byte("{}"))
	f.Add("GIT", "X-Gitlab-Token", "x", "", "", []byte("{}"))
	f.Add("GITEA", "X-Gitea-Signature", "00", "", "", []byte("{}"))
	f.Fuzz(func(t *testing.T, provider, name, value, id, at string, body []byte) {
		h := http.Header{}
		h.Set(name, value)
		h.Set("Webhook-Id", id)
		h.Set("Webhook-Timestamp", at)
		if _, ok := verify(provider, h, body, []byte("a secret that nobody finds by chance"), now); ok {
			t.Errorf("%s: %q is right", name, value)
		}
	})
}
