package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

func newKeyCommand(m *Main) *cobra.Command {
	cmd := group("key", "Show and rotate the key that secrets are encrypted under", `Key works with the server's master key. Secrets, credentials and what services
got of them are encrypted with data keys in the database, and these with the
master key, in the file master.key of the data directory or where the server's
--key-file says. Without it they are lost: keep a copy with each copy of the
database.

The file is an identity file of age (https://age-encryption.org): age-keygen -y
shows its public key. With a passphrase it is encrypted as age does it; to change
the passphrase, stop the server (services run on), decrypt the file with age -d
and encrypt it again with age -p -a.`)
	cmd.AddCommand(newKeyShowCommand(m), newKeyRotateCommand(m))
	return cmd
}

func newKeyShowCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Describe the master key",
		Long: `Show describes the master key by its public half; the key itself is never shown.
With --json it prints {"PublicKey", "Since", "DataKeys", "Encrypted"}.`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.withKey(cmd.Context(), (*client.Client).MasterKey)
		},
	}
}

func newKeyRotateCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate",
		Short: "Replace the master key",
		Long: `Rotate replaces the master key while the server runs: a new one is written into
the key file, all data keys are encrypted under it, and then the old one is taken
from the file. A new data key encrypts from then on. It can be cut short anywhere
without harm; the server ends it when it starts next.

Older copies of the database still need the older key file. Secrets are not
encrypted anew: when both the database and the master key got into wrong hands,
change the secrets themselves.`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.withKey(cmd.Context(), (*client.Client).RotateMasterKey)
		},
	}
}

// withKey calls the server and shows the master key that it answers with.
func (m *Main) withKey(ctx context.Context, call func(*client.Client, context.Context) (client.MasterKey, error)) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	k, err := call(c, ctx)
	if err != nil {
		return err
	}
	if m.json {
		return m.printJSON(k)
	}
	protected := "by the file's mode"
	if k.Encrypted {
		protected = "by a passphrase"
	}
	t := term.Table{}
	for _, f := range [][2]string{
		{"Public key", k.PublicKey},
		{"Since", term.Ago(m.Now(), k.Since.Time())},
		{"Data keys", fmt.Sprint(k.DataKeys)},
		{"Protected", protected},
	} {
		t.Add(term.Cell{Text: f[0], Tone: term.Strong}, term.Cell{Text: f[1]})
	}
	return t.Write(m.Stdout, m.outStyle())
}
