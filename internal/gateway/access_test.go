package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/store"
)

const thing = "arn:aws:one:us-east-1:000000000000:thing/a"

// limited is a bench with a user ann, a key of hers, and policies by user name.
func limited(t *testing.T, required gateway.Permissions[echo], documents map[string][]string) (root, ann *gatewaytest.Bench) {
	t.Helper()
	s := service("one", "application/x-amz-json-1.0", "One.Echo")
	s.Operations[0] = gateway.Read("Echo", echoed, required)
	b := gatewaytest.New(t)
	b.Open([]gateway.Service{s}, func(c *gateway.Config) {
		c.Policies = func(_ *store.Tx, user string) (list []policy.Policy, err error) {
			for _, text := range documents[user] {
				d, err := policy.Parse([]byte(text))
				if err != nil {
					return nil, err
				}
				list = append(list, policy.Policy{Name: "p", Document: d})
			}
			return list, nil
		}
	})
	key := slipway.AccessKey{ID: "AKIAANN", Secret: "hers", User: "ann", CreatedAt: gatewaytest.T0}
	b.Update(func(tx *store.Tx) error {
		return errors.Join(
			tx.InsertUser(slipway.User{Name: "ann", ID: "AIDAANN", Path: "/team/", CreatedAt: gatewaytest.T0}),
			tx.InsertAccessKey(key),
			tx.SetTags(thing, []slipway.Tag{{Key: "Owner", Value: "ann"}}),
			tx.SetTags("arn:aws:iam::000000000000:user/team/ann", []slipway.Tag{{Key: "team", Value: "red"}}),
		)
	})
	return b, b.As(key, "")
}

func document(elements string) string {
	return `{"Version":"2012-10-17","Statement":[` + elements + `]}`
}

// onText requires permission on the resource that the input names.
func onText(_ *store.Tx, in *echo) ([]gateway.Permission, error) {
	c := policy.NewContext()
	c.Set("one:Text", in.Text)
	return []gateway.Permission{{Resource: in.Text, Context: c}}, nil
}

func TestPermission(t *testing.T) {
	t.Parallel()
	const arn = "arn:aws:iam::000000000000:user/team/ann"
	implicit := "User: " + arn + " is not authorized to perform: one:Echo on resource: " + thing +
		" because no identity-based policy allows the one:Echo action"
	explicit := "User: " + arn + " is not authorized to perform: one:Echo on resource: " + thing +
		" with an explicit deny in an identity-based policy"
	for name, c := range map[string]struct{ policies, want string }{
		"no policy":                {"", implicit},
		"another action":           {`{"Effect":"Allow","Action":"one:Other","Resource":"*"}`, implicit},
		"another resource":         {`{"Effect":"Allow","Action":"*","Resource":"arn:aws:one:*:*:thing/b"}`, implicit},
		"allowed":                  {`{"Effect":"Allow","Action":"one:Echo","Resource":"arn:aws:one:*:*:thing/?"}`, ""},
		"denied":                   {`{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"one:*","Resource":"*"}`, explicit},
		"from here":                {`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}}`, ""},
		"not from here":            {`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}}`, implicit},
		"time":                     {`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"2027-01-15T08:00:01Z"},"NumericEquals":{"aws:EpochTime":1800000000}}}`, ""},
		"too late":                 {`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"2027-01-15T08:00:00Z"}}}`, implicit},
		"encrypted only":           {`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":true}}}`, implicit},
		"who":                      {`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:username":"ann","aws:userid":"AIDAANN"},"ArnEquals":{"aws:PrincipalArn":"` + arn + `"}}}`, ""},
		"tag of the resource":      {`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/owner":"${aws:username}"}}}`, ""},
		"other tag":                {`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Owner":"bob"}}}`, implicit},
		"tag of the caller":        {`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"red"}}}`, ""},
		"key of the call":          {`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"ArnLike":{"one:Text":"` + thing + `"}}}`, ""},
		"account and region":       {`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalAccount":"000000000000","aws:ResourceAccount":"000000000000","aws:RequestedRegion":"us-east-1"}}}`, ""},
		"temporary keys only":      {`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Null":{"aws:TokenIssueTime":"false"}}}`, implicit},
		"nothing but a user agent": {`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringLike":{"aws:UserAgent":"curl/*"}}}`, implicit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			documents := map[string][]string{}
			if c.policies != "" {
				documents["ann"] = []string{document(c.policies)}
			}
			root, ann := limited(t, onText, documents)
			w := ann.Call("One.Echo", `{"Text":"`+thing+`"}`)
			if c.want == "" {
				if w.Code != http.StatusOK {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			} else if w.Code != http.StatusForbidden || w.Doc["__type"] != "AccessDeniedException" || w.Doc["Message"] != c.want {
				t.Errorf("%d %s\nwant %s", w.Code, w.Body, c.want)
			}
			if w := root.Call("One.Echo", `{"Text":"`+thing+`"}`); w.Code != http.StatusOK {
				t.Errorf("root: %d %s", w.Code, w.Body)
			}
		})
	}
}

// Several permissions: all must be met, and one that is only referred to is met
// unless it is denied.
func TestSeveralPermissions(t *testing.T) {
	t.Parallel()
	required := func(*store.Tx, *echo) ([]gateway.Permission, error) {
		return []gateway.Permission{{Resource: thing}, {Action: "iam:PassRole", Resource: "arn:aws:iam::0:role/r"}, {Resource: "arn:aws:one:::ref", DenyOnly: true}}, nil
	}
	for statements, want := range map[string]string{
		`{"Effect":"Allow","Action":"one:*","Resource":"arn:aws:one:*:*:thing/*"}`:                                                                                                                 "iam:PassRole on resource: arn:aws:iam::0:role/r because",
		`{"Effect":"Allow","Action":["one:*","iam:PassRole"],"Resource":["arn:aws:one:*:*:thing/*","arn:aws:iam::0:role/*"]}`:                                                                      "",
		`{"Effect":"Allow","Action":["one:*","iam:PassRole"],"Resource":["arn:aws:one:*:*:thing/*","arn:aws:iam::0:role/*"]},{"Effect":"Deny","Action":"one:Echo","Resource":"arn:aws:one:::ref"}`: "one:Echo on resource: arn:aws:one:::ref with an explicit deny",
	} {
		_, ann := limited(t, required, map[string][]string{"ann": {document(statements)}})
		w := ann.Call("One.Echo", `{}`)
		if text, _ := w.Doc["Message"].(string); (w.Code == http.StatusOK) != (want == "") || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s, want %q", statements, w.Code, w.Body, want)
		}
	}
}

func TestNoPermission(t *testing.T) {
	t.Parallel()
	_, ann := limited(t, gateway.NoPermission, map[string][]string{"ann": {document(`{"Effect":"Deny","Action":"*","Resource":"*"}`)}})
	if w := ann.Call("One.Echo", `{}`); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// What may be asked is decided before what is asked is checked, but not before
// it can be read.
func TestOrderOfChecks(t *testing.T) {
	t.Parallel()
	_, ann := limited(t, onText, nil)
	if w := ann.Call("One.Echo", `{"Text":1}`); w.Doc["__type"] != "SerializationException" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	stranger := ann.As(slipway.AccessKey{ID: "AKIANOBODY", Secret: "x"}, "")
	if w := stranger.Call("One.Echo", `{"Text":1}`); w.Doc["__type"] != "UnrecognizedClientException" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Every operation declares its permissions; one that does not is taken by no gateway.
func TestUndeclaredPermissions(t *testing.T) {
	t.Parallel()
	s := service("one", "x", "One.Echo")
	s.Operations[0] = gateway.Read[echo, echo]("Echo", echoed, nil)
	b := newBench(t)
	_, err := gateway.New(gateway.Config{
		Store: b.Store, Region: "r", Account: "a", Services: []gateway.Service{s}, Log: discard(),
	})
	if err == nil || !strings.Contains(err.Error(), "Echo of one does not declare what permissions it requires") {
		t.Error(err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	allowed := map[string][]string{"ann": {document(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:username":"ann"}}}`)}}
	root, ann := limited(t, gateway.AnyResource, allowed)
	session := slipway.Session{ID: "ASIAANN", Secret: "s", Token: "t", User: "ann", CreatedAt: gatewaytest.T0, ExpiresAt: gatewaytest.T0.Add(time.Hour)}
	root.Update(func(tx *store.Tx) error { return tx.InsertSession(session, gatewaytest.T0) })
	temporary := ann.As(slipway.AccessKey{ID: "ASIAANN", Secret: "s"}, "t")
	expect := func(b *gatewaytest.Bench, want string) {
		t.Helper()
		if got, _ := b.Call("One.Echo", `{}`).Doc["__type"].(string); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	expect(ann, "")
	expect(temporary, "")
	expect(ann.As(slipway.AccessKey{ID: "ASIAANN", Secret: "s"}, ""), "UnrecognizedClientException")
	expect(ann.As(slipway.AccessKey{ID: "ASIAANN", Secret: "s"}, "T"), "UnrecognizedClientException")
	expect(ann.As(ann.Key, "t"), "UnrecognizedClientException")

	root.Update(func(tx *store.Tx) error { return tx.SetAccessKeyInactive("AKIAANN", true) })
	expect(ann, "UnrecognizedClientException")
	root.Update(func(tx *store.Tx) error { return tx.SetAccessKeyInactive("AKIAANN", false) })
	expect(ann, "")

	root.Clock.Advance(time.Hour)
	expect(temporary, "ExpiredTokenException")
	expect(ann, "")
	root.Update(func(tx *store.Tx) error { return tx.DeleteUser("ann", "arn:aws:iam::000000000000:user/team/ann") })
	expect(temporary, "UnrecognizedClientException")
	expect(ann, "UnrecognizedClientException")
}

// record is an auditor that remembers.
type record struct {
	mu           sync.Mutex // guards all
	begun, ended []gateway.Call
}

func (r *record) Begun(_ *store.Tx, c gateway.Call) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun = append(r.begun, c)
	return nil
}

func (r *record) Ended(_ context.Context, c gateway.Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = append(r.ended, c)
}

func TestAudit(t *testing.T) {
	t.Parallel()
	var kept record
	b := gatewaytest.New(t)
	handler := func(ctx context.Context, call *gateway.Call, in *echo) (*echo, error) {
		err := call.Update(ctx, func(*store.Tx) error {
			if in.Text == "fail" {
				return slipway.Errorf(slipway.InvalidRequest, "no")
			}
			return nil
		})
		return in, err
	}
	b.Open([]gateway.Service{{
		Name: "one", Internal: "InternalFailure", Protocol: gateway.Protocol{ContentType: "x", Targets: []string{"One."}},
		Operations: []gateway.Operation{gateway.Mutate("Change", handler, onText), gateway.Read("Look", handler, onText)},
	}}, func(c *gateway.Config) { c.Audit = &kept })
	b.Call("One.Look", `{"Text":"x"}`)
	b.Call("One.Change", `{"Text":1}`) // not understood
	r := b.Request("One.Change", `{}`)
	r.Header.Del("Authorization")
	b.Send(r)
	if len(kept.begun)+len(kept.ended) > 0 {
		t.Fatalf("recorded: %+v, %+v", kept.begun, kept.ended)
	}
	id := b.Call("One.Change", `{"Text":"arn:x"}`).Header().Get("X-Amzn-Requestid")
	b.Call("One.Change", `{"Text":"fail"}`)
	if len(kept.begun) != 1 || len(kept.ended) != 2 {
		t.Fatalf("%d begun, %d ended", len(kept.begun), len(kept.ended))
	}
	first, second := kept.ended[0], kept.ended[1]
	if first.ID != id || !first.Recorded || first.Exception != nil || first.Output.(*echo).Text != "arn:x" || first.Resources[0] != "arn:x" ||
		first.Service.Source != "one.amazonaws.com" || first.Caller.SourceIP != "192.0.2.1" || first.Caller.User != "root" {
		t.Errorf("%+v", first)
	}
	if second.Recorded || second.Output != nil || second.Exception.Name != "InvalidRequestException" {
		t.Errorf("%+v", second)
	}
}

// What the server does for a user who makes no call is decided as the user's calls are,
// but for keys of a connection. It is root for the empty id, and nobody for a user who
// was deleted.
func TestOnBehalf(t *testing.T) {
	t.Parallel()
	root, _ := limited(t, onText, nil)
	z := gateway.Authorizer{Region: gatewaytest.Region, Now: time.Now, Policies: func(*store.Tx, string) ([]policy.Policy, error) {
		d, err := policy.Parse([]byte(document(`{"Effect":"Allow","Action":"*","Resource":"arn:aws:one:*:*:thing/*"},
			{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"},"Bool":{"aws:ViaAWSService":"false"}}}`)))
		return []policy.Policy{{Document: d}}, err
	}}
	root.Update(func(tx *store.Tx) error {
		ann, err := gateway.OnBehalf(tx, gatewaytest.Account, "AIDAANN")
		if err != nil {
			return err
		}
		if err := z.Permit(tx, ann, gateway.Permission{Action: "one:Echo", Resource: thing}); err != nil {
			t.Errorf("what ann may: %v", err)
		}
		const hidden = "arn:aws:two:us-east-1:000000000000:thing/a-id"
		err = z.Permit(tx, ann, gateway.Permission{Action: "two:Echo", Resource: hidden, Named: "a"})
		if err == nil || !strings.Contains(err.Error(), "on resource: a because") || strings.Contains(err.Error(), hidden) {
			t.Errorf("what ann may not: %v", err)
		}
		nobody, err := gateway.OnBehalf(tx, gatewaytest.Account, "")
		if err != nil {
			return err
		}
		if err := z.Permit(tx, nobody, gateway.Permission{Action: "two:Echo", Resource: hidden}); err != nil {
			t.Errorf("root: %v", err)
		}
		if _, err := gateway.OnBehalf(tx, gatewaytest.Account, "AIDAGONE"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a deleted user: %v", err)
		}
		return nil
	})
}

func (*record) Refused(context.Context, gateway.Call) {}
