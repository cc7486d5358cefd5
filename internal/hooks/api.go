package hooks

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/hooks/eventbridge"
	"github.com/openslipway/slipway/internal/outbound"
	"github.com/openslipway/slipway/internal/page"
	"github.com/openslipway/slipway/internal/store"
)

// APIConfig configures the operations on webhooks.
type APIConfig struct {
	Store   *store.Store
	Keys    Keys
	Region  string // of ARNs
	Account string // twelve digits

	// Reach says which addresses webhooks may have; nil: those on the internet only.
	Reach *outbound.Policy

	Now func() time.Time // time.Now when nil
}

// API holds the operations on webhooks. They are Slipway's own: clients of App
// Runner subscribe to its events in EventBridge.
type API struct{ cfg APIConfig }

const (
	maxWebhooks   = 100 // each webhook has its own connections
	maxOfUser     = 25  // of these; root may have all
	maxURL        = 2048
	keyPrefix     = "whsec_" // begins a key in base64, as in Standard Webhooks
	newKey        = 32       // bytes of a generated key
	minKey        = 24
	maxKey        = 64
	maxDeliveries = 100 // a page
)

// NewAPI checks cfg and returns the operations.
func NewAPI(cfg APIConfig) (*API, error) {
	if cfg.Store == nil || cfg.Keys == nil || cfg.Region == "" || cfg.Account == "" {
		return nil, errors.New("hooks: store, keys, region and account are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &API{cfg}, nil
}

// Service returns the operations for the gateway.
func (a *API) Service() gateway.Service {
	return gateway.Service{
		Name:     "apprunner",
		Internal: "InternalServiceErrorException",
		Protocol: gateway.Protocol{ContentType: "application/x-amz-json-1.0", Targets: []string{"Slipway."}},
		Operations: []gateway.Operation{
			gateway.Mutate("CreateWebhook", a.create, a.createPermissions).Redacting("Secret"),
			gateway.Read("DescribeWebhook", a.describe, a.webhookPermissions),
			gateway.Read("ListWebhooks", a.list, gateway.AnyResource),
			gateway.Read("ListWebhookDeliveries", a.deliveries, a.deliveriesPermissions),
			gateway.Mutate("TestWebhook", a.test, a.webhookPermissions),
			gateway.Mutate("DeleteWebhook", a.remove, a.webhookPermissions),
		},
	}
}

// CreateWebhookInput is the input of CreateWebhook.
type CreateWebhookInput struct {
	URL         *string             `json:"Url"` // required
	ServiceName *string             // send only this service's events; it need not exist. All services when absent
	Types       []slipway.EventType // send only these detail-types; all when absent
	Secret      *string             // "whsec_" and the key in base64; generated when absent
}

// CreateWebhookOutput is its output.
type CreateWebhookOutput struct {
	Webhook *Webhook
	Secret  *string // verifies signatures; no later call returns it
}

// Webhook describes a webhook.
type Webhook struct {
	WebhookID   string `json:"WebhookId"`
	WebhookArn  string
	URL         string `json:"Url"`
	ServiceName *string
	Types       []slipway.EventType
	CreatedAt   time.Time
	Pending     *int // events not yet delivered; absent from CreateWebhook and DeleteWebhook
}

// WebhookInput names a webhook: the input of DescribeWebhook, TestWebhook and
// DeleteWebhook.
type WebhookInput struct {
	WebhookID *string `json:"WebhookId"` // required
}

// WebhookOutput is the output of DescribeWebhook and DeleteWebhook.
type WebhookOutput struct{ Webhook *Webhook }

// ListWebhooksInput is the input of ListWebhooks.
type ListWebhooksInput struct{}

// ListWebhooksOutput is its output, oldest webhook first.
type ListWebhooksOutput struct{ Webhooks []Webhook }

// TestWebhookOutput is the output of TestWebhook. The event's delivery shows the
// outcome.
type TestWebhookOutput struct {
	EventID string `json:"EventId"`
}

// ListWebhookDeliveriesInput is the input of ListWebhookDeliveries.
type ListWebhookDeliveriesInput struct {
	WebhookID  *string `json:"WebhookId"` // required
	MaxResults *int32  // 1 to 100, 100 when absent
	NextToken  *string
}

// ListWebhookDeliveriesOutput is its output, newest event first.
type ListWebhookDeliveriesOutput struct {
	Deliveries []Delivery
	NextToken  *string
}

// Delivery describes a delivery.
type Delivery struct {
	EventID       string `json:"EventId"`
	Type          slipway.EventType
	ServiceName   *string
	State         slipway.DeliveryState
	CreatedAt     time.Time
	Attempts      int
	LastAttemptAt *time.Time
	NextAttemptAt *time.Time // while it is due
	EndedAt       *time.Time
	StatusCode    *int    // of the last attempt's answer
	Problem       *string // why the last attempt failed
	Event         string  // as it is sent
}

// create makes a webhook. No other call returns its key.
func (a *API) create(ctx context.Context, call *gateway.Call, in *CreateWebhookInput) (*CreateWebhookOutput, error) {
	h := slipway.Webhook{
		ID: slipway.NewLabel(), URL: aws.ToString(in.URL), Service: aws.ToString(in.ServiceName), Types: in.Types,
		CreatedAt: a.cfg.Now(), CreatedBy: call.Caller.ID(),
	}
	key, err := parseKey(in.Secret)
	if err := errors.Join(a.checkURL(h.URL), checkName(h.Service), checkTypes(h.Types), err); err != nil {
		return nil, err
	}
	h.Secret = a.cfg.Keys.Seal(owner(h.ID), key)
	err = call.Update(ctx, func(tx *store.Tx) error {
		list, err := tx.Webhooks()
		if err != nil {
			return err
		}
		if err := checkShare(list, h.CreatedBy); err != nil {
			return err
		}
		return tx.InsertWebhook(h)
	})
	secret := keyPrefix + base64.StdEncoding.EncodeToString(key)
	v := a.shown(h, nil)
	return &CreateWebhookOutput{Webhook: &v, Secret: &secret}, err
}

// checkShare refuses a further webhook of a user, "" for root, if there are enough: of all
// users, or of this one, who must not take the places of the others.
func checkShare(list []slipway.Webhook, user string) error {
	own := 0
	for _, h := range list {
		if h.CreatedBy == user {
			own++
		}
	}
	switch {
	case len(list) >= maxWebhooks:
		return slipway.Errorf(slipway.QuotaExceeded, "There are %d webhooks already; %d are allowed. Delete one that is not needed: `slipway hooks rm`.", len(list), maxWebhooks)
	case user != "" && own >= maxOfUser:
		return slipway.Errorf(slipway.QuotaExceeded, "You have created %d webhooks already; %d are allowed for a user. Delete one that is not needed: `slipway hooks rm`.", own, maxOfUser)
	}
	return nil
}

func (a *API) checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return slipway.Errorf(slipway.InvalidRequest, "Url is required.")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return slipway.Errorf(slipway.InvalidRequest, "Url is %q; it must be https://host/path or http://host/path.", text)
	case len(text) > maxURL:
		return slipway.Errorf(slipway.InvalidRequest, "Url has %d bytes; at most %d are allowed.", len(text), maxURL)
	case u.User != nil || u.Fragment != "":
		return slipway.Errorf(slipway.InvalidRequest, "Url must have neither a user nor a fragment; receivers verify the signature.")
	}
	if err := a.cfg.Reach.CheckHost(u.Host); err != nil {
		return slipway.Errorf(slipway.InvalidRequest, "Url is refused: %v.", err)
	}
	return nil
}

// nameForm is the model's pattern of service names, anchored.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{3,39}$`)

func checkName(name string) error {
	if name != "" && !nameForm.MatchString(name) {
		return slipway.Errorf(slipway.InvalidRequest, "ServiceName is %q; it must be the name of a service, not its ARN.", name)
	}
	return nil
}

func checkTypes(types []slipway.EventType) error {
	known := slipway.EventTypes()
	for _, t := range types {
		if !slices.Contains(known, t) {
			return slipway.Errorf(slipway.InvalidRequest, "Types has %q; allowed are %q.", t, known)
		}
	}
	return nil
}

// parseKey reads a signing key; without text it generates one.
func parseKey(secret *string) ([]byte, error) {
	if secret == nil {
		key := make([]byte, newKey)
		rand.Read(key)
		return key, nil
	}
	text, ok := strings.CutPrefix(*secret, keyPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < minKey || len(key) > maxKey {
		return nil, slipway.Errorf(slipway.InvalidRequest, "Secret must be %s and %d to %d bytes in base64, as Standard Webhooks has it.", keyPrefix, minKey, maxKey)
	}
	return key, nil
}

func (a *API) describe(ctx context.Context, _ *gateway.Call, in *WebhookInput) (out *WebhookOutput, err error) {
	err = a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		h, err := webhook(tx, in.WebhookID)
		if err != nil {
			return err
		}
		n, err := tx.CountDeliveries(h.ID)
		v := a.shown(h, &n)
		out = &WebhookOutput{&v}
		return err
	})
	return out, err
}

func (a *API) list(ctx context.Context, call *gateway.Call, _ *ListWebhooksInput) (*ListWebhooksOutput, error) {
	out := &ListWebhooksOutput{Webhooks: []Webhook{}}
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		list, err := tx.Webhooks()
		if err != nil {
			return err
		}
		if list, err = gateway.Shown(tx, call, list, func(h slipway.Webhook) string { return a.arn(h.ID) }); err != nil {
			return err
		}
		for _, h := range list {
			n, err := tx.CountDeliveries(h.ID)
			if err != nil {
				return err
			}
			out.Webhooks = append(out.Webhooks, a.shown(h, &n))
		}
		return nil
	})
	return out, err
}

// remove deletes a webhook and its undelivered events.
func (a *API) remove(ctx context.Context, call *gateway.Call, in *WebhookInput) (*WebhookOutput, error) {
	var h slipway.Webhook
	err := call.Update(ctx, func(tx *store.Tx) (err error) {
		if h, err = webhook(tx, in.WebhookID); err != nil {
			return err
		}
		return tx.DeleteWebhook(h.ID)
	})
	v := a.shown(h, nil)
	return &WebhookOutput{&v}, err
}

// test sends an event to one webhook, regardless of the types that it subscribes
// to.
func (a *API) test(ctx context.Context, call *gateway.Call, in *WebhookInput) (*TestWebhookOutput, error) {
	var e slipway.BusEvent
	err := call.Update(ctx, func(tx *store.Tx) error {
		h, err := webhook(tx, in.WebhookID)
		if err != nil {
			return err
		}
		if e, err = eventbridge.TestEvent(a.cfg.Account, a.cfg.Region, a.arn(h.ID), a.cfg.Now()); err != nil {
			return err
		}
		return tx.InsertDelivery(h.ID, e)
	})
	return &TestWebhookOutput{e.ID}, err
}

func (a *API) deliveries(ctx context.Context, call *gateway.Call, in *ListWebhookDeliveriesInput) (*ListWebhookDeliveriesOutput, error) {
	n := int32(maxDeliveries)
	if in.MaxResults != nil {
		n = *in.MaxResults
	}
	if n < 1 || n > maxDeliveries {
		return nil, slipway.Errorf(slipway.InvalidRequest, "MaxResults is %d; it must be from 1 to %d.", n, maxDeliveries)
	}
	p := page.New(&n, "ListWebhookDeliveries", aws.ToString(in.WebhookID))
	after, err := p.After(in.NextToken, 1)
	if err != nil {
		return nil, err
	}
	before, err := strconv.ParseInt("0"+after[0], 10, 64)
	if err != nil {
		return nil, page.ErrToken
	}
	out := &ListWebhookDeliveriesOutput{Deliveries: []Delivery{}}
	err = a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		h, err := webhook(tx, in.WebhookID)
		if err != nil {
			return err
		}
		list, err := page.Fill(p, func(d slipway.Delivery) (bool, error) { return a.showsEvent(tx, call, d.Event) }, func() ([]slipway.Delivery, error) {
			batch, err := tx.Deliveries(h.ID, before, p.Limit())
			if len(batch) > 0 {
				before = batch[len(batch)-1].Event.Seq
			}
			return batch, err
		})
		list, out.NextToken = page.Cut(p, list, func(d slipway.Delivery) []string { return []string{strconv.FormatInt(d.Event.Seq, 10)} })
		for _, d := range list {
			out.Deliveries = append(out.Deliveries, shownDelivery(d))
		}
		return err
	})
	return out, err
}

// showsEvent reports whether a call may show an event: no Deny forbids it for the event's
// service, nor to describe that. A webhook may send the events of all services.
func (a *API) showsEvent(tx *store.Tx, call *gateway.Call, e slipway.BusEvent) (bool, error) {
	if e.Service == "" { // a test's
		return true, nil
	}
	arn := slipway.ARN{Region: a.cfg.Region, Account: a.cfg.Account, Type: "service", Parts: []string{e.Service, e.ServiceID}}.String()
	return call.Permits(tx, gateway.Permission{Resource: arn, DenyOnly: true}, gateway.Permission{Action: "apprunner:DescribeService", Resource: arn, DenyOnly: true})
}

// createPermissions are the permissions required by CreateWebhook. A Deny on a service
// whose events it would receive applies, also if the service does not exist yet.
func (a *API) createPermissions(tx *store.Tx, in *CreateWebhookInput) ([]gateway.Permission, error) {
	name := aws.ToString(in.ServiceName)
	required := []gateway.Permission{{Resource: "*"}}
	add := func(arn, named string) {
		required = append(required, gateway.Permission{Resource: arn, Named: named, DenyOnly: true})
	}
	if name != "" {
		add(slipway.ARN{Region: a.cfg.Region, Account: a.cfg.Account, Type: "service", Parts: []string{name, "*"}}.String(), name)
	}
	list, err := tx.Services(time.Time{}, "", 0)
	for _, v := range list {
		switch name {
		case "":
			add(v.ARN, "*")
		case v.Name:
			add(v.ARN, name)
		}
	}
	return required, err
}

// webhookPermissions are the permissions required by a call about one webhook.
func (a *API) webhookPermissions(_ *store.Tx, in *WebhookInput) ([]gateway.Permission, error) {
	return []gateway.Permission{{Resource: a.arn(aws.ToString(in.WebhookID))}}, nil
}

func (a *API) deliveriesPermissions(_ *store.Tx, in *ListWebhookDeliveriesInput) ([]gateway.Permission, error) {
	return []gateway.Permission{{Resource: a.arn(aws.ToString(in.WebhookID))}}, nil
}

// webhook finds the webhook of an input.
func webhook(tx *store.Tx, id *string) (slipway.Webhook, error) {
	if aws.ToString(id) == "" {
		return slipway.Webhook{}, slipway.Errorf(slipway.InvalidRequest, "WebhookId is required.")
	}
	h, err := tx.Webhook(*id)
	if errors.Is(err, store.ErrNotFound) {
		err = slipway.Errorf(slipway.NotFound, "There is no webhook %q.", *id)
	}
	return h, err
}

func (a *API) arn(id string) string {
	return slipway.ARN{Region: a.cfg.Region, Account: a.cfg.Account, Type: "webhook", Parts: []string{id}}.String()
}

func (a *API) shown(h slipway.Webhook, pending *int) Webhook {
	return Webhook{
		WebhookID: h.ID, WebhookArn: a.arn(h.ID), URL: h.URL, ServiceName: some(h.Service), Types: h.Types,
		CreatedAt: h.CreatedAt, Pending: pending,
	}
}

func shownDelivery(d slipway.Delivery) Delivery {
	v := Delivery{
		EventID: d.Event.ID, Type: d.Event.Type, ServiceName: some(d.Event.Service), State: d.State, CreatedAt: d.Event.At,
		Attempts: d.Attempts, LastAttemptAt: some(d.LastAt), EndedAt: some(d.EndedAt),
		StatusCode: some(d.Status), Problem: some(d.Problem), Event: string(d.Event.Body),
	}
	if d.State == slipway.DeliveryDue {
		v.NextAttemptAt = &d.NextAt
	}
	return v
}

// some returns a pointer to v, or nil for the zero value.
func some[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}
