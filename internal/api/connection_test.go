package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/store"
)

// providers accepts tokens that begin with "good", is unreachable for those that
// begin with "away", and refuses the others.
type providers struct{}

func (providers) Accepts(_ context.Context, c slipway.Connection, token string) (string, error) {
	switch {
	case strings.HasPrefix(token, "good"):
		return "", nil
	case strings.HasPrefix(token, "away"):
		return "", errors.New("no route to host")
	}
	return c.Provider + " says Bad credentials", nil
}

// Serves takes a connection's host, or the provider's.
func (p providers) Serves(c slipway.Connection, url string) bool {
	protocol, host := slipway.RepositoryHost(url)
	if (protocol == "ssh") != (c.PublicKey != "") {
		return false
	}
	if c.Host != "" {
		return host == c.Host
	}
	return c.Provider != "" && p.Owner(url) == c.Provider
}

func (providers) DeployKey(given []byte, comment string) ([]byte, string, error) {
	switch string(given) {
	case "":
		return []byte("made"), "ssh-ed25519 MADE " + comment, nil
	case "bad":
		return nil, "", slipway.Errorf(slipway.InvalidRequest, "PrivateKey is bad.")
	}
	return given, "ssh-ed25519 GIVEN " + comment, nil
}

// Owner finds GitHub's and Bitbucket's public addresses.
func (providers) Owner(url string) string {
	switch {
	case strings.HasPrefix(url, "https://github.com/"):
		return "GITHUB"
	case strings.HasPrefix(url, "https://bitbucket.org/"):
		return "BITBUCKET"
	}
	return ""
}

// vault seals a secret by reversing its bytes and prepending the context.
type vault struct{}

func (vault) Seal(context string, secret []byte) []byte {
	return append([]byte(context+" "), turn(secret)...)
}

func turn(b []byte) []byte {
	b = bytes.Clone(b)
	slices.Reverse(b)
	return b
}

func withProviders(c *api.Config) { c.Provider, c.Vault = providers{}, vault{} }

// withCode is a server that builds code from https repositories.
func withCode(c *api.Config) {
	withProviders(c)
	c.CheckRepository = func(url string) error {
		if !strings.HasPrefix(url, "https://") {
			return errors.New("The URL must begin with https://.") //nolint:staticcheck // a sentence
		}
		return nil
	}
}

// newConnection returns the input that creates a connection to GitHub.
func newConnection(name string) *apprunner.CreateConnectionInput {
	return &apprunner.CreateConnectionInput{ConnectionName: &name, ProviderType: types.ProviderTypeGithub}
}

// connect creates a connection and returns it.
func (b *bench) connect(name string) *types.Connection {
	b.Helper()
	return invoke[apprunner.CreateConnectionOutput](b, newConnection(name)).Connection
}

// removeConnection returns the input that deletes a connection.
func removeConnection(arn string) *apprunner.DeleteConnectionInput {
	return &apprunner.DeleteConnectionInput{ConnectionArn: &arn}
}

// connections returns the connections of a name, or all.
func (b *bench) connections(name *string) []types.ConnectionSummary {
	b.Helper()
	return invoke[apprunner.ListConnectionsOutput](b, &apprunner.ListConnectionsInput{ConnectionName: name}).ConnectionSummaryList
}

// completion returns the input that gives a connection its credential.
func completion(name, token string) *api.CompleteConnectionInput {
	return &api.CompleteConnectionInput{ConnectionName: &name, Token: &token}
}

func (b *bench) complete(name, token string) *api.CompleteConnectionOutput {
	b.Helper()
	return invoke[api.CompleteConnectionOutput](b, completion(name, token))
}

func (b *bench) credential(name string) (credential string) {
	b.Helper()
	b.Update(func(tx *store.Tx) error {
		c, err := tx.ConnectionByName(name)
		credential = string(c.Credential)
		return err
	})
	return credential
}

func TestConnectionLife(t *testing.T) {
	t.Parallel()
	b := newBench(t, withProviders)
	in := newConnection("code")
	in.Tags = []types.Tag{tag("team", "web")}
	created := invoke[apprunner.CreateConnectionOutput](b, in).Connection
	arn := *created.ConnectionArn
	if !strings.HasPrefix(arn, prefix+"connection/code/") || len(arn) != len(prefix+"connection/code/")+32 {
		t.Errorf("ARN %s", arn)
	}
	want := types.Connection{
		ConnectionArn: &arn, ConnectionName: aws.String("code"), ProviderType: types.ProviderTypeGithub,
		Status: types.ConnectionStatusPendingHandshake, CreatedAt: &t0,
	}
	shows := func(step string, got *types.Connection) {
		t.Helper()
		if d := diff(&want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", step, d)
		}
	}
	listed := func(name *string) {
		t.Helper()
		summary := types.ConnectionSummary{
			ConnectionArn: want.ConnectionArn, ConnectionName: want.ConnectionName, ProviderType: want.ProviderType,
			Status: want.Status, CreatedAt: want.CreatedAt,
		}
		if d := diff([]types.ConnectionSummary{summary}, b.connections(name)); d != "" {
			t.Errorf("listed (-want +got):\n%s", d)
		}
	}
	shows("created", created)
	listed(nil)
	if d := cmp.Diff([]string{"team=web"}, b.tags(arn)); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}
	bitbucket := newConnection("code")
	bitbucket.ProviderType = types.ProviderTypeBitbucket
	b.refuse(bitbucket, "InvalidRequestException", "Connection with the provided name already exists: code")

	failed := b.complete("code", "bad")
	want.Status = types.ConnectionStatusError
	shows("refused by the provider", failed.Connection)
	if refusal := aws.ToString(failed.Refusal); refusal != "GITHUB says Bad credentials" {
		t.Errorf("refusal %q", refusal)
	}
	listed(aws.String("code"))

	done := b.complete("code", "good-token")
	want.Status = types.ConnectionStatusAvailable
	shows("completed", done.Connection)
	if done.Refusal != nil {
		t.Errorf("a completed handshake answers the refusal %q", *done.Refusal)
	}
	if c := b.credential("code"); c != "connection credential "+arn+" nekot-doog" {
		t.Errorf("kept as credential is %q, not what the vault sealed", c)
	}
	b.refuse(completion("code", "bad"), "InvalidRequestException", "connection code keeps the one it has")
	if c := b.credential("code"); c != "connection credential "+arn+" nekot-doog" {
		t.Errorf("after a refused second token, kept is %q", c)
	}
	b.complete("code", "good-other")
	if c := b.credential("code"); c != "connection credential "+arn+" rehto-doog" {
		t.Errorf("after another token, kept is %q", c)
	}
	for _, secret := range []string{"good-token", "nekot-doog", "good-other"} {
		if strings.Contains(b.Logged.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}

	deleted := invoke[apprunner.DeleteConnectionOutput](b, removeConnection(arn)).Connection
	want.Status = types.ConnectionStatusDeleted
	shows("deleted", deleted)
	if list := b.connections(nil); len(list) != 0 {
		t.Errorf("after its deletion %v is listed", list)
	}
	b.refuse(removeConnection(arn), "ResourceNotFoundException", "Connection not found: "+arn)
	b.refuse(&apprunner.ListTagsForResourceInput{ResourceArn: &arn}, "ResourceNotFoundException", "Connection not found: "+arn)
	again := b.connect("code")
	if *again.ConnectionArn == arn || again.Status != types.ConnectionStatusPendingHandshake || b.tags(*again.ConnectionArn) != nil || b.credential("code") != "" {
		t.Errorf("a new connection of the same name keeps something of the old one: %v", b.Doc(again))
	}
	b.refuse(removeConnection(arn), "ResourceNotFoundException", "Connection not found: "+arn)
	b.must(removeConnection(prefix + "connection/code"))
}

func TestCompleteConnectionRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, withProviders)
	b.connect("code")
	for _, c := range []struct {
		in      *api.CompleteConnectionInput
		message string
	}{
		{&api.CompleteConnectionInput{}, "ConnectionName is required."},
		{&api.CompleteConnectionInput{ConnectionName: aws.String("code")}, "Token must have 1 to 4096 printable ASCII characters without blanks."},
		{&api.CompleteConnectionInput{Token: aws.String("good")}, "ConnectionName is required."},
		{completion("code", "good\n"), "Token must have"},
		{completion("code", strings.Repeat("x", 4097)), "Token must have"},
		{completion("code", "away"), "GITHUB could not be asked whether it accepts the token: no route to host"},
	} {
		b.refuse(c.in, "InvalidRequestException", c.message)
	}
	b.refuse(completion("none", "good"), "ResourceNotFoundException", "Connection not found: none")
	if s := b.connections(nil)[0].Status; s != types.ConnectionStatusPendingHandshake {
		t.Errorf("refused calls left the status %v", s)
	}
	bare := newBench(t)
	bare.connect("code")
	bare.refuse(completion("code", "good"), "InvalidRequestException", "This server keeps no credentials")
}

func TestConnectionQuotaAndNames(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 10 {
		b.connect(fmt.Sprintf("code-%d", i))
	}
	if e := b.refuse(newConnection("more"), "ServiceQuotaExceededException", "limit of 10 connections"); e.Status != 402 {
		t.Errorf("the eleventh connection: status %d, want 402", e.Status)
	}
	b.refuse(newConnection("code-3"), "InvalidRequestException", "already exists: code-3")
	b.must(removeConnection(prefix + "connection/code-3"))
	b.connect("more")
	list := func(name *string) []string {
		return pages(b, 3, func(max *int32, token *string) ([]string, *string) {
			out := invoke[apprunner.ListConnectionsOutput](b, &apprunner.ListConnectionsInput{ConnectionName: name, MaxResults: max, NextToken: token})
			return each(out.ConnectionSummaryList, func(c types.ConnectionSummary) *string { return c.ConnectionName }), out.NextToken
		}, nil)
	}
	if names := list(nil); !slices.IsSorted(names) || len(names) != 10 {
		t.Errorf("listed by pages are %v", names)
	}
	if got := list(aws.String("code-5")); !slices.Equal(got, []string{"code-5"}) {
		t.Errorf("listed by name are %v", got)
	}
	if got := b.connections(aws.String("none")); len(got) != 0 {
		t.Errorf("listed by an unknown name are %v", got)
	}
	b.refuse(removeConnection(noService), "InvalidRequestException", "is not the ARN of a connection")
	b.refuse(removeConnection("arn:aws:apprunner:eu-west-1:"+account+":connection/more"), "ResourceNotFoundException", "Connection not found")
}

// A service that builds from source needs a connection that is AVAILABLE, and
// keeps it from being deleted.
func TestConnectionOfAService(t *testing.T) {
	t.Parallel()
	b := newBench(t, withCode)
	arn := *b.connect("code").ConnectionArn
	create := func(connection *string) *apprunner.CreateServiceInput {
		source := &types.SourceConfiguration{CodeRepository: &types.CodeRepository{
			RepositoryUrl:     aws.String("https://github.com/a/b"),
			SourceCodeVersion: &types.SourceCodeVersion{Type: types.SourceCodeVersionTypeBranch, Value: aws.String("main")},
			CodeConfiguration: &types.CodeConfiguration{ConfigurationSource: types.ConfigurationSourceRepository},
		}}
		if connection != nil {
			source.AuthenticationConfiguration = &types.AuthenticationConfiguration{ConnectionArn: connection}
		}
		return newService("shop", withSource(source))
	}
	refused := func(connection *string, message string) {
		t.Helper()
		b.refuse(create(connection), "InvalidRequestException", message)
	}
	refused(nil, "a CodeRepository requires a ConnectionArn")
	refused(aws.String(prefix+"connection/none"), "Connection not found: "+prefix+"connection/none")
	refused(&arn, "is PENDING_HANDSHAKE; it must be AVAILABLE")
	b.complete("code", "bad")
	refused(&arn, "is ERROR; it must be AVAILABLE")
	b.complete("code", "good")
	made := invoke[apprunner.CreateServiceOutput](b, create(aws.String(prefix+"connection/code"))).Service
	service := *made.ServiceArn
	if got := *b.describe(service).SourceConfiguration.AuthenticationConfiguration.ConnectionArn; got != arn {
		t.Errorf("the service shows the connection %v, want its full ARN %s", got, arn)
	}
	b.end(service, slipway.OperationSucceeded, slipway.StatusRunning)
	b.refuse(removeConnection(arn), "InvalidRequestException", "You can't delete "+arn+": a service uses it.")
	b.delete(service)
	b.end(service, slipway.OperationSucceeded, slipway.StatusDeleted)
	b.must(removeConnection(arn))
}
