package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openslipway/slipway/internal/cli/client"
)

// A lister returns what an argument or a flag can be. args are the arguments before it.
type lister func(ctx context.Context, c *client.Client, args []string) ([]string, error)

// completion is cobra's function that completes arguments and flags.
type completion = func(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective)

// completing completes a verb's arguments, one lister each, nil for none. It offers
// nothing when the server does not answer within two seconds.
func (m *Main) completing(listers ...lister) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(listers) || listers[len(args)] == nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return m.complete(cmd.Context(), listers[len(args)], args), cobra.ShellCompDirectiveNoFileComp
	}
}

func (m *Main) complete(ctx context.Context, list lister, args []string) []string {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := m.connect(ctx)
	if err != nil {
		return nil
	}
	names, err := list(ctx, c, args)
	if err != nil {
		return nil // a shell has no place for it; the verb will say it
	}
	return names
}

// fixed completes one of some values.
func fixed(values ...string) completion {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values, cobra.ShellCompDirectiveNoFileComp
	}
}

func listServices(ctx context.Context, c *client.Client, _ []string) ([]string, error) {
	services, err := c.Services(ctx)
	out := make([]string, len(services))
	for i, s := range services {
		out[i] = aws.ToString(s.ServiceName)
	}
	return out, err
}

func listImages(ctx context.Context, c *client.Client, args []string) ([]string, error) {
	stored, err := c.StoredImages(ctx)
	var out []string
	for _, s := range stored {
		for _, tag := range s.Tags {
			if name := s.Repository + ":" + tag; !slices.Contains(args, name) {
				out = append(out, name)
			}
		}
	}
	return out, err
}

func listSecrets(ctx context.Context, c *client.Client, _ []string) ([]string, error) {
	list, err := c.ListSecrets(ctx, false)
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = aws.ToString(s.Name)
	}
	return out, err
}

func listUsers(ctx context.Context, c *client.Client, _ []string) ([]string, error) {
	list, err := c.Users(ctx)
	out := make([]string, len(list))
	for i, u := range list {
		out[i] = aws.ToString(u.UserName)
	}
	return out, err
}

// listKeys lists the access keys of the user in the first argument.
func listKeys(ctx context.Context, c *client.Client, args []string) ([]string, error) {
	owner, err := c.KeyOwner(ctx, args[0])
	if err != nil {
		return nil, err
	}
	list, err := c.AccessKeys(ctx, owner)
	out := make([]string, len(list))
	for i, k := range list {
		out[i] = aws.ToString(k.AccessKeyId)
	}
	return out, err
}

func listPolicies(ctx context.Context, c *client.Client, _ []string) ([]string, error) {
	list, err := c.Policies(ctx)
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = aws.ToString(p.PolicyName)
	}
	return out, err
}

func listConnections(ctx context.Context, c *client.Client, _ []string) ([]string, error) {
	list, err := c.Connections(ctx)
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = aws.ToString(v.ConnectionName)
	}
	return out, err
}

func listHooks(ctx context.Context, c *client.Client, _ []string) ([]string, error) {
	list, err := c.Webhooks(ctx)
	out := make([]string, len(list))
	for i, h := range list {
		out[i] = h.WebhookID + "\t" + h.URL
	}
	return out, err
}

// listDomains lists the domains of the service in the first argument.
func listDomains(ctx context.Context, c *client.Client, args []string) ([]string, error) {
	arn, err := c.ServiceARN(ctx, args[0])
	if err != nil {
		return nil, err
	}
	found, err := c.Domains(ctx, arn)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(found.CustomDomains))
	for i, d := range found.CustomDomains {
		out[i] = aws.ToString(d.DomainName)
	}
	return out, nil
}

// listOperations lists the operations of the service in the first argument.
func listOperations(ctx context.Context, c *client.Client, args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	arn, err := c.ServiceARN(ctx, args[0])
	if err != nil {
		return nil, err
	}
	list, err := c.API.ListOperations(ctx, &apprunner.ListOperationsInput{ServiceArn: &arn})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, op := range list.OperationSummaryList {
		out = append(out, aws.ToString(op.Id)+"\t"+string(op.Type)+" "+string(op.Status))
	}
	return out, nil
}

// listInstances lists the instances of the service in the first argument that have a log.
func listInstances(ctx context.Context, c *client.Client, args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	arn, err := c.ServiceARN(ctx, args[0])
	if err != nil {
		return nil, err
	}
	streams, err := c.StreamsOf(ctx, client.ApplicationLogGroup(arn), "")
	var out []string
	for _, s := range streams {
		out = append(out, strings.TrimPrefix(s, "instance/"))
	}
	return out, err
}

// completeService completes a service's name as the first argument of a verb.
func (m *Main) completeService(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
	return m.completing(listServices)(cmd, args, begin)
}

// completeImages completes any number of images of the server's registry.
func (m *Main) completeImages(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return m.complete(cmd.Context(), listImages, args), cobra.ShellCompDirectiveNoFileComp
}

// completeUp completes what can be deployed: files, directories and stored images.
func (m *Main) completeUp(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if strings.HasPrefix(begin, ".") || strings.HasPrefix(begin, "/") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return m.complete(cmd.Context(), listImages, args), cobra.ShellCompDirectiveDefault
}

// completeSecretFlag completes NAME=SECRET after the =.
func (m *Main) completeSecretFlag(cmd *cobra.Command, _ []string, begin string) ([]string, cobra.ShellCompDirective) {
	name, _, ok := strings.Cut(begin, "=")
	if !ok {
		return nil, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	secrets := m.complete(cmd.Context(), listSecrets, nil)
	for i, s := range secrets {
		secrets[i] = name + "=" + s
	}
	return secrets, cobra.ShellCompDirectiveNoFileComp
}

// completeFlags completes the values of the flags of cmd and of the commands below it, by
// the flags' names: a name means the same in every command. Files are completed for flags
// whose value is a file or a directory, and for the others nothing.
func (m *Main) completeFlags(cmd *cobra.Command) {
	list := func(l lister) completion {
		return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return m.complete(cmd.Context(), l, args), cobra.ShellCompDirectiveNoFileComp
		}
	}
	var cpus, memories []string
	for _, s := range instanceSizes {
		cpus, memories = append(cpus, s.cpu), append(memories, s.memory...)
	}
	slices.Sort(memories)
	known := map[string]completion{
		"cpu": fixed(cpus...), "memory": fixed(slices.Compact(memories)...), "secret": m.completeSecretFlag,
		"provider": fixed(providers...), "type": fixed("status", "operation", "domain"), "stage": fixed("AWSCURRENT", "AWSPREVIOUS"),
		"log-level": fixed("debug", "info", "warn", "error"), "endpoint": fixed(client.DefaultEndpoint),
		"service": list(listServices), "user": list(listUsers), "policy": list(listPolicies),
		"deployment": list(listOperations), "operation": list(listOperations), "instance": list(listInstances),
	}
	if cmd.Name() == "up" || cmd.Name() == "check" {
		known["name"] = list(listServices)
	}
	visit := func(f *pflag.Flag) {
		what, _ := pflag.UnquoteUsage(f)
		if _, done := cmd.GetFlagCompletionFunc(f.Name); done || f.Value.Type() == "bool" || what == "file" || what == "directory" {
			return
		}
		complete, ok := known[f.Name]
		if !ok {
			complete = fixed()
		}
		if err := cmd.RegisterFlagCompletionFunc(f.Name, complete); err != nil {
			panic(err) // the flag was visited just now
		}
	}
	cmd.Flags().VisitAll(visit)
	cmd.PersistentFlags().VisitAll(visit)
	for _, c := range cmd.Commands() {
		m.completeFlags(c)
	}
}
