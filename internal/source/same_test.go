package source

import (
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
)

func TestRepositoryKey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"https://github.com/acme/shop", "github.com/acme/shop"},
		{"https://GitHub.com/Acme/Shop.git", "github.com/acme/shop"},
		{"https://github.com/acme/shop.git/", "github.com/acme/shop"},
		{"https://user@www.github.com:443/acme//shop", "github.com/acme/shop"},
		{"git@github.com:acme/shop.git", "github.com/acme/shop"},
		{"ssh://git@github.com/acme/shop.git", "github.com/acme/shop"},
		{"ssh://git@github.com:22/acme/shop.git", "github.com/acme/shop"},
		{"ssh://git@ssh.github.com:443/acme/shop.git", "github.com/acme/shop"},
		{"git://github.com/acme/shop.git", "github.com/acme/shop"},
		{"https://github.com./acme/shop", "github.com/acme/shop"},
		{"https://code.example.com:8443/acme/shop", "code.example.com:8443/acme/shop"},
		{"ssh://git@code.example.com:7999/prj/shop.git", "code.example.com:7999/prj/shop"},
		{"https://gitlab.com/group/sub/shop", "gitlab.com/group/sub/shop"},
		{"http://[::1]:3000/a/b", "::1:3000/a/b"},
		{"https://git.example.com/a%2Fb", "git.example.com/a/b"},
		{"file:///srv/shop.git", "/srv/shop"},
		{"https://github.com", ""},
		{"https://github.com/.git", ""},
		{"/srv/shop", ""},
		{"shop", ""},
		{"git@github.com:", ""},
		{"https://exa mple.com/a", ""},
		{"", ""},
	} {
		if got := repositoryKey(c.text); got != c.want {
			t.Errorf("%q is %q, want %q", c.text, got, c.want)
		}
	}
}

func TestMoved(t *testing.T) {
	t.Parallel()
	source := func(url, ref, connection string) types.SourceConfiguration {
		s := types.SourceConfiguration{CodeRepository: &types.CodeRepository{
			RepositoryUrl: &url, SourceCodeVersion: &types.SourceCodeVersion{Value: &ref},
		}}
		if connection != "" {
			s.AuthenticationConfiguration = &types.AuthenticationConfiguration{ConnectionArn: &connection}
		}
		return s
	}
	push := slipway.Push{URLs: []string{"https://github.com/acme/shop.git", "git@github.com:acme/shop.git"}, Refs: []string{"refs/heads/main", "refs/tags/v1"}}
	server := slipway.Push{Connection: "arn", Path: "PRJ/shop", Refs: []string{"refs/heads/main"}}
	for _, c := range []struct {
		name string
		s    types.SourceConfiguration
		p    slipway.Push
		want bool
	}{
		{"the branch", source("https://github.com/acme/shop", "main", ""), push, true},
		{"the branch in full", source("https://github.com/acme/shop", "refs/heads/main", ""), push, true},
		{"a tag", source("ssh://git@github.com/acme/shop", "v1", ""), push, true},
		{"a tag in full", source("https://github.com/acme/shop", "refs/tags/v1", ""), push, true},
		{"another branch", source("https://github.com/acme/shop", "release", ""), push, false},
		{"a branch of a similar name", source("https://github.com/acme/shop", "heads/main", ""), push, false},
		{"another repository", source("https://github.com/acme/shop2", "main", ""), push, false},
		{"another owner", source("https://github.com/other/shop", "main", ""), push, false},
		{"another host", source("https://gitlab.com/acme/shop", "main", ""), push, false},
		{"a host that begins alike", source("https://github.com.example.com/acme/shop", "main", ""), push, false},
		{"a host in the path", source("https://example.com/github.com/acme/shop", "main", ""), push, false},
		{"a user that is a host", source("https://github.com@example.com/acme/shop", "main", ""), push, false},
		{"a longer path", source("https://github.com/x/acme/shop", "main", ""), push, false},
		{"another port", source("https://github.com:8443/acme/shop", "main", ""), push, false},
		{"a branch in another case", source("https://github.com/acme/shop", "Main", ""), push, false},
		{"a tag's name in full, as a branch", source("https://github.com/acme/shop", "refs/heads/v1", ""), push, false},
		{"a branch's name in full, as a tag", source("https://github.com/acme/shop", "refs/tags/main", ""), push, false},
		{"a host that ends alike", source("https://notgithub.com/acme/shop", "main", ""), push, false},
		{"by its path, through the connection", source("https://bb.example.com/scm/prj/shop.git", "main", "arn"), server, true},
		{"by its path, through another connection", source("https://bb.example.com/scm/prj/shop.git", "main", "other"), server, false},
		{"by its path, without a connection", source("https://bb.example.com/scm/prj/shop.git", "main", ""), server, false},
		{"by the end of its path", source("https://bb.example.com/scm/myprj/shop.git", "main", "arn"), server, false},
		{"an image", types.SourceConfiguration{ImageRepository: &types.ImageRepository{ImageIdentifier: aws.String("a")}}, push, false},
	} {
		if got := Moved(c.s, c.p); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func FuzzRepositoryKey(f *testing.F) {
	for _, seed := range []string{"https://github.com/acme/shop.git", "git@github.com:acme/shop", "ssh://git@h:7999/p/r", "file:///a", "a:b", "://", "https://[::1]/x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key := repositoryKey(text)
		again := url.URL{Scheme: "https", Host: "x.example", Path: "/" + key}
		if key != "" && repositoryKey(again.String()) == "" {
			t.Errorf("%q has the key %q, which names nothing", text, key)
		}
	})
}
