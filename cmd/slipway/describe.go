package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

type describeCommand struct {
	m          *Main
	showValues bool
}

func newDescribeCommand(m *Main) *cobra.Command {
	d := describeCommand{m: m}
	cmd := &cobra.Command{
		Use:   "describe SERVICE",
		Short: "Show a service's configuration and state",
		Long: `Describe shows a service. The values of its environment variables are masked
unless --show-values is given. A service that sleeps when it has no requests
has a line that says since when, how long it slept, and what its wakes cost,
as counted since the server started. The status of a paused service tells which
instances it keeps. With --json it prints the reply of DescribeService, masked
in the same way, the sleep as "Sleep" and what a pause keeps as "Kept".`,
		Example:           "  slipway describe shop\n  slipway describe shop --json --show-values",
		Args:              argCount(1, 1, "the name of a service"),
		ValidArgsFunction: m.completeService,
		RunE:              func(cmd *cobra.Command, args []string) error { return d.run(cmd.Context(), args[0]) },
	}
	cmd.Flags().BoolVar(&d.showValues, "show-values", false, "show the values of environment variables")
	return cmd
}

// mask replaces a value that is not shown. Its length does not depend on the
// value's.
const mask = "********"

// details are what describe shows beside the reply of DescribeService.
type details struct {
	scaling *types.AutoScalingConfiguration
	tags    []types.Tag
	domains []types.CustomDomain
	inside  []types.VpcDNSTarget // names in VPCs
	last    *types.OperationSummary
	cause   string // why the last operation failed; "" if it has not, or nothing is known

	instances *client.ServiceInstances // nil if nothing is known
}

func (d *describeCommand) run(ctx context.Context, nameOrARN string) error {
	c, err := d.m.connect(ctx)
	if err != nil {
		return err
	}
	svc, err := c.Describe(ctx, nameOrARN)
	if err != nil {
		return err
	}
	if !d.showValues {
		svc = masked(svc)
	}
	if d.m.json {
		arn := aws.ToString(svc.ServiceArn)
		all, err := c.Instances(ctx, arn)
		if err != nil {
			return err
		}
		return d.m.printJSON(struct {
			Service  apiJSON
			Crashing *crashingJSON `json:",omitempty"`
			Sleep    *sleepJSON    `json:",omitempty"`
			Kept     *keptJSON     `json:",omitempty"`
		}{apiJSON{svc}, crashingOf(all[arn]), sleepOf(all[arn]), keptOf(all[arn])})
	}
	more, err := d.details(ctx, c, svc)
	if err != nil {
		return err
	}
	return d.print(c, svc, more)
}

func (d *describeCommand) details(ctx context.Context, c *client.Client, svc *types.Service) (details, error) {
	var more details
	var err error
	if summary := svc.AutoScalingConfigurationSummary; summary != nil {
		if more.scaling, err = describeScaling(ctx, c, summary.AutoScalingConfigurationArn); err != nil {
			return more, err
		}
	}
	tags, err := c.API.ListTagsForResource(ctx, &apprunner.ListTagsForResourceInput{ResourceArn: svc.ServiceArn})
	if err != nil && !client.NotFound(err) { // a deleted service has none
		return more, err
	}
	if tags != nil {
		more.tags = tags.Tags
	}
	domains, err := c.Domains(ctx, aws.ToString(svc.ServiceArn))
	if err != nil && !client.NotFound(err) {
		return more, err
	}
	if domains != nil {
		more.domains, more.inside = domains.CustomDomains, domains.VpcDNSTargets
	}
	return more, more.addState(ctx, c, aws.ToString(svc.ServiceArn))
}

// addState adds what happens to a service at the moment.
func (more *details) addState(ctx context.Context, c *client.Client, arn string) (err error) {
	if more.last, err = c.Operation(ctx, arn, ""); err != nil {
		return err
	}
	if op := more.last; op != nil && op.Status != types.OperationStatusSucceeded && !client.Live(op.Status) {
		if more.cause, err = c.Cause(ctx, arn, aws.ToString(op.Id)); err != nil {
			return err
		}
	}
	all, err := c.Instances(ctx, arn)
	if s, ok := all[arn]; ok {
		more.instances = &s
	}
	return err
}

// describeScaling returns a scaling configuration, nil if it does not exist.
func describeScaling(ctx context.Context, c *client.Client, arn *string) (*types.AutoScalingConfiguration, error) {
	out, err := c.API.DescribeAutoScalingConfiguration(ctx, &apprunner.DescribeAutoScalingConfigurationInput{AutoScalingConfigurationArn: arn})
	if client.NotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out.AutoScalingConfiguration, nil
}

// masked returns a copy of a service with the values of its environment
// variables masked. Secrets are references and are not masked.
func masked(svc *types.Service) *types.Service {
	if svc.SourceConfiguration == nil {
		return svc
	}
	out, source := *svc, *svc.SourceConfiguration
	out.SourceConfiguration = &source
	if source.ImageRepository != nil && source.ImageRepository.ImageConfiguration != nil {
		repository, cfg := *source.ImageRepository, *source.ImageRepository.ImageConfiguration
		cfg.RuntimeEnvironmentVariables = maskedValues(cfg.RuntimeEnvironmentVariables)
		repository.ImageConfiguration, source.ImageRepository = &cfg, &repository
	}
	if code := source.CodeRepository; code != nil && code.CodeConfiguration != nil && code.CodeConfiguration.CodeConfigurationValues != nil {
		repository, cfg, values := *code, *code.CodeConfiguration, *code.CodeConfiguration.CodeConfigurationValues
		values.RuntimeEnvironmentVariables = maskedValues(values.RuntimeEnvironmentVariables)
		cfg.CodeConfigurationValues, repository.CodeConfiguration, source.CodeRepository = &values, &cfg, &repository
	}
	return &out
}

func maskedValues(env map[string]string) map[string]string {
	if env == nil {
		return nil
	}
	out := make(map[string]string, len(env))
	for name := range env {
		out[name] = mask
	}
	return out
}

// attributeTable is a table of names and values.
type attributeTable struct{ term.Table }

// line adds a value, unless it is empty.
func (s *attributeTable) line(name, value string) { s.toned(name, value, term.Plain) }

func (s *attributeTable) toned(name, value string, t term.Tone) {
	if value != "" {
		s.Add(term.Cell{Text: name, Tone: term.Faint}, term.Cell{Text: value, Tone: t})
	}
}

func (d *describeCommand) print(c *client.Client, svc *types.Service, more details) error {
	var s attributeTable
	now := d.m.Now()
	s.toned("Service", aws.ToString(svc.ServiceName), term.Strong)
	status := term.Cell{Text: string(svc.Status), Tone: statusTone(string(svc.Status))}
	if i := more.instances; i != nil && i.Crashing != nil {
		status.Text, status.Tone = status.Text+", "+crashing(*i, now), term.Bad
	}
	if i := more.instances; i != nil && svc.Status == types.ServiceStatusPaused {
		if text, _ := kept(*i, now); text != "" {
			status.Text += ", " + text
		}
	}
	s.toned("Status", status.Text, status.Tone)
	s.line("URL", c.ServiceURL(aws.ToString(svc.ServiceUrl)))
	describeNetwork(&s, svc.NetworkConfiguration, more.inside)
	describeRunning(&s, more, now)
	s.line("ARN", aws.ToString(svc.ServiceArn))
	s.line("Created", when(now, svc.CreatedAt))
	s.line("Updated", when(now, svc.UpdatedAt))
	s.line("Deleted", when(now, svc.DeletedAt))
	describeSource(&s, svc.SourceConfiguration)
	describeInstance(&s, svc, more.scaling)
	s.Wrap = true
	st := d.m.outStyle()
	if err := s.Write(d.m.Stdout, st); err != nil {
		return err
	}
	if err := d.printInstances(more.instances, st); err != nil {
		return err
	}
	return d.printMaps(svc, more, st)
}

// printMaps prints what a service has by name.
func (d *describeCommand) printMaps(svc *types.Service, more details, st term.Style) error {
	tags := map[string]string{}
	for _, t := range more.tags {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	domains := map[string]string{}
	for _, v := range more.domains {
		domains[aws.ToString(v.DomainName)] = string(v.Status)
	}
	env, secrets := sourceVariables(svc.SourceConfiguration)
	for _, part := range []struct {
		title  string
		values map[string]string
	}{{"Domains", domains}, {"Environment", env}, {"Secrets", secrets}, {"Tags", tags}} {
		if err := d.printMap(part.title, part.values, st); err != nil {
			return err
		}
	}
	return nil
}

// describeNetwork adds what differs from the default network configuration.
func describeNetwork(s *attributeTable, n *types.NetworkConfiguration, inside []types.VpcDNSTarget) {
	if n == nil {
		return
	}
	if i := n.IngressConfiguration; i != nil && !i.IsPubliclyAccessible {
		if len(inside) == 0 {
			s.line("Access", "private, without a VPC ingress connection")
		}
		for _, t := range inside {
			s.line("Access", fmt.Sprintf("private, in %s as %s", aws.ToString(t.VpcId), aws.ToString(t.DomainName)))
		}
	}
	if e := n.EgressConfiguration; e != nil && e.VpcConnectorArn != nil {
		s.line("Egress", "VPC connector "+resourceName(*e.VpcConnectorArn))
	}
}

func (d *describeCommand) printMap(title string, values map[string]string, st term.Style) error {
	if len(values) == 0 {
		return nil
	}
	t := term.Table{Indent: "  ", Wrap: true}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		t.Add(term.Cell{Text: name}, term.Cell{Text: values[name]})
	}
	if _, err := fmt.Fprintf(d.m.Stdout, "\n%s\n", st.Render(term.Strong, title)); err != nil {
		return err
	}
	return t.Write(d.m.Stdout, st)
}

func when(now time.Time, t *time.Time) string {
	if t == nil {
		return ""
	}
	return fmt.Sprintf("%s (%s)", term.Ago(now, *t), t.In(now.Location()).Format("2006-01-02 15:04:05 MST"))
}

func describeSource(s *attributeTable, source *types.SourceConfiguration) {
	if source == nil {
		return
	}
	if image := source.ImageRepository; image != nil {
		s.line("Image", imageForPeople(aws.ToString(image.ImageIdentifier)))
		if cfg := image.ImageConfiguration; cfg == nil {
			s.line("Port", strconv.Itoa(slipway.DefaultPort))
		} else {
			s.line("Port", aws.ToString(cfg.Port))
			s.line("Start command", aws.ToString(cfg.StartCommand))
		}
	}
	if code := source.CodeRepository; code != nil {
		s.line("Repository", aws.ToString(code.RepositoryUrl))
		if v := code.SourceCodeVersion; v != nil {
			s.line("Branch", aws.ToString(v.Value))
		}
		s.line("Directory", aws.ToString(code.SourceDirectory))
		describeCodeConfiguration(s, code.CodeConfiguration)
	}
	if aws.ToBool(source.AutoDeploymentsEnabled) {
		s.line("Deploys", "automatically, when the source changes")
	}
}

// describeCodeConfiguration adds how code is built and started: as apprunner.yaml says,
// or the service.
func describeCodeConfiguration(s *attributeTable, c *types.CodeConfiguration) {
	switch {
	case c == nil:
	case c.CodeConfigurationValues == nil:
		s.line("Configuration", "apprunner.yaml in the repository")
	default:
		v := c.CodeConfigurationValues
		s.line("Runtime", string(v.Runtime))
		s.line("Build command", aws.ToString(v.BuildCommand))
		s.line("Start command", aws.ToString(v.StartCommand))
		s.line("Port", aws.ToString(v.Port))
	}
}

func describeInstance(s *attributeTable, svc *types.Service, scaling *types.AutoScalingConfiguration) {
	if i := svc.InstanceConfiguration; i != nil {
		s.line("Instance", cpuForPeople(aws.ToString(i.Cpu))+", "+memoryForPeople(aws.ToString(i.Memory)))
		s.line("Role", aws.ToString(i.InstanceRoleArn))
	}
	if scaling != nil {
		s.line("Scaling", fmt.Sprintf("%d to %d instances, each with up to %d requests at once (%s:%d)",
			aws.ToInt32(scaling.MinSize), aws.ToInt32(scaling.MaxSize), aws.ToInt32(scaling.MaxConcurrency),
			aws.ToString(scaling.AutoScalingConfigurationName), aws.ToInt32(scaling.AutoScalingConfigurationRevision)))
	}
	if h := svc.HealthCheckConfiguration; h != nil {
		what := string(h.Protocol)
		if h.Protocol == types.HealthCheckProtocolHttp {
			what += " " + aws.ToString(h.Path)
		}
		s.line("Health check", fmt.Sprintf("%s every %d s within %d s; healthy after %d, unhealthy after %d",
			what, aws.ToInt32(h.Interval), aws.ToInt32(h.Timeout), aws.ToInt32(h.HealthyThreshold), aws.ToInt32(h.UnhealthyThreshold)))
	}
}

func sourceVariables(source *types.SourceConfiguration) (env, secrets map[string]string) {
	if source == nil {
		return nil, nil
	}
	if image := source.ImageRepository; image != nil && image.ImageConfiguration != nil {
		return image.ImageConfiguration.RuntimeEnvironmentVariables, image.ImageConfiguration.RuntimeEnvironmentSecrets
	}
	if code := source.CodeRepository; code != nil && code.CodeConfiguration != nil && code.CodeConfiguration.CodeConfigurationValues != nil {
		values := code.CodeConfiguration.CodeConfigurationValues
		return values.RuntimeEnvironmentVariables, values.RuntimeEnvironmentSecrets
	}
	return nil, nil
}

// imageForPeople removes the ECR host from the name of an image in the server's
// own registry.
func imageForPeople(identifier string) string {
	host, rest, ok := strings.Cut(identifier, "/")
	if ok && strings.Contains(host, ".dkr.ecr.") && strings.HasSuffix(host, ".amazonaws.com") {
		return rest
	}
	return identifier
}

func cpuForPeople(units string) string {
	switch units {
	case "256":
		return "0.25 vCPU"
	case "512":
		return "0.5 vCPU"
	case "1024":
		return "1 vCPU"
	case "2048":
		return "2 vCPU"
	case "4096":
		return "4 vCPU"
	}
	return units
}

func memoryForPeople(mib string) string {
	var n int
	if _, err := fmt.Sscanf(mib, "%d", &n); err != nil || fmt.Sprint(n) != mib {
		return mib
	}
	if n == 512 {
		return "0.5 GB"
	}
	if n%1024 == 0 {
		return fmt.Sprintf("%d GB", n/1024)
	}
	return mib + " MB"
}
