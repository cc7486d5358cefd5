//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
	"github.com/openslipway/slipway/internal/daemon"
)

// stream is the name of standard output or input in place of a file.
const stream = "-"

// backedUp is what backup and restore print with --json.
type backedUp struct {
	File, DataDir, Slipway string
	Files                  int
	Bytes                  int64
	Key                    bool
	PublicKey              string `json:",omitempty"` // of the master key that the database needs
}

// keyFlags are the flags about the master key, as serve has them.
type keyFlags struct{ file, passphraseFile string }

func (k *keyFlags) add(cmd *cobra.Command, usage string) {
	cmd.Flags().StringVar(&k.file, "key-file", "", usage)
	cmd.Flags().StringVar(&k.passphraseFile, "key-passphrase-file", "", passphraseFileUsage)
}

func newBackupCommand(m *Main) *cobra.Command {
	var c daemon.BackupConfig
	var key keyFlags
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write the server's state to a file",
		Long: `Backup writes the state of the server in the data directory to FILE, also while it
runs: the database as it is at one moment, the images, and uploaded source code. It
needs no server and no access key, but must be able to read the data directory. FILE
appears once it is complete, readable by its owner only; - is standard output.

The master key is not in the backup: without it nobody can read the secrets, and
neither can a restored server. Keep a copy of it somewhere else (master.key in the data
directory, or the server's --key-file), or let --include-key put it in; then whoever
has FILE has all secrets.

Not in it are application logs, caches of builds, and the flags of serve.
With --json it prints {"File", "DataDir", "Slipway", "Files", "Bytes", "Key", "PublicKey"}.`,
		Example: "  slipway backup /mnt/backup/slipway.tar\n  slipway backup - | ssh elsewhere 'cat > slipway.tar'",
		Args:    argCount(1, 1, "a file"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := m.backupTarget(&c, args[0]); err != nil {
				return err
			}
			if c.DataDir, err = client.DataDir(m.settings.DataDir, m.Getenv); err != nil {
				return err
			}
			if c.Passphrase, err = keyPassphrase(key.passphraseFile, m.Getenv); err != nil {
				return err
			}
			p := m.progress()
			defer p.Clear()
			c.Version, c.KeyFile = thisBuild().Version, key.file
			c.Progress = func(done, total int64) { p.Status("Backing up %s of %s", term.Bytes(done), term.Bytes(total)) }
			b, err := daemon.WriteBackup(cmd.Context(), c)
			if err != nil {
				return &client.Problem{Text: err.Error(), Err: err}
			}
			p.Clear()
			if m.json {
				return m.printJSON(backedUp{c.File, c.DataDir, b.Slipway, b.Files, b.Bytes, b.Key, b.Master})
			}
			p.Say(term.Good, "Backed up %s, %s", counted(b.Files, "file"), term.Bytes(b.Bytes))
			if !b.Key && b.Master != "" {
				p.Say(term.Plain, "The master key is not in it: keep a copy of it elsewhere, without it the secrets are lost. Its public key is %s.", b.Master)
			}
			if c.Out == nil {
				_, err = fmt.Fprintln(m.Stdout, c.File)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&c.Replace, "force", false, "replace an existing FILE")
	cmd.Flags().BoolVar(&c.IncludeKey, "include-key", false, "put the master key into the backup: whoever has the file has all secrets")
	key.add(cmd, "`file` with the master key, as serve has it (default: master.key in the data directory)")
	return cmd
}

// backupTarget sets where a backup goes.
func (m *Main) backupTarget(c *daemon.BackupConfig, name string) (err error) {
	if name != stream {
		c.File, err = filepath.Abs(name)
		return err
	}
	if m.json {
		return errors.New("--json and a backup both want standard output: name a file")
	}
	if term.IsTerminal(m.Stdout) {
		return errors.New("standard output is a terminal: name a file, or pass the backup to a program")
	}
	c.Out = m.Stdout
	return nil
}

func newRestoreCommand(m *Main) *cobra.Command {
	var key keyFlags
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Restore a backup into an empty data directory",
		Long: `Restore makes the state of a server from a file of ` + "`slipway backup`" + `, in a data
directory that is missing or empty; - is standard input. ` + "`slipway serve`" + ` with the flags of
the old server then serves the same services with the same ARNs, URLs, secrets and
users. Do not let both run: they would believe themselves to be one.

Unless the backup has the master key, give it with --key-file, or put it into the data
directory as master.key before the server starts. A backup of a newer version, one that
is incomplete, one with anything but a server's files, and a key that does not open the
secrets is refused, and nothing is left of it. With --json it prints what ` + "`slipway\nbackup --json`" + ` prints.`,
		Example: "  slipway restore /mnt/backup/slipway.tar --data-dir /var/lib/slipway --key-file /root/master.key",
		Args:    argCount(1, 1, "a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := client.DataDir(m.settings.DataDir, m.Getenv)
			if err != nil {
				return err
			}
			passphrase, err := keyPassphrase(key.passphraseFile, m.Getenv)
			if err != nil {
				return err
			}
			var in io.Reader = m.Stdin
			if args[0] != stream {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			p := m.progress()
			defer p.Clear()
			b, err := daemon.RestoreBackup(cmd.Context(), daemon.RestoreConfig{
				DataDir: dir, From: in, Name: args[0], KeyFile: key.file, Passphrase: passphrase,
				Progress: func(done, total int64) { p.Status("Restoring %s of %s", term.Bytes(done), term.Bytes(total)) },
			})
			if err != nil {
				return &client.Problem{Text: err.Error(), Err: err}
			}
			p.Clear()
			if m.json {
				return m.printJSON(backedUp{args[0], dir, b.Slipway, b.Files, b.Bytes, b.Key, b.Master})
			}
			p.Say(term.Good, "Restored %s, %s, of %s", counted(b.Files, "file"), term.Bytes(b.Bytes), b.At.Format("2006-01-02 15:04 MST"))
			if !b.Key && b.Master != "" {
				p.Say(term.Warn, "The backup has no master key: put the one whose public key is %s into %s before the server starts.", b.Master, filepath.Join(dir, "master.key"))
			}
			_, err = fmt.Fprintln(m.Stdout, dir)
			return err
		},
	}
	key.add(cmd, "`file` with the master key of the server that was backed up")
	return cmd
}
