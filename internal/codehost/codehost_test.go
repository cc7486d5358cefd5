package codehost_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/codehost"
)

// provider answers as GitHub or Bitbucket do, by the Authorization header.
func provider(t *testing.T, answers map[string]string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path+" "+r.Header.Get("Authorization")]
		if !ok {
			answer = "401 Bad credentials"
		}
		var status int
		var rest string
		fmt.Sscan(answer, &status)
		if _, rest, ok = strings.Cut(answer, " "); ok && strings.HasPrefix(rest, "limited") {
			w.Header().Set("X-RateLimit-Remaining", "0")
		}
		if status == http.StatusFound {
			w.Header().Set("Location", "/api/user?again")
		}
		w.WriteHeader(status)
		if strings.HasPrefix(rest, "{") || strings.HasPrefix(rest, "<") {
			fmt.Fprint(w, rest)
			return
		}
		fmt.Fprintf(w, `{"message":%q}`, rest)
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/api"
}

func TestAccepts(t *testing.T) {
	t.Parallel()
	at := provider(t, map[string]string{
		"/api/user Bearer good":                       "200",
		"/api/user Bearer app":                        "403 Resource not accessible by integration",
		"/api/installation/repositories Bearer app":   "200",
		"/api/user Bearer blind":                      "403 Resource not accessible",
		"/api/installation/repositories Bearer blind": "403 Resource not accessible",
		"/api/user Bearer much":                       "403 limited: API rate limit exceeded",
		"/api/user Bearer down":                       "502 <html>Bad Gateway</html>",
		"/api/user Bearer elsewhere":                  "302 moved",
		"/api/user Bearer nested":                     `401 {"type":"error","error":{"message":"Token is invalid"}}`,
		"/api/user Basic amFuZTphcHAtcGFzc3dvcmQ=":    "200",
	})
	h, err := codehost.New(codehost.Config{GitHub: at + "/", Bitbucket: at, GitLab: at, Gitea: at})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ provider, token, refusal, err string }{
		{"GITHUB", "good", "", ""},
		{"GITHUB", "bad", "Bad credentials", ""},
		{"GITHUB", "app", "", ""},
		{"GITHUB", "blind", "Resource not accessible", ""},
		{"GITHUB", "much", "", "status 403: limited: API rate limit exceeded"},
		{"GITHUB", "down", "", "status 502: 502 Bad Gateway"},
		{"GITHUB", "elsewhere", "", "status 302: moved"},
		{"BITBUCKET", "good", "", ""},
		{"BITBUCKET", "jane:app-password", "", ""},
		{"BITBUCKET", "jane:other", "Bad credentials", ""},
		{"BITBUCKET", "blind", "", ""},
		{"BITBUCKET", "nested", "Token is invalid", ""},
		{"BITBUCKET", "much", "", "status 403: limited: API rate limit exceeded"},
		{"GITLAB", "good", "", ""},
		{"GITLAB", "bad", "Bad credentials", ""},
		{"GITLAB", "blind", "", ""}, // it may read repositories only
		{"GITEA", "good", "", ""},
		{"GITEA", "bad", "Bad credentials", ""},
		{"SVN", "good", "", `there is no provider "SVN"`},
	} {
		refusal, err := h.Accepts(t.Context(), slipway.Connection{Provider: c.provider}, c.token)
		if refusal != c.refusal || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s, %s: %q, %v; want %q, %q", c.provider, c.token, refusal, err, c.refusal, c.err)
		}
		if err != nil && strings.Contains(err.Error(), c.token+"@") {
			t.Errorf("the token is in the error %v", err)
		}
	}
	gone, err := codehost.New(codehost.Config{GitHub: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if refusal, err := gone.Accepts(t.Context(), slipway.Connection{Provider: "GITHUB"}, "secret-token"); refusal != "" || err == nil || strings.Contains(err.Error(), "secret-token") {
		t.Errorf("a provider that is away: %q, %v", refusal, err)
	}
}

func TestGiteaHasNoDefault(t *testing.T) {
	t.Parallel()
	h, err := codehost.New(codehost.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Accepts(t.Context(), slipway.Connection{Provider: "GITEA"}, "good"); err == nil || !strings.Contains(err.Error(), "no provider") {
		t.Errorf("error %v", err)
	}
}

func TestBasic(t *testing.T) {
	t.Parallel()
	for _, c := range [][4]string{
		{"GITHUB", "t", "x-access-token", "t"},
		{"BITBUCKET", "t", "x-token-auth", "t"},
		{"BITBUCKET", "jane:p:q", "jane", "p:q"},
		{"GITLAB", "t", "oauth2", "t"},
		{"GITEA", "t", "git", "t"},
		{"", "t", "git", "t"},
	} {
		if user, password := codehost.Basic(c[0], c[1]); user != c[2] || password != c[3] {
			t.Errorf("Basic(%q, %q) = %q, %q", c[0], c[1], user, password)
		}
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"api.github.com", "ftp://host", "https://", "https://user@host", "https://host?x"} {
		if _, err := codehost.New(codehost.Config{Bitbucket: bad}); err == nil {
			t.Errorf("%q is taken for the address of an API", bad)
		}
	}
}

// Tokens go to the owner of a repository and to nobody who has a similar address.
func TestOwner(t *testing.T) {
	t.Parallel()
	public, err := codehost.New(codehost.Config{})
	if err != nil {
		t.Fatal(err)
	}
	own, err := codehost.New(codehost.Config{GitHub: "https://code.example.com:8443/api/v3", Bitbucket: "http://127.0.0.1:9000"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		hosts     *codehost.Hosts
		url, want string
	}{
		{public, "https://github.com/a/b", "GITHUB"},
		{public, "https://GitHub.com:443/a/b.git", "GITHUB"},
		{public, "https://www.github.com/a/b", "GITHUB"},
		{public, "https://bitbucket.org/a/b", "BITBUCKET"},
		{public, "http://github.com/a/b", ""},
		{public, "https://github.com:8443/a/b", ""},
		{public, "https://github.com.example.com/a/b", ""},
		{public, "https://notgithub.com/a/b", ""},
		{public, "https://github.com@example.com/a/b", ""},
		{public, "https://example.com/github.com/a/b", ""},
		{public, "ssh://git@github.com/a/b", ""},
		{public, "git@github.com:a/b", ""},
		{public, "file:///github.com/a", ""},
		{public, "://", ""},
		{own, "https://code.example.com:8443/a/b", "GITHUB"},
		{own, "https://code.example.com/a/b", ""},
		{own, "https://www.code.example.com:8443/a/b", ""},
		{own, "https://x.code.example.com:8443/a/b", ""},
		{own, "https://www.github.com/a/b", ""},
		{public, "https://x.github.com/a/b", ""},
		{public, "https://www.www.github.com/a/b", ""},
		{own, "https://github.com/a/b", ""},
		{own, "http://127.0.0.1:9000/a/b", "BITBUCKET"},
	} {
		if got := c.hosts.Owner(c.url); got != c.want {
			t.Errorf("%s is %q, want %q", c.url, got, c.want)
		}
	}
}

// A credential is sent to the host that it was given for, by the way that it is for.
func TestServes(t *testing.T) {
	t.Parallel()
	h, err := codehost.New(codehost.Config{GitHub: "https://code.example.com:8443/api/v3"})
	if err != nil {
		t.Fatal(err)
	}
	public, err := codehost.New(codehost.Config{})
	if err != nil {
		t.Fatal(err)
	}
	token := func(provider, host string) slipway.Connection {
		return slipway.Connection{Provider: provider, Host: host}
	}
	key := func(provider, host string) slipway.Connection {
		return slipway.Connection{Provider: provider, Host: host, PublicKey: "ssh-ed25519 AAAA"}
	}
	for _, c := range []struct {
		hosts *codehost.Hosts
		c     slipway.Connection
		url   string
		want  bool
	}{
		{public, token("GITHUB", ""), "https://github.com/a/b", true},
		{public, token("GITHUB", ""), "https://gitlab.com/a/b", false},
		{public, token("GITHUB", ""), "git@github.com:a/b", false},
		{public, token("GITLAB", ""), "https://gitlab.com/a/b", true},
		{public, key("GITHUB", ""), "git@github.com:a/b", true},
		{public, key("GITHUB", ""), "ssh://git@ssh.github.com:443/a/b", true},
		{public, key("GITHUB", ""), "ssh://git@github.com:2222/a/b", false},
		{public, key("GITHUB", ""), "https://github.com/a/b", false},
		{public, key("GITLAB", ""), "git@github.com:a/b", false},
		{h, token("GITHUB", ""), "https://code.example.com:8443/a/b", true},
		{h, key("GITHUB", ""), "git@code.example.com:a/b", true},
		{h, token("GITLAB", "git.example.com"), "https://git.example.com/a/b", true},
		{h, token("GITLAB", "git.example.com"), "https://GIT.example.com:443/a/b", true},
		{h, token("GITLAB", "git.example.com"), "https://git.example.com:8443/a/b", false},
		{h, token("GITLAB", "git.example.com"), "https://gitlab.com/a/b", false},
		{h, token("GITLAB", "git.example.com"), "http://git.example.com/a/b", false},
		{h, token("GIT", "git.example.com"), "https://git.example.com@evil.example/a", false},
		{h, key("GIT", "git.example.com:2222"), "ssh://me@git.example.com:2222/a", true},
		{h, key("GIT", "git.example.com:2222"), "me@git.example.com:a", false},
		{h, token("GIT", ""), "https://git.example.com/a", false},
		{h, token("", ""), "https://git.example.com/a", false},
		{h, token("GIT", "git.example.com"), "file:///a", false},
		{h, token("GIT", "git.example.com"), "nonsense", false},
	} {
		if got := c.hosts.Serves(c.c, c.url); got != c.want {
			t.Errorf("%+v serves %s: %v", c.c, c.url, got)
		}
	}
}

func TestPlainServersAcceptAnything(t *testing.T) {
	t.Parallel()
	h, err := codehost.New(codehost.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if refusal, err := h.Accepts(t.Context(), slipway.Connection{Provider: "GIT", Host: "git.example.com"}, "u:p"); refusal != "" || err != nil {
		t.Errorf("%q, %v", refusal, err)
	}
	if _, err := h.Accepts(t.Context(), slipway.Connection{Provider: "BITBUCKET", Host: "git.example.com"}, "t"); err == nil {
		t.Error("Bitbucket has a host of one's own")
	}
}

func TestDeployKey(t *testing.T) {
	t.Parallel()
	h, err := codehost.New(codehost.Config{})
	if err != nil {
		t.Fatal(err)
	}
	private, public, err := h.DeployKey(nil, "slipway-code")
	if err != nil || !strings.HasPrefix(public, "ssh-ed25519 AAAA") || !strings.HasSuffix(public, " slipway-code") || !strings.HasPrefix(string(private), "-----BEGIN OPENSSH PRIVATE KEY-----\n") {
		t.Fatalf("a new key: %q, %v", public, err)
	}
	same, line, err := h.DeployKey(append([]byte("\n"), private...), "slipway-code")
	if err != nil || line != public || string(same) != string(private) {
		t.Errorf("the key given: %q, %v", line, err)
	}
	if _, other, _ := h.DeployKey(nil, "slipway-code"); other == public {
		t.Error("two keys are the same")
	}
	_, locked, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(locked, "", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	for what, bad := range map[string]string{
		"has a passphrase": string(pem.EncodeToMemory(block)), "is not a private key": "ssh-ed25519 AAAA", "has more than": strings.Repeat("x", 17<<10),
	} {
		if _, _, err := h.DeployKey([]byte(bad), ""); err == nil || !strings.Contains(err.Error(), what) || slipway.CodeOf(err) != slipway.InvalidRequest {
			t.Errorf("a key that %s: %v", what, err)
		}
	}
}
