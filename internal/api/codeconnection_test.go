package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/api"
)

func newCodeConnection(name, provider string, options ...func(*api.CreateCodeConnectionInput)) *api.CreateCodeConnectionInput {
	in := &api.CreateCodeConnectionInput{ConnectionName: &name, ProviderType: &provider}
	for _, o := range options {
		o(in)
	}
	return in
}

func atHost(host string) func(*api.CreateCodeConnectionInput) {
	return func(in *api.CreateCodeConnectionInput) { in.Host = &host }
}

func bySSH(in *api.CreateCodeConnectionInput) { in.Method = aws.String("SSH") }

func withKey(key string) func(*api.CreateCodeConnectionInput) {
	return func(in *api.CreateCodeConnectionInput) { in.PrivateKey = &key }
}

func TestCodeConnections(t *testing.T) {
	t.Parallel()
	b := newBench(t, withCode)
	create := func(in *api.CreateCodeConnectionInput) *api.CodeConnectionOutput {
		t.Helper()
		return invoke[api.CodeConnectionOutput](b, in)
	}
	lab := create(newCodeConnection("team", "GITLAB", atHost("Git.Example.com:443")))
	if lab.Connection.Status != types.ConnectionStatusPendingHandshake || *lab.Host != "git.example.com" || lab.Method != "TOKEN" || lab.PublicKey != nil {
		t.Errorf("GitLab: %+v at %v", lab.Connection, lab.Host)
	}
	b.complete("team", "good")
	deploy := create(newCodeConnection("mine", "GIT", atHost("git.example.com:2222"), bySSH))
	if deploy.Connection.Status != types.ConnectionStatusAvailable || *deploy.PublicKey != "ssh-ed25519 MADE slipway-mine" || deploy.Method != "SSH" {
		t.Errorf("git: %+v with the key %v", deploy.Connection, deploy.PublicKey)
	}
	if got := b.credential("mine"); strings.Contains(got, "made") || got == "" {
		t.Errorf("the key is stored as %q", got)
	}
	given := create(newCodeConnection("ours", "GITHUB", bySSH, withKey("a key")))
	if *given.PublicKey != "ssh-ed25519 GIVEN slipway-ours" {
		t.Errorf("a given key: %v", *given.PublicKey)
	}
	b.refuse(completion("mine", "good"), "InvalidRequestException", "has a deploy key and takes no token")
	shown := invoke[api.CodeConnectionOutput](b, &api.DescribeCodeConnectionInput{ConnectionName: aws.String("mine")})
	if *shown.Host != "git.example.com:2222" || *shown.PublicKey != *deploy.PublicKey {
		t.Errorf("shown: %+v", shown)
	}

	var names []string
	for _, c := range b.connections(nil) {
		names = append(names, fmt.Sprint(*c.ConnectionName, " ", c.ProviderType))
	}
	if got := strings.Join(names, ", "); got != "mine GIT, ours GITHUB, team GITLAB" {
		t.Errorf("listed: %s", got)
	}
}

func TestCodeConnectionsRefuse(t *testing.T) {
	t.Parallel()
	b := newBench(t, withCode)
	b.connect("code")
	for _, c := range []struct {
		in      *api.CreateCodeConnectionInput
		message string
	}{
		{&api.CreateCodeConnectionInput{}, `ConnectionName is ""`},
		{newCodeConnection("abc", "GITHUB"), `ConnectionName is "abc"`},
		{newCodeConnection("team", "SOURCEHUT"), "it must be GITHUB, BITBUCKET, GITLAB, GITEA or GIT"},
		{newCodeConnection("team", "gitlab"), "ProviderType is"},
		{newCodeConnection("team", "GITEA"), "Host is required for GITEA"},
		{newCodeConnection("team", "GIT", bySSH), "Host is required for GIT"},
		{newCodeConnection("team", "BITBUCKET", atHost("git.example.com")), "use the provider GIT"},
		{newCodeConnection("team", "GIT", atHost("https://git.example.com")), "Host is"},
		{newCodeConnection("team", "GIT", atHost("user@git.example.com")), "Host is"},
		{newCodeConnection("team", "GIT", atHost("git.example.com/path")), "Host is"},
		{newCodeConnection("team", "GIT", atHost("-oProxyCommand=x")), "Host is"},
		{newCodeConnection("team", "GIT", atHost("git.example.com"), func(in *api.CreateCodeConnectionInput) { in.Method = aws.String("FTP") }), "it must be TOKEN or SSH"},
		{newCodeConnection("team", "GIT", atHost("git.example.com"), withKey("a key")), "only for the method SSH"},
		{newCodeConnection("team", "GITHUB", bySSH, withKey("bad")), "PrivateKey is bad."},
		{newCodeConnection("code", "GITHUB"), "already exists: code"},
	} {
		b.refuse(c.in, "InvalidRequestException", c.message)
	}
	bare := newBench(t)
	bare.refuse(newCodeConnection("team", "GITHUB", bySSH), "InvalidRequestException", "keeps no credentials")
}

// A service gets the credential of a connection only for a repository of its host, and
// a repository that is read by ssh needs one.
func TestCodeConnectionsOfServices(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) {
		withCode(c)
		c.CheckRepository = func(string) error { return nil }
	})
	token := invoke[api.CodeConnectionOutput](b, newCodeConnection("team", "GITLAB", atHost("git.example.com")))
	b.complete("team", "good")
	key := invoke[api.CodeConnectionOutput](b, newCodeConnection("mine", "GIT", atHost("git.example.com"), bySSH))
	create := func(url string, connection *string) *apprunner.CreateServiceInput {
		return &apprunner.CreateServiceInput{ServiceName: aws.String("shop"), SourceConfiguration: &types.SourceConfiguration{
			AuthenticationConfiguration: &types.AuthenticationConfiguration{ConnectionArn: connection},
			CodeRepository: &types.CodeRepository{
				RepositoryUrl: &url, SourceCodeVersion: &types.SourceCodeVersion{Type: types.SourceCodeVersionTypeBranch, Value: aws.String("refs/tags/v1")},
				CodeConfiguration: &types.CodeConfiguration{ConfigurationSource: types.ConfigurationSourceRepository},
			},
		}}
	}
	https, ssh := token.Connection.ConnectionArn, key.Connection.ConnectionArn
	b.refuse(create("git@git.example.com:a/b", nil), "InvalidRequestException", "requires the ConnectionArn of a connection with a deploy key")
	b.refuse(create("git@git.example.com:a/b", https), "InvalidRequestException", "is for repositories of GITLAB at git.example.com, and")
	b.refuse(create("https://git.example.com/a/b", ssh), "InvalidRequestException", "is for repositories of GIT at git.example.com that are read by ssh, and")
	b.refuse(create("https://git.example.org/a/b", https), "InvalidRequestException", "is not one of them")
	b.refuse(create("git@git.example.org:a/b", ssh), "InvalidRequestException", "is not one of them")
	b.must(create("git@git.example.com:a/b", ssh))
	in := create("https://git.example.com/a/b", https)
	in.ServiceName = aws.String("other")
	b.must(in)
}
