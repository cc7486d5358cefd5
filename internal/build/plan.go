package build

import (
	"github.com/openslipway/slipway/internal/source/config"
)

// Phase is what a line of a build's log comes from, as App Runner's logs name it.
type Phase string

// Phases in the order in which they run.
const (
	PhaseService   Phase = "AppRunner" // the service itself
	PhasePreBuild  Phase = "PreBuild"
	PhaseBuild     Phase = "Build"
	PhasePreRun    Phase = "PreRun"
	PhasePostBuild Phase = "PostBuild"
)

// command is one command of a build.
type command struct {
	phase Phase
	text  string
}

// stage is commands on one root file system. A stage without commands adds nothing.
type stage struct {
	commands []command
	on       int  // index of the stage that it continues; onSource for none
	app      bool // it has only /app of that stage
	discard  bool // its changes are dropped
}

// onSource is the stage before the first: the source tree over the runtime.
const onSource = -1

// plan returns the stages of a build in order, and the index of the one that becomes
// the image. A program is taken of the build stage, whatever the kind.
func plan(f config.File, kind config.BuildKind, mode Mode, program bool) (stages []stage, result int) {
	pre, build := commands(PhasePreBuild, f.PreBuild), commands(PhaseBuild, f.Build)
	preRun, post := commands(PhasePreRun, f.PreRun), commands(PhasePostBuild, f.PostBuild)
	first := stage{commands: append(pre, build...), on: onSource}
	last := stage{commands: post, on: 0, discard: true}
	switch {
	case mode == ModeKeep, program:
		first.commands = append(first.commands, preRun...)
		return []stage{first, last}, 0
	case kind == config.OriginalBuild:
		return []stage{first, {commands: append(build, preRun...), on: 0, app: true}, last}, 1
	}
	return []stage{first, {commands: preRun, on: 0, app: true}, last}, 1
}

func commands(p Phase, texts []string) []command {
	var list []command
	for _, t := range texts {
		list = append(list, command{p, t})
	}
	return list
}
