package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/smallstep/truststore"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
)

// trustCommand installs or removes the certificate of a server's local authority.
type trustCommand struct {
	m                  *Main
	print, remove, yes bool
}

func newTrustCommand(m *Main) *cobra.Command {
	t := &trustCommand{m: m}
	cmd := &cobra.Command{
		Use:   "trust",
		Short: "Have this machine accept the certificates of a server's own authority",
		Long: `Trust installs the certificate of the server's local certificate authority in the
trust store of this machine, and in those of Firefox and Java where they are found. A server
has such an authority with --https-addr and no --tls-cert, or with --tls-local. It is for
development and for networks without a public authority: browsers, curl and other clients
then accept the https URLs of services without a warning.

Whoever has the authority's key can pretend to be any site to this machine. The key is
encrypted in the server's database. Compare the fingerprint with the one that the server
logs when it starts, if the server is on another machine.

--print writes the certificate as PEM and installs nothing, for clients with a trust store of
their own: curl --cacert FILE, NODE_EXTRA_CA_CERTS=FILE, SSL_CERT_FILE=FILE.
With --json it prints {"Certificate", "Fingerprint", "Until", "Installed"}.`,
		Example: `  slipway trust
  slipway trust --print > slipway.pem
  slipway trust --remove`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return t.run(cmd) },
	}
	cmd.Flags().BoolVar(&t.print, "print", false, "print the certificate and install nothing")
	cmd.Flags().BoolVar(&t.remove, "remove", false, "remove the certificate from this machine")
	cmd.Flags().BoolVarP(&t.yes, "yes", "y", false, "do not ask")
	return cmd
}

// trusted is the result as --json prints it.
type trusted struct {
	Certificate, Fingerprint string
	Until                    time.Time
	Installed                bool
}

func (t *trustCommand) run(cmd *cobra.Command) error {
	if t.print && t.remove {
		return usageError(cmd, "--print and --remove contradict each other; give one of them")
	}
	if !t.print {
		if err := t.m.mayAsk(cmd, t.yes); err != nil {
			return err
		}
	}
	text, cert, err := t.authority(cmd.Context())
	if err != nil {
		return err
	}
	sum := sha256.Sum256(cert.Raw)
	out := trusted{Certificate: string(text), Fingerprint: hex.EncodeToString(sum[:]), Until: cert.NotAfter}
	named := fmt.Sprintf("%s (SHA-256 %s)", cert.Subject.CommonName, out.Fingerprint)
	switch {
	case t.print && !t.m.json:
		_, err := t.m.Stdout.Write(text)
		return err
	case t.remove:
		err = t.change(cmd, "Remove "+named+" from what this machine trusts?", cert, truststore.Uninstall)
	case !t.print:
		err = t.change(cmd, "Have this machine trust "+named+" for every site?", cert, truststore.Install)
		out.Installed = err == nil
	}
	if err != nil {
		return err
	}
	if t.m.json {
		return t.m.printJSON(out)
	}
	if t.remove {
		fmt.Fprintf(t.m.Stdout, "Removed %s.\n", cert.Subject.CommonName)
	} else {
		fmt.Fprintf(t.m.Stdout, "This machine trusts %s until %s.\n", cert.Subject.CommonName, cert.NotAfter.Format(time.DateOnly))
	}
	return nil
}

// change asks and then changes the trust stores.
func (t *trustCommand) change(cmd *cobra.Command, question string, cert *x509.Certificate, do func(*x509.Certificate, ...truststore.Option) error) error {
	if err := t.m.confirm(cmd, t.yes, "%s", question); err != nil {
		return err
	}
	err := do(cert, truststore.WithFirefox(), truststore.WithJava(), truststore.WithPrefix("slipway-"))
	if e, ok := errors.AsType[*truststore.CmdError](err); ok {
		return &client.Problem{Text: "the trust store of this machine could not be changed: " + e.Error(), Hint: "run the command as root, or install the certificate by hand: slipway trust --print", Err: err}
	}
	if err != nil {
		return &client.Problem{Text: "the trust store of this machine could not be changed: " + err.Error(), Hint: "install the certificate by hand: slipway trust --print", Err: err}
	}
	return nil
}

// authority gets the certificate from the server.
func (t *trustCommand) authority(ctx context.Context) (text []byte, cert *x509.Certificate, err error) {
	target, err := t.m.target()
	if err != nil {
		return nil, nil, err
	}
	text, err = client.Authority(ctx, target)
	if err != nil {
		return nil, nil, err
	}
	if text == nil {
		return nil, nil, &client.Problem{Text: "the server has no certificate authority of its own", Hint: "start it with --https-addr, and without --tls-cert or with --tls-local"}
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, nil, fmt.Errorf("%s answered with no certificate", target.Endpoint)
	}
	cert, err = x509.ParseCertificate(block.Bytes)
	return text, cert, err
}
