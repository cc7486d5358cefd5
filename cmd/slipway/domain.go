package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

func newDomainCommand(m *Main) *cobra.Command {
	cmd := group("domain", "Serve a service at custom domains", `Domain manages the custom domains of services. A domain is served once validation
records in its DNS prove that you own it. Names below localhost need no
validation.`)
	cmd.AddCommand(newDomainAddCommand(m), newDomainLsCommand(m), newDomainRmCommand(m))
	return cmd
}

// domainCommand is a verb on one domain of one service.
type domainCommand struct {
	m    *Main
	www  bool
	wait bool
	yes  bool
}

func newDomainAddCommand(m *Main) *cobra.Command {
	d := domainCommand{m: m}
	cmd := &cobra.Command{
		Use:   "add SERVICE DOMAIN",
		Short: "Associate a domain with a service",
		Long: `Add associates a custom domain with a service and shows the DNS records to
create: the validation records, and those that route its requests to this server.
DOMAIN is a root domain (example.com), a subdomain (shop.example.com) or a
wildcard directly below a root domain ('*.example.com').

The server looks for the records for up to 72 hours; no second command is needed.
A root domain can't be a CNAME in DNS: use your provider's alias record, or this
server's address. With --wait the command waits until the domain is served. With
--json it prints the reply of AssociateCustomDomain with the domain's current
state.`,
		Example:           "  slipway domain add shop shop.example.com\n  slipway domain add shop shop.localhost --wait",
		Args:              argCount(2, 2, "the name of a service and a domain"),
		ValidArgsFunction: m.completeService,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkDomain(args[1]); err != nil {
				return usageError(cmd, "%v", err)
			}
			return d.add(cmd.Context(), args[0], args[1])
		},
	}
	cmd.Flags().BoolVar(&d.www, "www", false, "also associate www.DOMAIN")
	cmd.Flags().BoolVar(&d.wait, "wait", false, "wait until the domain is served")
	return cmd
}

func (d *domainCommand) add(ctx context.Context, service, name string) error {
	c, arn, err := d.m.service(ctx, service)
	if err != nil {
		return err
	}
	out, err := c.API.AssociateCustomDomain(ctx, &apprunner.AssociateCustomDomainInput{
		ServiceArn: &arn, DomainName: &name, EnableWWWSubdomain: &d.www,
	})
	if err != nil {
		return withName(c.Target.Explain(err), resourceName(arn))
	}
	p := d.m.progress()
	p.Say(term.Plain, "Associating %s with %s", name, resourceName(arn))
	final := []slipway.DomainStatus{slipway.DomainActive, slipway.DomainFailed}
	out.CustomDomain, err = d.await(ctx, c, p, arn, name, append(final, slipway.DomainPending, slipway.DomainBinding))
	if err != nil {
		return err
	}
	if !d.m.json {
		if err := d.m.printDomain(*out.CustomDomain, targetsOf(out.DNSTarget, out.VpcDNSTargets)); err != nil {
			return err
		}
	}
	if d.wait {
		if out.CustomDomain, err = d.await(ctx, c, p, arn, name, final); err != nil {
			return err
		}
	}
	return d.report(out, name)
}

// report prints the state that an associated domain has reached.
func (d *domainCommand) report(out *apprunner.AssociateCustomDomainOutput, name string) error {
	if d.m.json {
		if err := d.m.printJSON(apiJSON{out}); err != nil {
			return err
		}
	}
	switch slipway.DomainStatus(out.CustomDomain.Status) {
	case slipway.DomainActive:
		if !d.m.json {
			fmt.Fprintf(d.m.Stdout, "%s %s\n", name, d.m.outStyle().Render(term.Good, "is active"))
		}
	case slipway.DomainFailed:
		return &client.Problem{
			Text: name + " was not validated: its records were not in DNS in time, or another service proved it first",
			Hint: "`slipway logs SERVICE --events` says which. Disassociate it with `slipway domain rm`, create the records, and add it again.",
		}
	}
	return nil
}

// gone is the status of a domain that is not associated.
const gone slipway.DomainStatus = ""

// await waits until a domain is in one of the states, and shows its state
// meanwhile.
func (d *domainCommand) await(ctx context.Context, c *client.Client, p *term.Progress, arn, name string, states []slipway.DomainStatus) (*types.CustomDomain, error) {
	defer p.Clear()
	begun := d.m.Now()
	domain, err := c.AwaitDomain(ctx, arn, name,
		func(v *types.CustomDomain) bool {
			return v == nil || slices.Contains(states, slipway.DomainStatus(v.Status))
		},
		func(v *types.CustomDomain, away error) {
			switch {
			case away != nil:
				p.Status("The server does not answer. Waiting for it.")
			case v != nil:
				p.Status("%10s  %s", term.Took(d.m.Now().Sub(begun)), v.Status)
			}
		})
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, &client.Problem{
			Text: "stopped waiting; the server goes on",
			Hint: fmt.Sprintf("`slipway domain ls %s` shows the domain's state.", resourceName(arn)),
			Err:  context.Canceled,
		}
	case err == nil && domain == nil && !slices.Contains(states, gone):
		return nil, &client.Problem{Text: name + " was disassociated meanwhile"}
	}
	return domain, err
}

func newDomainRmCommand(m *Main) *cobra.Command {
	d := domainCommand{m: m}
	cmd := &cobra.Command{
		Use:   "rm SERVICE DOMAIN",
		Short: "Disassociate a domain from a service",
		Long: `Rm stops serving the service at a custom domain, and at its www name if it has
one. Its records in DNS can be deleted afterwards. If the domain is added again,
it gets the same records. With --json it prints the reply of
DisassociateCustomDomain.` + confirmNote,
		Example:           "  slipway domain rm shop shop.example.com",
		Args:              argCount(2, 2, "the name of a service and a domain"),
		ValidArgsFunction: m.completing(listServices, listDomains),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := m.confirm(cmd, d.yes, "Stop serving %s at %s?", args[0], args[1]); err != nil {
				return err
			}
			return d.remove(cmd.Context(), args[0], args[1])
		},
	}
	cmd.Flags().BoolVar(&d.wait, "wait", true, "wait until the domain is disassociated")
	addYesFlag(cmd, &d.yes)
	return cmd
}

func (d *domainCommand) remove(ctx context.Context, service, name string) error {
	c, arn, err := d.m.service(ctx, service)
	if err != nil {
		return err
	}
	out, err := c.API.DisassociateCustomDomain(ctx, &apprunner.DisassociateCustomDomainInput{ServiceArn: &arn, DomainName: &name})
	if err != nil {
		return withName(c.Target.Explain(err), resourceName(arn))
	}
	if d.wait {
		if _, err := d.await(ctx, c, d.m.progress(), arn, name, []slipway.DomainStatus{gone}); err != nil {
			return err
		}
	}
	if d.m.json {
		return d.m.printJSON(apiJSON{out})
	}
	_, err = fmt.Fprintf(d.m.Stdout, "%s is disassociated from %s\n", name, resourceName(arn))
	return err
}

func newDomainLsCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:     "ls [SERVICE]",
		Aliases: []string{"list"},
		Short:   "List custom domains",
		Long: `Ls lists the custom domains of a service, with the DNS records of those that are
not served yet, and until when their certificates are valid or why there is none, if
the server gets some by ACME. Without SERVICE it lists the domains of all services. With --json
it prints the reply of DescribeCustomDomains for each service, all pages in
one.`,
		Example:           "  slipway domain ls shop",
		Args:              argCount(0, 1, "the name of a service"),
		ValidArgsFunction: m.completeService,
		RunE:              func(cmd *cobra.Command, args []string) error { return m.listDomains(cmd.Context(), args) },
	}
}

func (m *Main) listDomains(ctx context.Context, services []string) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	arns, err := serviceARNs(ctx, c, services)
	if err != nil {
		return err
	}
	list := []apprunner.DescribeCustomDomainsOutput{}
	certs := map[string][]client.Certificate{}
	for _, arn := range arns {
		out, err := c.Domains(ctx, arn)
		if client.NotFound(err) && len(services) == 0 {
			continue // deleted since it was listed
		}
		if err != nil {
			return err
		}
		list = append(list, *out)
		if m.json || len(out.CustomDomains) == 0 {
			continue
		}
		of, err := c.Certificates(ctx, arn)
		if err != nil {
			return err
		}
		maps.Copy(certs, of)
	}
	if m.json {
		return m.printJSON(struct{ Services []apiJSON }{apiList(list)})
	}
	if err := m.printDomains(list, certs, len(services) > 0); err != nil {
		return err
	}
	return m.printRefusals(list, certs)
}

// printRefusals prints why domains have no certificate, or no newer one, and what to do.
func (m *Main) printRefusals(list []apprunner.DescribeCustomDomainsOutput, certs map[string][]client.Certificate) error {
	for _, s := range list {
		for _, d := range s.CustomDomains {
			for _, c := range certs[aws.ToString(d.DomainName)] {
				if c.Failure == "" {
					continue
				}
				_, err := fmt.Fprintf(m.Stdout, "\nCertificate for %s: %s.\n  %s.\n  Next attempt: %s.\n", c.Name, c.Failure, c.Advice, c.NextAt.Time().Local().Format("2006-01-02 15:04:05"))
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// certificateCell tells of the certificates of a domain: of the one that needs a look most.
func certificateCell(list []client.Certificate) term.Cell {
	cell := term.Cell{Tone: term.Good}
	for _, c := range list {
		switch {
		case c.Failure != "":
			return term.Cell{Text: c.Status, Tone: term.Bad}
		case c.NotAfter.Time().IsZero():
			cell = term.Cell{Text: c.Status, Tone: term.Warn}
		case cell.Text == "":
			cell.Text = "until " + c.NotAfter.Time().Format("2006-01-02")
		}
	}
	return cell
}

// serviceARNs returns the ARNs of the named services, or of all services if
// names is empty.
func serviceARNs(ctx context.Context, c *client.Client, names []string) (arns []string, err error) {
	if len(names) == 0 {
		all, err := c.Services(ctx)
		for _, s := range all {
			arns = append(arns, aws.ToString(s.ServiceArn))
		}
		return arns, err
	}
	for _, n := range names {
		arn, err := c.ServiceARN(ctx, n)
		if err != nil {
			return nil, err
		}
		arns = append(arns, arn)
	}
	return arns, nil
}

func (m *Main) printDomains(list []apprunner.DescribeCustomDomainsOutput, certs map[string][]client.Certificate, records bool) error {
	t := term.Table{Head: []string{"DOMAIN", "STATUS", "WWW", "SERVICE"}}
	certified := slices.ContainsFunc(slices.Collect(maps.Values(certs)), func(c []client.Certificate) bool { return len(c) > 0 })
	if certified {
		t.Head = append(t.Head, "CERTIFICATE")
	}
	for _, s := range list {
		for _, d := range s.CustomDomains {
			www := "no"
			if aws.ToBool(d.EnableWWWSubdomain) {
				www = "yes"
			}
			cells := []term.Cell{
				{Text: aws.ToString(d.DomainName)},
				{Text: string(d.Status), Tone: domainTone(d)},
				{Text: www},
				{Text: resourceName(aws.ToString(s.ServiceArn))},
			}
			if certified {
				cells = append(cells, certificateCell(certs[aws.ToString(d.DomainName)]))
			}
			t.Add(cells...)
		}
	}
	if t.Len() == 0 {
		m.progress().Say(term.Plain, "No custom domains yet. `slipway domain add SERVICE DOMAIN` associates one.")
		return nil
	}
	if err := t.Write(m.Stdout, m.outStyle()); err != nil || !records {
		return err
	}
	for _, d := range list[0].CustomDomains {
		if slipway.DomainStatus(d.Status) == slipway.DomainActive {
			continue
		}
		fmt.Fprintln(m.Stdout)
		if err := m.printDomain(d, targetsOf(list[0].DNSTarget, list[0].VpcDNSTargets)); err != nil {
			return err
		}
	}
	return nil
}

func domainTone(d types.CustomDomain) term.Tone {
	switch slipway.DomainStatus(d.Status) {
	case slipway.DomainActive:
		return term.Good
	case slipway.DomainFailed:
		return term.Bad
	case slipway.DomainDeleting:
		return term.Faint
	}
	return term.Warn
}

// dnsTarget is the name that a domain's CNAME points to.
type dnsTarget struct {
	host string
	vpc  string // id of the VPC it is valid in; "" for everywhere
}

// targetsOf returns the DNS targets of a service's domains. A private service is
// reached only through its VPC ingress connections.
func targetsOf(public *string, private []types.VpcDNSTarget) (list []dnsTarget) {
	for _, t := range private {
		list = append(list, dnsTarget{aws.ToString(t.DomainName), aws.ToString(t.VpcId)})
	}
	if len(list) == 0 {
		list = append(list, dnsTarget{host: aws.ToString(public)})
	}
	return list
}

// printDomain prints a domain's state and the records it needs in DNS.
func (m *Main) printDomain(d types.CustomDomain, targets []dnsTarget) error {
	name := aws.ToString(d.DomainName)
	if slipway.DomainStatus(d.Status) == slipway.DomainPending {
		fmt.Fprintf(m.Stdout, "%s is waiting for these records in DNS:\n", name)
	} else {
		fmt.Fprintf(m.Stdout, "%s is %s. Its records in DNS:\n", name, d.Status)
	}
	t := term.Table{Head: []string{"TYPE", "NAME", "VALUE", "FOR"}, Indent: "  "}
	for _, r := range d.CertificateValidationRecords {
		t.Add(
			term.Cell{Text: aws.ToString(r.Type)},
			term.Cell{Text: aws.ToString(r.Name)},
			term.Cell{Text: aws.ToString(r.Value)},
			term.Cell{Text: "validation: " + string(r.Status), Tone: recordTone(r.Status)},
		)
	}
	for _, h := range (slipway.CustomDomain{Name: name, WWW: aws.ToBool(d.EnableWWWSubdomain)}).Hosts() {
		for _, to := range targets {
			use := "requests"
			if to.vpc != "" {
				use += " in " + to.vpc
			}
			t.Add(term.Cell{Text: "CNAME"}, term.Cell{Text: h + "."}, term.Cell{Text: to.host + "."}, term.Cell{Text: use})
		}
	}
	return t.Write(m.Stdout, m.outStyle())
}

func recordTone(s types.CertificateValidationRecordStatus) term.Tone {
	switch s {
	case types.CertificateValidationRecordStatusSuccess:
		return term.Good
	case types.CertificateValidationRecordStatusFailed:
		return term.Bad
	}
	return term.Warn
}
