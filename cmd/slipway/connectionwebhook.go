package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

// webhookFlags are the flags of connection webhook.
type webhookFlags struct{ rotate, remove, stdin, yes bool }

func newConnectionWebhookCommand(m *Main) *cobra.Command {
	var f webhookFlags
	cmd := &cobra.Command{
		Use:               "webhook NAME",
		ValidArgsFunction: m.completing(listConnections),
		Short:             "Show or make the webhook of a connection",
		Long: `Webhook shows where the provider can tell this server of pushes, so that they are
deployed at once. The first call makes the webhook and prints its secret, which is
shown only once; --rotate replaces the secret.

Add the URL and the secret to the repository, or to an organization or a group, at the
provider: an event for pushes (and tags), content type application/json. For GitLab the
secret is the secret token; a signing token that GitLab makes is given with
--secret-stdin. Without a webhook, repositories are polled.

The provider must reach the server at this URL: a proxy passes /webhooks/ on to the
API's address, and ` + "`slipway serve --webhook-url`" + ` says where it is.

--rotate and --remove ask for confirmation; --yes answers yes, and is required where
standard input is not a terminal.`,
		Example: `  slipway connection webhook code
  slipway connection webhook code --rotate`,
		Args: argCount(1, 1, "the name of a connection"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(m, cmd, args[0]); err != nil {
				return err
			}
			return m.connectionWebhook(cmd.Context(), args[0], f)
		},
	}
	cmd.Flags().BoolVar(&f.rotate, "rotate", false, "replace the secret")
	cmd.Flags().BoolVar(&f.remove, "remove", false, "remove the webhook: its URL is no longer answered")
	cmd.Flags().BoolVar(&f.stdin, "secret-stdin", false, "read the secret from standard input")
	addYesFlag(cmd, &f.yes)
	return cmd
}

// check refuses flags that exclude each other, and asks before a webhook stops to work.
func (f webhookFlags) check(m *Main, cmd *cobra.Command, name string) error {
	switch {
	case f.remove && f.rotate:
		return usageError(cmd, "--remove and --rotate exclude each other")
	case f.remove && f.stdin:
		return usageError(cmd, "--remove and --secret-stdin exclude each other")
	case f.remove:
		return m.confirm(cmd, f.yes, "Remove the webhook of connection %s?", name)
	case f.rotate:
		return m.confirm(cmd, f.yes || f.stdin, "Replace the secret of the webhook of connection %s?", name)
	}
	return nil
}

func (m *Main) connectionWebhook(ctx context.Context, name string, f webhookFlags) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	if f.remove {
		v, err := c.DeleteConnectionWebhook(ctx, name)
		if err != nil {
			return err
		}
		return m.printWebhook(v, "", fmt.Sprintf("The webhook of connection %s is removed.", name))
	}
	if !f.rotate && !f.stdin {
		v, err := c.ConnectionWebhook(ctx, name)
		if err == nil {
			return m.showWebhook(v)
		}
		if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != "ResourceNotFoundException" {
			return err
		}
		if _, err := c.Connection(ctx, name); err != nil {
			return err
		}
	}
	var given *string
	if f.stdin {
		text, err := m.secretLine()
		if err != nil {
			return err
		}
		if text == "" {
			return &client.Problem{Misuse: true, Text: "no secret was given on standard input"}
		}
		given = &text
	}
	v, secret, err := c.PutConnectionWebhook(ctx, name, given)
	if err != nil {
		return err
	}
	if given != nil {
		return m.printWebhook(v, "", "URL:    "+v.URL+"\nSecret: as given")
	}
	return m.printWebhook(v, secret, "URL:    "+v.URL+"\nSecret: "+secret+"\n\nThe secret is not shown again. Add both at the provider, for pushes, with content\ntype application/json.")
}

func (m *Main) showWebhook(v client.ConnectionWebhook) error {
	last := "none yet"
	if v.DeliveredAt != nil {
		last = term.Ago(m.Now(), fromSeconds(*v.DeliveredAt))
	}
	return m.printWebhook(v, "", "URL:       "+v.URL+"\nSecret:    set "+term.Ago(m.Now(), fromSeconds(v.CreatedAt))+"\nLast push: "+last)
}

func fromSeconds(s float64) time.Time { return time.UnixMilli(int64(s * 1000)).UTC() }

// printWebhook prints text, or with --json the webhook as the API shows it.
func (m *Main) printWebhook(v client.ConnectionWebhook, secret, text string) error {
	if m.json {
		return m.printJSON(struct {
			Webhook client.ConnectionWebhook
			Secret  string `json:",omitempty"`
		}{v, secret})
	}
	_, err := fmt.Fprintln(m.Stdout, text)
	return err
}
