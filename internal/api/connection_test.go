package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/store"
)

// providers accepts the tokens that begin with "good", cannot be reached about
// those that begin with "away", and refuses the others.
type providers struct{}

func (providers) Accepts(_ context.Context, provider, token string) (string, error) {
	switch {
	case strings.HasPrefix(token, "good"):
		return "", nil
	case strings.HasPrefix(token, "away"):
		return "", errors.New("no route to host")
	}
	return provider + " says Bad credentials", nil
}

// vault seals a secret by turning its bytes over and naming what it is about.
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

func connectionBody(arn string) string { return `{"ConnectionArn":"` + arn + `"}` }

func (b *bench) connect(name string, members ...string) map[string]any {
	b.Helper()
	doc := b.ok("CreateConnection", `{`+strings.Join(append([]string{`"ConnectionName":"` + name + `","ProviderType":"GITHUB"`}, members...), ",")+`}`)
	return doc["Connection"].(map[string]any)
}

func (b *bench) complete(name, token string) map[string]any {
	b.Helper()
	return b.OK("Slipway.CompleteConnection", `{"ConnectionName":"`+name+`","Token":"`+token+`"}`)
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
	created := b.connect("code", `"Tags":[{"Key":"team","Value":"web"}]`)
	arn := created["ConnectionArn"].(string)
	if !strings.HasPrefix(arn, prefix+"connection/code/") || len(arn) != len(prefix+"connection/code/")+32 {
		t.Errorf("ARN %s", arn)
	}
	want := parse(t, `{"ConnectionArn":"`+arn+`","ConnectionName":"code","ProviderType":"GITHUB","Status":"PENDING_HANDSHAKE","CreatedAt":1800000000.123}`)
	shows := func(step string, c any) {
		t.Helper()
		if d := cmp.Diff(any(want), c); d != "" {
			t.Errorf("%s (-want +got):\n%s", step, d)
		}
	}
	shows("created", created)
	shows("listed", b.ok("ListConnections", "{}")["ConnectionSummaryList"].([]any)[0])
	if d := cmp.Diff([]string{"team=web"}, b.tags(arn)); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}
	b.refused("CreateConnection", `{"ConnectionName":"code","ProviderType":"BITBUCKET"}`, "InvalidRequestException", "Connection with the provided name already exists: code")

	failed := b.complete("code", "bad")
	want["Status"] = "ERROR"
	shows("refused by the provider", failed["Connection"])
	if failed["Refusal"] != "GITHUB says Bad credentials" {
		t.Errorf("refusal %v", failed["Refusal"])
	}
	shows("listed", b.ok("ListConnections", `{"ConnectionName":"code"}`)["ConnectionSummaryList"].([]any)[0])

	done := b.complete("code", "good-token")
	want["Status"] = "AVAILABLE"
	shows("completed", done["Connection"])
	if _, ok := done["Refusal"]; ok {
		t.Errorf("a completed handshake answers %v", done)
	}
	if c := b.credential("code"); c != "connection credential "+arn+" nekot-doog" {
		t.Errorf("kept as credential is %q, not what the vault sealed", c)
	}
	b.Refused("Slipway.CompleteConnection", `{"ConnectionName":"code","Token":"bad"}`, "InvalidRequestException", "connection code keeps the one it has")
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

	deleted := b.ok("DeleteConnection", connectionBody(arn))["Connection"]
	want["Status"] = "DELETED"
	shows("deleted", deleted)
	if list := b.ok("ListConnections", "{}")["ConnectionSummaryList"].([]any); len(list) != 0 {
		t.Errorf("after its deletion %v is listed", list)
	}
	b.refused("DeleteConnection", connectionBody(arn), "ResourceNotFoundException", "Connection not found: "+arn)
	b.refused("ListTagsForResource", `{"ResourceArn":"`+arn+`"}`, "ResourceNotFoundException", "Connection not found: "+arn)
	again := b.connect("code")
	if again["ConnectionArn"] == arn || again["Status"] != "PENDING_HANDSHAKE" || b.tags(again["ConnectionArn"].(string)) != nil || b.credential("code") != "" {
		t.Errorf("a connection of the name created anew has something of the old one: %v", again)
	}
	b.refused("DeleteConnection", connectionBody(arn), "ResourceNotFoundException", "Connection not found: "+arn)
	b.ok("DeleteConnection", connectionBody(prefix+"connection/code"))
}

func TestCompleteConnectionRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, withProviders)
	b.connect("code")
	for body, message := range map[string]string{
		`{}`:                        "ConnectionName is required.",
		`{"ConnectionName":"code"}`: "Token must have 1 to 4096 printable ASCII characters without blanks.",
		`{"Token":"good"}`:          "ConnectionName is required.",
		`{"ConnectionName":"code","Token":"good\n"}`:                            "Token must have",
		`{"ConnectionName":"code","Token":"` + strings.Repeat("x", 4097) + `"}`: "Token must have",
		`{"ConnectionName":"code","Token":"away"}`:                              "GITHUB could not be asked whether it accepts the token: no route to host",
	} {
		b.Refused("Slipway.CompleteConnection", body, "InvalidRequestException", message)
	}
	b.Refused("Slipway.CompleteConnection", `{"ConnectionName":"none","Token":"good"}`, "ResourceNotFoundException", "Connection not found: none")
	if s := b.ok("ListConnections", "{}")["ConnectionSummaryList"].([]any)[0].(map[string]any)["Status"]; s != "PENDING_HANDSHAKE" {
		t.Errorf("refused calls left the status %v", s)
	}
	bare := newBench(t)
	bare.connect("code")
	bare.Refused("Slipway.CompleteConnection", `{"ConnectionName":"code","Token":"good"}`, "InvalidRequestException", "This server keeps no credentials")
}

func TestConnectionQuotaAndNames(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 10 {
		b.connect(fmt.Sprintf("code-%d", i))
	}
	w := b.call("CreateConnection", `{"ConnectionName":"more","ProviderType":"GITHUB"}`)
	if w.Code != 402 || w.Doc["__type"] != "ServiceQuotaExceededException" || !strings.Contains(w.Doc["Message"].(string), "limit of 10 connections") {
		t.Errorf("the eleventh connection: %d %s", w.Code, w.Body)
	}
	b.refused("CreateConnection", `{"ConnectionName":"code-3","ProviderType":"GITHUB"}`, "InvalidRequestException", "already exists: code-3")
	b.ok("DeleteConnection", connectionBody(prefix+"connection/code-3"))
	b.connect("more")
	names := b.list("ListConnections", "ConnectionSummaryList", 3, "", member("ConnectionName"), nil)
	if !slices.IsSorted(names) || len(names) != 10 {
		t.Errorf("listed by pages are %v", names)
	}
	if got := b.list("ListConnections", "ConnectionSummaryList", 3, `,"ConnectionName":"code-5"`, member("ConnectionName"), nil); !slices.Equal(got, []string{"code-5"}) {
		t.Errorf("listed by name are %v", got)
	}
	if got := b.ok("ListConnections", `{"ConnectionName":"none"}`)["ConnectionSummaryList"].([]any); len(got) != 0 {
		t.Errorf("listed by an unknown name are %v", got)
	}
	b.refused("DeleteConnection", connectionBody(noService), "InvalidRequestException", "is not the ARN of a connection")
	b.refused("DeleteConnection", connectionBody("arn:aws:apprunner:eu-west-1:"+account+":connection/more"), "ResourceNotFoundException", "Connection not found")
}

// A service that builds from source needs a connection that is AVAILABLE, and
// keeps it from being deleted.
func TestConnectionOfAService(t *testing.T) {
	t.Parallel()
	b := newBench(t, withProviders)
	arn := b.connect("code")["ConnectionArn"].(string)
	create := func(auth string) string {
		return `{"ServiceName":"shop","SourceConfiguration":{"CodeRepository":{"RepositoryUrl":"https://github.com/a/b","SourceCodeVersion":{"Type":"BRANCH","Value":"main"},
			"CodeConfiguration":{"ConfigurationSource":"REPOSITORY"}}` + auth + `}}`
	}
	auth := func(arn string) string { return `,"AuthenticationConfiguration":{"ConnectionArn":"` + arn + `"}` }
	b.refused("CreateService", create(""), "InvalidRequestException", "a CodeRepository requires a ConnectionArn")
	b.refused("CreateService", create(auth(prefix+"connection/none")), "InvalidRequestException", "Connection not found: "+prefix+"connection/none")
	b.refused("CreateService", create(auth(arn)), "InvalidRequestException", "is PENDING_HANDSHAKE; it must be AVAILABLE")
	b.complete("code", "bad")
	b.refused("CreateService", create(auth(arn)), "InvalidRequestException", "is ERROR; it must be AVAILABLE")
	b.complete("code", "good")
	b.refused("CreateService", create(auth(arn)), "InvalidRequestException", "CodeRepository is not supported yet")

	service := b.create("shop")
	b.refer(service, arn)
	b.refused("DeleteConnection", connectionBody(arn), "InvalidRequestException", "You can't delete "+arn+": a service uses it.")
	b.ok("DeleteService", arnBody(service))
	b.end(service, slipway.OperationSucceeded, slipway.StatusDeleted)
	b.ok("DeleteConnection", connectionBody(arn))
}
