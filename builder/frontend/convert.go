package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/openslipway/slipway/internal/build/docker/graph"
)

// maxWarnings is how many remarks about a Dockerfile are passed on.
const maxWarnings = 20

// convert answers a request. A mistake in the Dockerfile is part of the answer.
func convert(ctx context.Context, r graph.Request) (graph.Answer, error) {
	platform, err := platforms.Parse(r.Platform)
	if err != nil {
		return graph.Answer{}, err
	}
	images := &images{known: r.Images, platform: platform}
	warnings := laterStages(r)
	caps := pb.Caps.CapSet(pb.Caps.All())
	source := llb.NewSourceMap(nil, r.Name, "Dockerfile", r.Dockerfile)
	res, err := dockerfile2llb.Dockerfile2LLB(ctx, r.Dockerfile, dockerfile2llb.ConvertOpt{
		Config: dockerui.Config{
			BuildArgs: r.Args, Target: r.Target, BuildPlatforms: []ocispecs.Platform{platform},
		},
		TargetPlatform: &platform, MetaResolver: images, LLBCaps: &caps, SourceMap: source,
		Warn: func(_, _, _, message string, location []parser.Range) {
			if len(warnings) < maxWarnings {
				warnings = append(warnings, place(r.Name, location)+message)
			}
		},
	})
	// With an image unknown, a mistake may be one only of its stand-in.
	if wanted := images.missing(); len(wanted) > 0 && !refused(err) {
		return graph.Answer{Wanted: wanted}, nil
	}
	if err != nil {
		return graph.Answer{Error: failure(err)}, nil
	}
	g, err := newWalk(ctx, res.State, platform)
	if err != nil {
		return graph.Answer{}, err
	}
	a := graph.Answer{Steps: g.steps, Result: g.result, Warnings: warnings}
	a.Config.Container, err = json.Marshal(res.Image.Config)
	return a, err
}

// laterStages warns of each FROM with the name of a stage that is below it: it means an
// image, as for Docker, since a stage is built on those above it only.
func laterStages(r graph.Request) (warnings []string) {
	parsed, err := parser.Parse(bytes.NewReader(r.Dockerfile))
	if err != nil {
		return nil // the conversion says so
	}
	stages, _, err := instructions.Parse(parsed.AST, linter.New(&linter.Config{}))
	if err != nil {
		return nil
	}
	named := func(list []instructions.Stage, name string) bool {
		return slices.ContainsFunc(list, func(s instructions.Stage) bool { return strings.EqualFold(s.Name, name) })
	}
	for i, s := range stages {
		if !named(stages[:i], s.BaseName) && named(stages[i+1:], s.BaseName) && len(warnings) < maxWarnings {
			warnings = append(warnings, fmt.Sprintf("%sFROM %s means the image %[2]s, not the stage %[2]s, which is below it", place(r.Name, s.Location), s.BaseName))
		}
	}
	return warnings
}

func place(name string, location []parser.Range) string {
	if len(location) == 0 {
		return name + ": "
	}
	return fmt.Sprintf("%s:%d: ", name, location[0].Start.Line)
}

// parseError begins BuildKit's messages of mistakes whose line is told anyway.
var parseError = regexp.MustCompile(`^dockerfile parse error on line \d+: `)

// failure describes a mistake in a Dockerfile.
func failure(err error) *graph.Failure {
	f := &graph.Failure{Message: parseError.ReplaceAllString(err.Error(), "")}
	var at *parser.LocationError
	if errors.As(err, &at) && len(at.Locations) > 0 && len(at.Locations[0]) > 0 {
		f.Line = at.Locations[0][0].Start.Line
	}
	return f
}

// images answers for the registry.
type images struct {
	known    map[string]graph.Image
	platform ocispecs.Platform

	mu     sync.Mutex // guards wanted
	wanted []graph.Wanted
}

func (i *images) missing() []graph.Wanted {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.wanted
}

// platformError refuses an image for another platform.
type platformError struct{ wants, is string }

func (e *platformError) Error() string {
	return fmt.Sprintf("the stage is for the platform %s, and this server builds and runs %s only", e.wants, e.is)
}

func refused(err error) bool {
	_, ok := errors.AsType[*platformError](err)
	return ok
}

// ResolveImageConfig returns the configuration of an image. For one that is not known
// it returns a stand-in.
func (i *images) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	if opt.ImageOpt != nil && opt.ImageOpt.Platform != nil {
		if err := i.check(*opt.ImageOpt.Platform); err != nil {
			return "", "", nil, err
		}
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", "", nil, err
	}
	// The short form: Slipway looks such names up in its own registry first.
	name := reference.FamiliarString(named)
	if img, ok := i.known[name]; ok {
		return ref, digest.Digest(img.Digest), img.Config, nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.wanted = append(i.wanted, graph.Wanted{Name: name})
	standIn := ocispecs.Image{Platform: i.platform}
	standIn.RootFS.Type = "layers"
	standIn.RootFS.DiffIDs = []digest.Digest{digest.FromString(name)}
	text, err := json.Marshal(standIn)
	return ref, "", text, err
}

// check refuses other platforms.
func (i *images) check(p ocispecs.Platform) error {
	if platforms.Only(i.platform).Match(p) {
		return nil
	}
	return &platformError{wants: platforms.Format(p), is: platforms.Format(i.platform)}
}
