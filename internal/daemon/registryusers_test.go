package daemon

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/ecr"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/iam"
	"github.com/openslipway/slipway/internal/store"
)

// TestRegistryUsers lets users into the registry by key, by token and by
// neither, and holds them to their policies whichever they came with.
func TestRegistryUsers(t *testing.T) {
	t.Parallel()
	b := gatewaytest.New(t)
	key := slipway.AccessKey{ID: "AKIAPUSHER", Secret: "pusher's", User: "pusher", CreatedAt: gatewaytest.T0}
	b.Update(func(tx *store.Tx) error {
		if err := tx.InsertUser(slipway.User{ID: "AIDAPUSHER", Name: "pusher", Path: "/", CreatedAt: gatewaytest.T0}); err != nil {
			return err
		}
		if err := tx.PutInlinePolicy("pusher", slipway.InlinePolicy{Name: "push", Document: `{"Version": "2012-10-17", "Statement": [
			{"Effect": "Allow", "Action": ["ecr:PutImage", "ecr:GetAuthorizationToken"], "Resource": "*"},
			{"Effect": "Deny", "Action": "ecr:*", "Resource": "arn:aws:ecr:*:*:repository/secret/*"}]}`}); err != nil {
			return err
		}
		return tx.InsertAccessKey(key)
	})
	users, err := iam.New(iam.Config{Store: b.Store, Account: gatewaytest.Account})
	if err != nil {
		t.Fatal(err)
	}
	b.Open([]gateway.Service{users.Service()}, func(c *gateway.Config) { c.Policies = users.Policies })
	tokens := &ecr.Tokens{Now: b.Clock.Now, Caller: func(ctx context.Context, id string) (gateway.Caller, gateway.Key, bool, error) {
		return b.Gateway.Caller(ctx, id)
	}}
	a := authenticator{b.Gateway, tokens, func(repository string) string { return "arn:aws:ecr:us-east-1:000000000000:repository/" + repository }, nil}
	token, _, err := tokens.Issue(t.Context(), key.ID)
	if err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		user, password string
		in             bool
	}{
		{key.ID, key.Secret, true},
		{"AWS", token, true},
		{b.Key.ID, b.Key.Secret, true},
		{"AWS", key.Secret, false},
		{key.ID, token, false},
		{key.ID, "", false},
		{"", "", false},
		{"AWS", "", false},
		{"AKIANOBODY", key.Secret, false},
	} {
		in, err := a.check(t.Context(), c.user, c.password)
		if err != nil || in != c.in {
			t.Errorf("%q is let in: %v (%v), want %v", c.user, in, err, c.in)
		}
	}
	for _, password := range []struct{ user, password string }{{key.ID, key.Secret}, {"AWS", token}} {
		r := httptest.NewRequest("PUT", "/v2/", nil)
		r.SetBasicAuth(password.user, password.password)
		for _, c := range []struct{ action, repository, refusal string }{
			{"ecr:PutImage", "shop", ""},
			{"ecr:BatchGetImage", "shop", "is not authorized to perform: ecr:BatchGetImage on resource: arn:aws:ecr:us-east-1:000000000000:repository/shop because no identity-based policy allows"},
			{"ecr:PutImage", "secret/shop", "with an explicit deny"},
			{"ecr:DescribeRepositories", "", "on resource: * because"},
		} {
			refusal, err := a.permit(r, c.action, c.repository)
			if err != nil || (c.refusal == "") != (refusal == "") || !strings.Contains(refusal, c.refusal) {
				t.Errorf("%s may %s %s: %q (%v), want %q", password.user, c.action, c.repository, refusal, err, c.refusal)
			}
		}
	}
	b.Clock.Advance(13 * time.Hour)
	if in, _ := a.check(t.Context(), "AWS", token); in {
		t.Error("a token that has ended lets in")
	}
}
