package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

func newHooksCommand(m *Main) *cobra.Command {
	cmd := group("hooks", "Send events to webhooks", `Hooks manages webhooks: URLs to which the server posts App Runner's EventBridge
events when a service's status changes, when an operation starts or ends, and
when a custom domain's status changes.

Requests are signed according to Standard Webhooks
(https://www.standardwebhooks.com). A service's events arrive in order. If the
receiver does not answer with 2xx, the event is retried for a day with growing
pauses; later events of the service wait for it, for this webhook only. An event
may arrive twice, with the same webhook-id. Redirects are not followed. 410 Gone
ends the delivery at once.

Requests are sent from the server's host: a user who may create webhooks can make
the server send requests to any address that it can reach.`)
	cmd.AddCommand(newHooksAddCommand(m), newHooksLsCommand(m), newHooksShowCommand(m), newHooksTestCommand(m), newHooksRmCommand(m))
	return cmd
}

// eventWords are the values of --type.
var eventWords = map[string]slipway.EventType{
	"status":    slipway.ServiceStatusChange,
	"operation": slipway.OperationStatusChange,
	"domain":    slipway.DomainValidationUpdate,
}

// wordOf returns the --type value of an event type, or the type itself.
func wordOf(kind string) string {
	for word, t := range eventWords {
		if string(t) == kind {
			return word
		}
	}
	if kind == string(slipway.WebhookTest) {
		return "test"
	}
	return kind
}

type hooksAdd struct {
	m       *Main
	service string
	types   []string
	stdin   bool
}

func newHooksAddCommand(m *Main) *cobra.Command {
	add := hooksAdd{m: m}
	cmd := &cobra.Command{
		Use:   "add URL",
		Short: "Create a webhook",
		Long: `Add creates a webhook and prints the secret with which receivers verify its
requests: whsec_ and a key in base64, the form that Standard Webhooks libraries
take. The secret is shown only once. With --secret-stdin it is read from standard
input instead of being generated.`,
		Example: `  slipway hooks add https://chat.example.com/deployments --type operation
  slipway hooks add http://127.0.0.1:9000/ --service shop --secret-stdin < secret`,
		Args: argCount(1, 1, "a URL"),
		RunE: func(cmd *cobra.Command, args []string) error { return add.run(cmd, args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&add.service, "service", "", "`name` of the service whose events to send; it need not exist yet (default: all)")
	f.StringSliceVar(&add.types, "type", nil, "`type` of events to send: status, operation or domain (default: all)")
	f.BoolVar(&add.stdin, "secret-stdin", false, "read the secret from standard input")
	return cmd
}

func (add *hooksAdd) run(cmd *cobra.Command, url string) error {
	var types []string
	for _, word := range add.types {
		t, ok := eventWords[word]
		if !ok {
			return usageError(cmd, "--type is %q; it must be status, operation or domain", word)
		}
		types = append(types, string(t))
	}
	if err := checkWebURL(url); err != nil {
		return usageError(cmd, "%v", err)
	}
	if add.service != "" {
		if err := checkServiceName("--service", add.service); err != nil {
			return usageError(cmd, "%v", err)
		}
	}
	secret := ""
	if add.stdin {
		var err error
		if secret, err = add.m.secretLine(); err != nil {
			return err
		}
	}
	c, err := add.m.connect(cmd.Context())
	if err != nil {
		return err
	}
	hook, made, err := c.CreateWebhook(cmd.Context(), url, add.service, types, secret)
	if err != nil {
		return err
	}
	if add.stdin {
		made = "" // the user has it already
	}
	if add.m.json {
		return add.m.printJSON(struct {
			Webhook client.Webhook
			Secret  string `json:",omitempty"`
		}{hook, made})
	}
	fmt.Fprintf(add.m.Stdout, "Webhook %s is created.\n", hook.WebhookID)
	if made != "" {
		fmt.Fprintf(add.m.Stdout, "Its secret, shown only once: %s\n", made)
	}
	add.m.progress().Say(term.Plain, "`slipway hooks test %s` sends it a test event.", hook.WebhookID)
	return nil
}

func newHooksLsCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List webhooks",
		Long: `Ls lists all webhooks, oldest first. PENDING is how many events are not delivered
yet. With --json it prints {"Webhooks": [...]}.`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return m.listHooks(cmd.Context()) },
	}
}

func (m *Main) listHooks(ctx context.Context) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	list, err := c.Webhooks(ctx)
	if err != nil {
		return err
	}
	if m.json {
		return m.printJSON(struct{ Webhooks []client.Webhook }{list})
	}
	if len(list) == 0 {
		m.progress().Say(term.Plain, "No webhooks yet. `slipway hooks add URL` creates one.")
		return nil
	}
	t := term.Table{Head: []string{"ID", "URL", "SERVICE", "TYPES", "PENDING", "CREATED"}}
	for _, h := range list {
		t.Add(
			term.Cell{Text: h.WebhookID},
			term.Cell{Text: h.URL},
			term.Cell{Text: orAll(h.ServiceName)},
			term.Cell{Text: orAll(typeWords(h.Types))},
			term.Cell{Text: fmt.Sprint(h.Pending)},
			term.Cell{Text: term.Ago(m.Now(), h.CreatedAt.Time())},
		)
	}
	return t.Write(m.Stdout, m.outStyle())
}

func orAll(s string) string {
	if s == "" {
		return "all"
	}
	return s
}

func typeWords(types []string) string {
	words := make([]string, len(types))
	for i, t := range types {
		words[i] = wordOf(t)
	}
	slices.Sort(words)
	return strings.Join(words, ",")
}

func newHooksShowCommand(m *Main) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:               "show WEBHOOK",
		ValidArgsFunction: m.completing(listHooks),
		Short:             "Show a webhook and its deliveries",
		Long: `Show shows a webhook with its newest deliveries and their results. A HELD delivery
waits for an earlier event of the same service; the server has given up a DEAD
one. Deliveries are kept for a week after their end. With --json it prints
{"Webhook": ..., "Deliveries": [...]} with the events as they are sent.`,
		Args: argCount(1, 1, "the id of a webhook"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return usageError(cmd, "--number is %d; it must be at least 1", limit)
			}
			return m.showHook(cmd.Context(), args[0], limit)
		},
	}
	cmd.Flags().IntVarP(&limit, "number", "n", 20, "`number` of deliveries to show")
	return cmd
}

func (m *Main) showHook(ctx context.Context, id string, limit int) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	h, err := c.Webhook(ctx, id)
	if err != nil {
		return err
	}
	list, err := c.WebhookDeliveries(ctx, id, limit)
	if err != nil {
		return err
	}
	if m.json {
		return m.printJSON(struct {
			Webhook    client.Webhook
			Deliveries []client.WebhookDelivery
		}{h, list})
	}
	attributes := term.Table{}
	for _, f := range [][2]string{
		{"URL", h.URL},
		{"Service", orAll(h.ServiceName)},
		{"Types", orAll(typeWords(h.Types))},
		{"Created", term.Ago(m.Now(), h.CreatedAt.Time())},
		{"Pending", fmt.Sprint(h.Pending)},
	} {
		attributes.Add(term.Cell{Text: f[0], Tone: term.Strong}, term.Cell{Text: f[1]})
	}
	if err := attributes.Write(m.Stdout, m.outStyle()); err != nil || len(list) == 0 {
		return err
	}
	t := term.Table{Head: []string{"EVENT", "SERVICE", "TYPE", "AT", "STATE", "ATTEMPTS", "OUTCOME"}}
	for _, d := range list {
		t.Add(
			term.Cell{Text: d.EventID},
			term.Cell{Text: d.ServiceName},
			term.Cell{Text: wordOf(d.Type)},
			term.Cell{Text: term.Ago(m.Now(), d.CreatedAt.Time())},
			term.Cell{Text: d.State, Tone: deliveryTone(d.State)},
			term.Cell{Text: fmt.Sprint(d.Attempts)},
			term.Cell{Text: deliveryOutcome(d)},
		)
	}
	fmt.Fprintln(m.Stdout)
	return t.Write(m.Stdout, m.outStyle())
}

func deliveryTone(state string) term.Tone {
	switch slipway.DeliveryState(state) {
	case slipway.DeliveryDelivered:
		return term.Good
	case slipway.DeliveryDead:
		return term.Bad
	case slipway.DeliveryDue:
		return term.Warn
	}
	return term.Faint
}

func deliveryOutcome(d client.WebhookDelivery) string {
	switch {
	case d.Problem != "":
		return d.Problem
	case d.StatusCode != 0:
		return fmt.Sprintf("the receiver answered %d", d.StatusCode)
	}
	return ""
}

func newHooksTestCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:               "test WEBHOOK",
		ValidArgsFunction: m.completing(listHooks),
		Short:             "Send a test event to a webhook",
		Long: `Test sends an event of the type "Slipway Webhook Test" to a webhook and prints the
result of the first attempt. It fails if the receiver does not answer with 2xx;
the event is then retried like any other.`,
		Args: argCount(1, 1, "the id of a webhook"),
		RunE: func(cmd *cobra.Command, args []string) error { return m.testHook(cmd.Context(), args[0]) },
	}
}

func (m *Main) testHook(ctx context.Context, id string) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	d, err := c.TestWebhook(ctx, id)
	if err != nil {
		return err
	}
	if m.json {
		err = m.printJSON(struct{ Delivery client.WebhookDelivery }{d})
	} else if d.State == string(slipway.DeliveryDelivered) {
		_, err = fmt.Fprintf(m.Stdout, "Event %s was delivered: %s.\n", d.EventID, deliveryOutcome(d))
	}
	if err != nil || d.State == string(slipway.DeliveryDelivered) {
		return err
	}
	text := fmt.Sprintf("event %s was not delivered: %s", d.EventID, d.Problem)
	if d.State == string(slipway.DeliveryHeld) {
		text = fmt.Sprintf("event %s waits for an earlier test event that was not delivered", d.EventID)
	}
	return &client.Problem{Text: text, Hint: fmt.Sprintf("`slipway hooks show %s` shows further attempts.", id)}
}

func newHooksRmCommand(m *Main) *cobra.Command {
	yes := false
	cmd := &cobra.Command{
		Use:               "rm WEBHOOK",
		ValidArgsFunction: m.completing(listHooks),
		Short:             "Delete a webhook",
		Long:              "Rm deletes a webhook. Its undelivered events are dropped." + confirmNote,
		Args:              argCount(1, 1, "the id of a webhook"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := m.confirm(cmd, yes, "Delete webhook %s and its undelivered events?", args[0]); err != nil {
				return err
			}
			return m.removeHook(cmd.Context(), args[0])
		},
	}
	addYesFlag(cmd, &yes)
	return cmd
}

func (m *Main) removeHook(ctx context.Context, id string) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	h, err := c.DeleteWebhook(ctx, id)
	if err != nil {
		return err
	}
	if m.json {
		return m.printJSON(struct{ Webhook client.Webhook }{h})
	}
	_, err = fmt.Fprintf(m.Stdout, "Webhook %s is deleted.\n", h.WebhookID)
	return err
}
