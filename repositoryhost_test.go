package slipway

import "testing"

func TestRepositoryHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ url, protocol, host string }{
		{"https://git.example.com/a/b", "https", "git.example.com"},
		{"https://Git.Example.com.:443/a/b", "https", "git.example.com"},
		{"https://git.example.com:8443/a/b", "https", "git.example.com:8443"},
		{"https://git.example.com@evil.example/a/b", "https", "evil.example"},
		{"http://git.example.com/a/b", "http", "git.example.com"},
		{"http://git.example.com:443/a/b", "http", "git.example.com:443"},
		{"ssh://git@git.example.com:22/a/b", "ssh", "git.example.com"},
		{"ssh://git@git.example.com:2222/a/b", "ssh", "git.example.com:2222"},
		{"git@git.example.com:a/b", "ssh", "git.example.com"},
		{"https://[::1]:3000/a", "https", "[::1]:3000"},
		{"file:///srv/a", "", ""},
		{"/srv/a", "", ""},
		{"//git.example.com/a", "", ""},
		{"git@:a", "", ""},
		{"https:git.example.com/a", "", ""},
	} {
		if protocol, host := RepositoryHost(c.url); protocol != c.protocol || host != c.host {
			t.Errorf("%s: %q at %q, want %q at %q", c.url, protocol, host, c.protocol, c.host)
		}
	}
}

func FuzzRepositoryHost(f *testing.F) {
	f.Add("https://git.example.com:443/a")
	f.Add("git@host:path")
	f.Fuzz(func(t *testing.T, text string) {
		protocol, host := RepositoryHost(text)
		if host == "" {
			return
		}
		if p, again := RepositoryHost(protocol + "://" + host + "/a"); again != host || p != protocol {
			t.Errorf("%q is at %q, and that is at %q", text, host, again)
		}
	})
}
