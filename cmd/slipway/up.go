package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
	"github.com/openslipway/slipway/internal/cli/upload"
)

type upCommand struct {
	m *Main

	name         string
	port         string
	env          []string
	envFiles     []string
	secrets      []string
	unset        []string
	cpu, memory  string
	startCommand string
	healthPath   string
	sizes        sizes
	choices      []string
	verbose      bool
	wait         bool
	replace      bool

	source string            // as the user gave it
	tree   *upload.Directory // with source code; nil for an image
	kept   bool              // the service keeps what it is deployed from
	named  bool              // the service's name is derived from the source's
	given  *pflag.FlagSet    // to tell an empty value from none
}

func newUpCommand(m *Main) *cobra.Command {
	up := &upCommand{m: m}
	cmd := &cobra.Command{
		Use:   "up [DIR|FILE|IMAGE]",
		Short: "Deploy source code or an image as a service",
		Long: `Up creates a service from source code or an image, or deploys it to the service of
that name if it exists, and prints the service's URL.

DIR is a directory with source code (default: the current one). Up sends what the
server does not have of it, without what .gitignore and .dockerignore exclude, and the
server builds it: as its apprunner.yaml says, with its Dockerfile, or as its files
suggest. ` + "`slipway plan`" + ` shows that before, and ` + "`slipway check`" + ` tries it. Where the
files allow more than one answer, up asks on a terminal; elsewhere it fails and says
which --choose decides it.

FILE is an OCI archive or the output of ` + "`docker save`" + `, compressed or not; an OCI
layout directory counts, too. It is imported into the server's registry first. IMAGE
is the name of an image there or in any other registry. A name without a registry,
such as nginx, is the server's own image; it means docker.io/library/nginx only if the
server runs with --docker-hub and has no repository and no service of that name.

The name of a service deploys that service with the image or code that it has:
` + "`slipway up shop --env A=2`" + ` changes a variable of it. A file or directory of that name
takes precedence; ` + "`slipway up shop:latest`" + ` always means the image.

For an existing service, only the settings given by flags change; environment
variables are added to existing ones. A paused service is resumed first.

An env file has Docker Compose's form of dotenv: NAME=value, with export before it or
not; # begins a comment at the start of a line or after a space; a value in single
quotes stands as it is, one in double quotes has the escapes \n \r \t \" \\ and \$;
both may span lines. A $ is an ordinary character: variables are not substituted. A
line with only NAME passes on the value that the variable has in the environment of
this command, and is an error if it has none. --env takes precedence over --env-file.

If the endpoint is on this machine and no server answers, up starts one in the
foreground until Ctrl-C.`,
		Example: `  slipway up .
  slipway up services/shop --name shop --env GREETING=hello
  slipway up ./image.tar
  slipway up shop:1.0 --env GREETING=hello --env-file .env --min 2 --max 10
  slipway up shop --env GREETING=hi
  slipway up public.ecr.aws/nginx/nginx:latest --name web-front --port 80`,
		Args:              argCount(0, 1, "a directory, a file or the name of an image"),
		ValidArgsFunction: m.completeUp,
		RunE: func(cmd *cobra.Command, args []string) error {
			up.given = cmd.Flags()
			up.source = append(args, ".")[0]
			return up.run(cmd, append(args, ".")[0])
		},
	}
	up.addFlags(cmd.Flags())
	cmd.Flags().BoolVarP(&up.verbose, "verbose", "v", false, "show every line of the operation's log and the whole output of the build")
	addWaitFlag(cmd, &up.wait)
	addReplaceFlag(cmd, &up.replace)
	return cmd
}

func (up *upCommand) addFlags(f *pflag.FlagSet) {
	f.StringVar(&up.name, "name", "", "the service's `name` (default: derived from the directory's or the image's name)")
	f.StringVar(&up.port, "port", "", "`port` the application listens on (default: the one that the code or the image names, else 8080)")
	f.StringArrayVarP(&up.env, "env", "e", nil, envUsage)
	f.StringArrayVar(&up.envFiles, "env-file", nil, envFileUsage)
	f.StringArrayVar(&up.secrets, "secret", nil, "set an environment variable to the value that a secret has at each deployment: `NAME=SECRET`, the name or ARN of a secret (see slipway secret) or parameter; repeatable")
	f.StringArrayVar(&up.unset, "unset-env", nil, "remove the variable `NAME` from the service; repeatable")
	f.StringVar(&up.cpu, "cpu", "", "CPU of an instance: `vCPU` 0.25, 0.5, 1, 2 or 4 (default 1)")
	f.StringVar(&up.memory, "memory", "", "memory of an instance: `GB` 0.5, 1, 2, 3, 4, 6, 8, 10 or 12 (default 2)")
	f.Int32Var(&up.sizes.least, "min", 0, "minimum `number` of instances (default 1)")
	f.Int32Var(&up.sizes.most, "max", 0, "maximum `number` of instances (default 25)")
	f.Int32Var(&up.sizes.concurrency, "concurrency", 0, "maximum concurrent `requests` of an instance (default 100)")
	f.StringVar(&up.startCommand, "start-command", "", "`command` to run instead of that of the code, or the image's entry point and command")
	f.StringArrayVar(&up.choices, "choose", nil, chooseUsage)
	f.StringVar(&up.healthPath, "health-path", "", "`path` that answers 2xx when the application is healthy (default: a TCP connection is enough)")
}

func (up *upCommand) run(cmd *cobra.Command, source string) error {
	env, err := readVariables(up.envFiles, up.env, up.m.lookup)
	if err == nil {
		err = up.check(env)
	}
	if err != nil {
		return usageError(cmd, "%v", err)
	}
	if isSource(source) {
		if up.tree, err = up.m.openSource("up", source, up.choices); err != nil {
			return err
		}
		defer up.tree.Close()
	} else if len(up.choices) > 0 {
		return usageError(cmd, "--choose is for directories with source code, and %s is none", source)
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	server, err := up.server(ctx, source)
	if err != nil {
		return err
	}
	err = up.deploy(ctx, source, env)
	if server == nil {
		return err
	}
	if err == nil {
		up.m.progress().Say(term.Plain, "Serving until Ctrl-C. Instances keep running; the next `slipway serve` adopts them.")
	} else {
		cancel()
	}
	return errors.Join(err, server.Wait())
}

// check checks the flags, before anything is sent.
func (up *upCommand) check(env map[string]string) error {
	given := up.given.Changed
	checks := []struct {
		given bool
		check func() error
	}{
		{given("name"), func() error { return checkServiceName("--name", up.name) }},
		{given("port"), func() error { return checkPort("--port", up.port) }},
		{given("health-path"), func() error { return checkHealthPath(up.healthPath) }},
		{given("start-command"), func() error { return checkStartCommand(up.startCommand) }},
		{given("cpu") && up.cpu == "", func() error { return checkSize("none", "") }},
		{given("memory") && up.memory == "", func() error { return checkSize("", "none") }},
		{true, func() error { return checkSize(up.cpu, up.memory) }},
		{true, func() error { return checkSizes(up.sizes, given) }},
		{true, func() error { return checkSecrets(up.secrets) }},
		{true, func() error { return checkOneKind(env, up.secrets, up.unset) }},
	}
	for _, c := range checks {
		if c.given {
			if err := c.check(); err != nil {
				return err
			}
		}
	}
	return nil
}

// server starts a server for a source if the target is on this machine and none answers
// there. Otherwise it returns nil.
func (up *upCommand) server(ctx context.Context, source string) (*Server, error) {
	t, err := up.m.target()
	if err != nil {
		return nil, err
	}
	if !t.Local() || up.m.StartServer == nil {
		return nil, nil
	}
	if err := client.Probe(ctx, t); err == nil || !client.Unreachable(err) {
		return nil, nil
	}
	if err := checkImageFile(source); err != nil {
		return nil, err
	}
	up.m.progress().Say(term.Plain, "No server answers at %s: starting one.", t.Endpoint)
	server, err := up.m.StartServer(ctx, ServerOptions{DataDir: t.DataDir, APIAddr: t.Addr(), Region: up.m.settings.Region})
	if err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	up.m.settings.Endpoint, up.m.settings.Credentials = server.Endpoint, server.Credentials
	return server, nil
}

// deploy creates or updates the service.
func (up *upCommand) deploy(ctx context.Context, source string, env map[string]string) error {
	c, err := up.m.connect(ctx)
	if err != nil {
		return err
	}
	secrets, err := secretReferences(ctx, c, up.secrets, up.m.progress())
	if err != nil {
		return err
	}
	svc, err := up.service(ctx, c, source)
	if err != nil {
		return err
	}
	if svc != nil {
		up.name, up.kept = source, true
	}
	img, err := up.image(ctx, c, source)
	if err != nil {
		return err
	}
	if up.name == "" {
		up.name, up.named = up.m.nameService(img.title), true
	}
	d := up.desired(img, env)
	d.secrets = secrets
	if len(d.secrets) > 0 {
		if d.role, err = roleFor(ctx, c); err != nil {
			return err
		}
	}
	if svc == nil {
		if svc, _, err = c.FindService(ctx, up.name); err != nil {
			return err
		}
	}
	if svc == nil {
		err = up.create(ctx, c, d, img)
	} else {
		err = up.update(ctx, c, d, img, aws.ToString(svc.ServiceArn))
	}
	if err != nil {
		return withName(c.Target.Explain(err), up.name)
	}
	return nil
}

func (up *upCommand) desired(img upImage, env map[string]string) desired {
	optional := func(flag, value string) *string {
		if !up.given.Changed(flag) {
			return nil
		}
		return &value
	}
	return desired{
		image:        img.identifier,
		code:         img.code,
		imageType:    img.kind,
		port:         optional("port", up.port),
		startCommand: optional("start-command", up.startCommand),
		set:          env,
		unset:        up.unset,
		cpu:          optional("cpu", cpuValue(up.cpu)),
		memory:       optional("memory", memoryValue(up.memory)),
		healthPath:   optional("health-path", up.healthPath),
	}
}

func (up *upCommand) create(ctx context.Context, c *client.Client, d desired, img upImage) error {
	if d.port == nil {
		d.port = img.port()
	}
	err := up.checkResize(&types.InstanceConfiguration{Cpu: aws.String("1024"), Memory: aws.String("2048")}, "by default")
	if err != nil {
		return err
	}
	if d.scaling, err = scalingARN(ctx, c, up.sizes, nil); err != nil {
		return err
	}
	p := up.m.progress()
	p.Say(term.Plain, "Creating service %s%s", up.name, d.from(" from "))
	out, err := c.API.CreateService(ctx, d.create(up.name))
	if err != nil {
		return err
	}
	up.sayComplete(p, d, out.Service)
	return up.finish(ctx, c, operation{
		name: up.name, arn: aws.ToString(out.Service.ServiceArn), id: aws.ToString(out.OperationId), service: out.Service,
		verbose: up.verbose, source: up.source,
	}, p)
}

func (up *upCommand) update(ctx context.Context, c *client.Client, d desired, img upImage, arn string) error {
	p := up.m.progress()
	if err := up.m.supersede(ctx, c, arn, up.replace); err != nil {
		return err
	}
	svc, err := up.awaitIdle(ctx, c, arn, p)
	if err != nil {
		return err
	}
	switch {
	case up.kept:
		err = d.keep(svc)
	default:
		d.image = img.asStored(svc)
		if err = up.fits(svc, d); err == nil && up.named {
			err = up.mayName(svc, img)
		}
	}
	if err != nil {
		return err
	}
	if err := up.checkResize(svc.InstanceConfiguration, "now"); err != nil {
		return err
	}
	if d.scaling, err = scalingARN(ctx, c, up.sizes, svc); err != nil {
		return err
	}
	op := operation{name: up.name, arn: arn, service: svc, verbose: up.verbose, source: up.source}
	in := d.update(svc)
	switch {
	case in == nil && svc.Status == types.ServiceStatusRunning && d.pinned() && len(d.secrets) == 0:
		p.Say(term.Plain, "Service %s already runs %s", up.name, cmp.Or(d.from(""), "this code"))
		return up.finish(ctx, c, op, p)
	case in == nil && svc.Status == types.ServiceStatusRunning:
		p.Say(term.Plain, "Deploying %s to service %s", cmp.Or(d.from(""), "the code"), up.name)
		op.id, _, err = deploying.start(ctx, c, arn)
	default:
		if in == nil {
			in = &apprunner.UpdateServiceInput{ServiceArn: aws.String(arn)}
		}
		p.Say(term.Plain, "Updating service %s%s", up.name, d.from(" to "))
		var out *apprunner.UpdateServiceOutput
		if out, err = c.API.UpdateService(ctx, in); err == nil {
			op.id, op.service = aws.ToString(out.OperationId), out.Service
			up.sayComplete(p, d, out.Service)
		}
	}
	if err != nil {
		return err
	}
	return up.finish(ctx, c, op, p)
}

// awaitIdle returns the service once it can be updated: it waits for a running
// operation and resumes a paused service. Without --wait it returns at once.
func (up *upCommand) awaitIdle(ctx context.Context, c *client.Client, arn string, p *term.Progress) (*types.Service, error) {
	for {
		svc, err := c.Describe(ctx, arn)
		if err != nil || !up.wait {
			return svc, err
		}
		switch svc.Status {
		case types.ServiceStatusOperationInProgress:
			if err := up.awaitRunning(ctx, c, svc, p); err != nil {
				return nil, err
			}
		case types.ServiceStatusPaused:
			return up.resumed(ctx, c, svc, p)
		default:
			return svc, nil
		}
	}
}

// awaitRunning waits for a service's running operation.
func (up *upCommand) awaitRunning(ctx context.Context, c *client.Client, svc *types.Service, p *term.Progress) error {
	arn := aws.ToString(svc.ServiceArn)
	op, err := c.Operation(ctx, arn, "")
	if err != nil {
		return err
	}
	if op == nil || !client.Live(op.Status) { // it has ended since svc was read
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
			return nil
		}
	}
	p.Say(term.Plain, "Waiting for %s of %s to end", op.Type, up.name)
	_, err = up.m.await(ctx, c, operation{name: up.name, arn: arn, id: aws.ToString(op.Id), service: svc}, p)
	return err
}

func (up *upCommand) resumed(ctx context.Context, c *client.Client, svc *types.Service, p *term.Progress) (*types.Service, error) {
	arn := aws.ToString(svc.ServiceArn)
	id, svc, err := resuming.start(ctx, c, arn)
	if err != nil || id == "" {
		return svc, err
	}
	p.Say(term.Plain, "Resuming %s", up.name)
	op := operation{name: up.name, arn: arn, id: id, service: svc, verbose: up.verbose, source: up.source}
	out, err := up.m.await(ctx, c, op, p)
	if err != nil {
		return nil, err
	}
	return out.service, out.failure(op)
}

// finish waits for the operation, unless --wait=false, and prints the URL.
func (up *upCommand) finish(ctx context.Context, c *client.Client, op operation, p *term.Progress) error {
	out := &result{OperationID: op.id, Service: shown(op.service), service: op.service}
	var failed error
	if op.id != "" && up.wait {
		var err error
		if out, err = up.m.await(ctx, c, op, p); err != nil {
			return err
		}
		failed = out.failure(op)
	}
	if out.service != nil {
		out.URL = c.ServiceURL(aws.ToString(out.service.ServiceUrl))
	}
	if up.m.json {
		return errors.Join(up.m.printJSON(out), failed)
	}
	if failed != nil {
		return failed
	}
	if op.id != "" && up.wait {
		p.Say(term.Good, "%s is running (%s)", op.name, took(out.summary))
	}
	_, err := fmt.Fprintln(up.m.Stdout, out.URL)
	return err
}

// upImage is the image or the code to deploy.
type upImage struct {
	identifier string // as ImageIdentifier
	complete   string // identifier as the server may complete it; "" if it is complete
	code       *code  // in place of an image
	kind       types.ImageRepositoryType
	title      string         // from which a service's name is derived
	config     *v1.ConfigFile // nil if the client does not have it
}

// port returns the image's exposed TCP port, nil if it is not known or there are
// several.
func (i upImage) port() *string {
	if i.config == nil {
		return nil
	}
	var ports []string
	for p := range i.config.Config.ExposedPorts {
		if number, protocol, ok := strings.Cut(p, "/"); !ok || protocol == "tcp" {
			ports = append(ports, number)
		}
	}
	if len(ports) != 1 {
		return nil
	}
	return &ports[0]
}

// image resolves the argument, and sends the source code or imports the image if it is a
// path. An argument
// that looks like a path is never taken as a name.
func (up *upCommand) image(ctx context.Context, c *client.Client, source string) (upImage, error) {
	if up.kept {
		return upImage{}, nil
	}
	if up.tree != nil {
		return up.fromSource(ctx, c, source)
	}
	_, err := os.Stat(source)
	if err == nil || strings.HasPrefix(source, ".") || strings.HasPrefix(source, "/") || strings.HasSuffix(source, "/") || strings.HasSuffix(source, ".tar") {
		return up.fromPath(ctx, c, source)
	}
	return up.fromName(ctx, c, source)
}

// fromPath imports an image and names it by its digest, so that exactly this
// image runs even if a tag moves later.
func (up *upCommand) fromPath(ctx context.Context, c *client.Client, path string) (upImage, error) {
	img, err := openImage(path)
	if err != nil {
		return upImage{}, err
	}
	defer img.Close()
	config, err := img.Config()
	if err != nil {
		return upImage{}, &client.Problem{Text: fmt.Sprintf("%s: %v", path, err), Err: err}
	}
	tag := img.Tag
	if tag == "" {
		tag = "latest"
	}
	if err := up.m.push(ctx, c, img, path, img.Name, tag); err != nil {
		return upImage{}, err
	}
	identifier, err := ownImage(ctx, c, img.Name+"@"+img.Digest)
	if err != nil {
		return upImage{}, err
	}
	return upImage{identifier: identifier, kind: types.ImageRepositoryTypeEcr, title: img.Name, config: config}, nil
}

// fromName resolves a name to an image of the server's registry if it has one,
// and otherwise to another registry's. What a name without a registry means beyond that
// the server decides.
func (up *upCommand) fromName(ctx context.Context, c *client.Client, image string) (upImage, error) {
	ref, err := name.ParseReference(image)
	if err != nil {
		return upImage{}, &client.Problem{
			Text: fmt.Sprintf("%q is neither a file or directory nor the name of an image or a service", image),
			Hint: "An image's name is like nginx, shop:1.0 or registry.example.com/shop@sha256:...",
			Err:  err,
		}
	}
	title := ref.Context().RepositoryStr()
	own, elsewhere := c.Registry.Own(image)
	if elsewhere {
		return upImage{identifier: qualified(ref), kind: types.ImageRepositoryTypeEcrPublic, title: title}, nil
	}
	digest, err := c.Registry.Digest(ctx, own)
	if err != nil {
		return upImage{}, err
	}
	if digest == "" {
		return upImage{identifier: image, complete: qualified(ref), kind: types.ImageRepositoryTypeEcrPublic, title: title}, nil
	}
	config, err := c.Registry.Config(ctx, own)
	if err != nil {
		return upImage{}, err
	}
	if !strings.Contains(own, "@") {
		repository, tag := client.SplitName(own)
		own = repository + ":" + tag
	}
	identifier, err := ownImage(ctx, c, own)
	if err != nil {
		return upImage{}, err
	}
	return upImage{identifier: identifier, kind: types.ImageRepositoryTypeEcr, title: title, config: config}, nil
}

// sayComplete says what the server has made of a name without a registry.
func (up *upCommand) sayComplete(p *term.Progress, d desired, svc *types.Service) {
	if svc == nil || svc.SourceConfiguration == nil || svc.SourceConfiguration.ImageRepository == nil {
		return
	}
	if is := aws.ToString(svc.SourceConfiguration.ImageRepository.ImageIdentifier); d.image != "" && is != d.image {
		p.Say(term.Plain, "%s is %s", d.image, is)
	}
}

// from names the image after a word, for people; "" for code.
func (d desired) from(word string) string {
	if d.code != nil {
		return ""
	}
	return word + shortImage(d.image)
}

// pinned reports whether the source can't change by itself.
func (d desired) pinned() bool {
	return d.code != nil && d.repository == nil || strings.Contains(d.image, "@")
}

// shortImage returns an image's name with a shortened digest.
func shortImage(identifier string) string {
	name, digest, pinned := strings.Cut(imageForPeople(identifier), "@")
	if !pinned {
		return name
	}
	return name + "@" + shortDigest(digest)
}

// ownImage returns the ECR-shaped name of an image in the server's registry.
func ownImage(ctx context.Context, c *client.Client, image string) (string, error) {
	account, err := c.Account(ctx)
	if err != nil {
		return "", err
	}
	return account + ".dkr.ecr." + c.Identity.Region + ".amazonaws.com/" + image, nil
}

// qualified returns a reference with its registry, which App Runner requires.
func qualified(ref name.Reference) string {
	return strings.Replace(ref.Name(), "index.docker.io/", "docker.io/", 1)
}
