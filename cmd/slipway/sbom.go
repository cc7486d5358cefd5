package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func newSBOMCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:   "sbom SERVICE",
		Short: "Print the software in the image of a service (SBOM)",
		Long: `Sbom prints which packages the image of a service has, with their versions: those
of the runtime's distribution, and those of the application's language, as found
installed when the image was built; where none are, what the lock file declares.

It prints a CycloneDX document, which scanners for known vulnerabilities read. There
is one for each image that the server built from code. With --json it prints the
reply of the call, which also has the image's digest and the commit.`,
		Example:           "  slipway sbom shop > shop.cdx.json",
		Args:              argCount(1, 1, "the name of a service"),
		ValidArgsFunction: m.completeService,
		RunE:              func(cmd *cobra.Command, args []string) error { return m.sbom(cmd.Context(), args[0]) },
	}
}

func (m *Main) sbom(ctx context.Context, nameOrARN string) error {
	c, arn, err := m.service(ctx, nameOrARN)
	if err != nil {
		return err
	}
	out, err := c.ServiceSBOM(ctx, arn)
	if err != nil {
		return withName(c.Target.Explain(err), resourceName(arn))
	}
	if m.json {
		return m.printJSON(out)
	}
	_, err = fmt.Fprintln(m.Stdout, out.Document)
	return err
}
