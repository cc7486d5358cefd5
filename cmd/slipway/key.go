package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

func newKeyCommand(m *Main) *cobra.Command {
	cmd := group("key", "Show and rotate the key that secrets are encrypted under", `Key manages the server's master key. Secrets and credentials are encrypted with
data keys in the database. The data keys are encrypted with the master key, which
is in the file master.key of the data directory or in the server's --key-file.
Without the master key the secrets are lost: keep a copy of it with every backup
of the database.

The file is an age identity file (https://age-encryption.org); age-keygen -y shows
its public key. With a passphrase it is encrypted by age. To change the
passphrase, stop the server (services keep running), decrypt the file with age -d
and encrypt it again with age -p -a.`)
	cmd.AddCommand(newKeyShowCommand(m), newKeyRotateCommand(m))
	return cmd
}

func newKeyShowCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Describe the master key",
		Long: `Show describes the master key by its public key; the key itself is never shown.
With --json it prints {"PublicKey", "Since", "DataKeys", "Encrypted"}.`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.withKey(cmd.Context(), (*client.Client).MasterKey)
		},
	}
}

func newKeyRotateCommand(m *Main) *cobra.Command {
	yes := false
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the master key",
		Long: `Rotate replaces the master key while the server runs. A new key is written to the
key file, all data keys are encrypted with it, and then the old key is removed
from the file. Later secrets are encrypted with a new data key. An interrupted
rotation does no harm; the server completes it at its next start.

Older backups of the database still need the older key file. Existing secrets are
not encrypted again: if both the database and the master key were exposed, change
the secrets themselves.` + confirmNote,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := m.confirm(cmd, yes, "Replace the master key? A backup of the database made before needs the key file as it is now."); err != nil {
				return err
			}
			return m.withKey(cmd.Context(), (*client.Client).RotateMasterKey)
		},
	}
	addYesFlag(cmd, &yes)
	return cmd
}

// withKey makes a call that returns the master key and shows the key.
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
