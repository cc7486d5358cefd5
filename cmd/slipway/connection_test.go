package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/wire"
)

// callConnection answers the calls about connections.
func (f *fakeServer) callConnection(operation string, body []byte) (any, error) {
	var in struct{ ConnectionName, ConnectionArn, ProviderType, Token string }
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	find := func(wanted func(*types.Connection) bool) (int, error) {
		for i := range f.connections {
			if wanted(&f.connections[i]) {
				return i, nil
			}
		}
		return 0, wire.NewException("ResourceNotFoundException", "Connection not found: "+in.ConnectionName+in.ConnectionArn)
	}
	switch operation {
	case "CreateConnection":
		f.connections = append(f.connections, types.Connection{
			ConnectionName: &in.ConnectionName, ConnectionArn: aws.String(fakePrefix + "connection/" + in.ConnectionName + "/" + f.id()),
			ProviderType: types.ProviderType(in.ProviderType), Status: types.ConnectionStatusPendingHandshake, CreatedAt: aws.Time(epoch),
		})
		return &apprunner.CreateConnectionOutput{Connection: &f.connections[len(f.connections)-1]}, nil
	case "ListConnections":
		out := &apprunner.ListConnectionsOutput{ConnectionSummaryList: []types.ConnectionSummary{}}
		for _, c := range f.connections {
			if in.ConnectionName == "" || in.ConnectionName == *c.ConnectionName {
				out.ConnectionSummaryList = append(out.ConnectionSummaryList, types.ConnectionSummary(c))
			}
		}
		return out, nil
	case "CompleteConnection":
		i, err := find(func(c *types.Connection) bool { return *c.ConnectionName == in.ConnectionName })
		if err != nil {
			return nil, err
		}
		c := &f.connections[i]
		out := struct {
			Connection *types.Connection
			Refusal    *string
		}{Connection: c}
		if c.Status = types.ConnectionStatusAvailable; strings.HasPrefix(in.Token, "bad") {
			c.Status, out.Refusal = types.ConnectionStatusError, aws.String("Bad credentials")
		}
		return &out, nil
	case "PutConnectionWebhook", "DescribeConnectionWebhook", "DeleteConnectionWebhook":
		return f.callConnectionWebhook(operation, body)
	case "CreateCodeConnection", "DescribeCodeConnection":
		return f.callCodeConnection(body)
	}
	i, err := find(func(c *types.Connection) bool { return *c.ConnectionArn == in.ConnectionArn })
	if err != nil {
		return nil, err
	}
	c := f.connections[i]
	f.connections = append(f.connections[:i], f.connections[i+1:]...)
	c.Status = types.ConnectionStatusDeleted
	return &apprunner.DeleteConnectionOutput{Connection: &c}, nil
}

// callConnectionWebhook answers the calls about the webhook of the connection "code".
func (f *fakeServer) callConnectionWebhook(operation string, body []byte) (any, error) {
	var in struct {
		ConnectionName string
		Secret         *string
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	if operation != "PutConnectionWebhook" && !f.hasWebhook {
		return nil, wire.NewException("ResourceNotFoundException", "Connection "+in.ConnectionName+" has no webhook.")
	}
	type webhook struct {
		ConnectionName, ConnectionArn, ProviderType string
		URL                                         string `json:"Url"`
		CreatedAt                                   float64
		DeliveredAt                                 *float64 `json:",omitempty"`
	}
	out := struct {
		Webhook webhook
		Secret  *string `json:",omitempty"`
	}{Webhook: webhook{in.ConnectionName, fakePrefix + "connection/code/1", "GITHUB", "https://slipway.example.com/webhooks/1", float64(epoch.Unix()), nil}}
	switch operation {
	case "PutConnectionWebhook":
		if f.hasWebhook, out.Secret = true, in.Secret; in.Secret == nil {
			out.Secret = aws.String("whsec_secret")
		}
	case "DescribeConnectionWebhook":
		out.Webhook.DeliveredAt = aws.Float64(float64(epoch.Unix()))
	case "DeleteConnectionWebhook":
		f.hasWebhook = false
	}
	return &out, nil
}

// callCodeConnection answers with the connection that was asked for, or the last one.
func (f *fakeServer) callCodeConnection(body []byte) (any, error) {
	var in struct{ ConnectionName, ProviderType, Host, Method, PrivateKey string }
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	if in.ProviderType == "" {
		in.ProviderType, in.Host, in.Method = "GIT", "git.example.com", "SSH"
	}
	type connection struct {
		ConnectionArn, ConnectionName, ProviderType, Status string
		CreatedAt                                           float64
	}
	out := struct {
		Connection      connection
		Host, PublicKey string `json:",omitempty"`
		Method          string
	}{Connection: connection{fakePrefix + "connection/" + in.ConnectionName + "/1", in.ConnectionName, in.ProviderType, "PENDING_HANDSHAKE", float64(epoch.Unix())}, Host: in.Host, Method: "TOKEN"}
	if in.Method == "SSH" {
		out.Method, out.Connection.Status, out.PublicKey = "SSH", "AVAILABLE", "ssh-ed25519 AAAA slipway-"+in.ConnectionName
	}
	return &out, nil
}

func TestCodeConnection(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.run("connection", "create", "team", "--provider", "gitlab", "--host", "git.example.com")
	s.run("connection", "create", "mine", "--provider", "git", "--host", "git.example.com", "--ssh")
	s.stdin = "-----BEGIN OPENSSH PRIVATE KEY-----\n"
	s.run("connection", "create", "mine", "--provider", "git", "--host", "git.example.com", "--key-file", "-", "--json")
	s.run("connection", "create", "mine", "--key-file", "/nowhere")
	s.run("connection", "show", "mine")
	s.run("connection", "show", "mine", "--json")
	s.golden()
	for _, c := range s.server.calls {
		if strings.Contains(c, "--key-file") || strings.Contains(s.transcript.String(), "BEGIN") {
			t.Error("the key is shown")
		}
	}
	if last := s.server.calls[len(s.server.calls)-1]; !strings.Contains(last, "BEGIN OPENSSH") || !strings.Contains(last, `"Method":"SSH"`) {
		t.Errorf("the server got %s", last)
	}
}

func TestConnectionWebhook(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.run("connection", "webhook", "none")
	s.run("connection", "create", "code")
	s.run("connection", "webhook", "code")
	s.run("connection", "webhook", "code")
	s.run("connection", "webhook", "code", "--json")
	s.run("connection", "webhook", "code", "--rotate", "--json", "--yes")
	s.stdin = "whsec_of-gitlab\n"
	s.run("connection", "webhook", "code", "--secret-stdin")
	s.stdin = "\n"
	s.run("connection", "webhook", "code", "--secret-stdin")
	s.run("connection", "webhook", "code", "--remove", "--rotate", "--yes")
	s.run("connection", "webhook", "code", "--remove", "--yes")
	s.run("connection", "webhook", "code", "--remove", "--yes")
	s.golden()
}

func TestConnection(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.run("connection", "ls")
	s.run("connection", "create", "code")
	s.run("connection", "create", "more", "--provider", "bitbucket", "--json")
	s.run("connection", "complete", "code")
	s.stdin = "bad-token\n"
	s.run("connection", "complete", "code")
	s.run("connection", "ls")
	s.stdin = "good-token\n"
	s.run("connection", "complete", "code")
	s.env[tokenVariable] = "user:good"
	s.run("connection", "complete", "more", "--json")
	s.run("connection", "complete", "more", "--token", "given")
	s.run("connection", "complete", "none")
	s.run("connection", "ls")
	s.run("connection", "ls", "--json")
	s.run("connection", "rm", "none", "--yes")
	s.run("connection", "rm", "code", "--yes")
	s.run("connection", "rm", "more", "--json", "--yes")
	s.run("connection", "mend")
	s.golden()
	var tokens []string
	for _, c := range s.server.calls {
		if doc, ok := strings.CutPrefix(c, "CompleteConnection "); ok {
			var in struct{ Token string }
			if err := json.Unmarshal([]byte(doc), &in); err != nil {
				t.Fatal(err)
			}
			tokens = append(tokens, in.Token)
		}
	}
	if got := fmt.Sprint(tokens); got != "[bad-token good-token user:good given user:good]" {
		t.Errorf("tokens given to the server: %s", got)
	}
}
