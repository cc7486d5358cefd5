package build

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/image/pack"
	"github.com/openslipway/slipway/internal/runtime"
)

// reason returns App Runner's sentence for a failed command. Those of build and
// pre-build were seen in public logs; the others are made like them.
func reason(p Phase) string {
	name := map[Phase]string{PhasePreBuild: "pre_build", PhaseBuild: "build", PhasePreRun: "pre_run", PhasePostBuild: "post_build"}[p]
	return fmt.Sprintf("Failed to execute '%s' command.", name)
}

// cause says in one sentence or two why a command failed and what to do next.
func cause(c command, res step.Result, limits Limits, advice map[runtime.Limit]string) string {
	name := short(c.text)
	switch res.Limit {
	case runtime.LimitMemory:
		return fmt.Sprintf("%s was killed at its memory limit of %s; raise it %s.",
			name, bytesText(int64(limits.Memory)<<20), raise(advice, res.Limit))
	case runtime.LimitTime:
		return fmt.Sprintf("%s was killed at the time limit of %s; make it end by itself, or raise the limit %s.",
			name, timeText(limits.Time), raise(advice, res.Limit))
	case runtime.LimitDisk:
		return fmt.Sprintf("%s failed when its disk of %s was full; raise the limit %s.",
			name, bytesText(limits.Disk), raise(advice, res.Limit))
	case runtime.LimitPids:
		return fmt.Sprintf("%s failed with code %d, and had met its limit of %d processes and threads; let it use fewer (make -j2, say), or raise the limit %s.",
			name, res.Exit.Code, limits.Pids, raise(advice, res.Limit))
	}
	code := res.Exit.Code
	switch {
	case res.Last < 0:
		return fmt.Sprintf("It could not be started: %s.", cmp.Or(res.Exit.Reason, fmt.Sprintf("code %d", code)))
	case code == 127:
		return fmt.Sprintf("%s ended with code 127: a program in it does not exist in the runtime. %s", name, missing(c.text))
	case code == 126:
		return fmt.Sprintf("%s ended with code 126: a file in it is not executable. Run it by its interpreter (sh FILE), or set its mode in the repository (git update-index --chmod=+x FILE).", name)
	case code == 137:
		return fmt.Sprintf("%s ended with code 137: something killed it with SIGKILL.", name)
	case code == 143 || code > 128 && code < 128+65:
		return fmt.Sprintf("%s ended with code %d: signal %d ended it.", name, code, code-128)
	}
	return fmt.Sprintf("%s ended with code %d; its last lines above say why.", name, code)
}

// LimitCache is what Config.Advice calls Config.CacheBytes.
const LimitCache runtime.Limit = "cache"

// raise says how a limit can be raised.
func raise(advice map[runtime.Limit]string, l runtime.Limit) string {
	return cmp.Or(advice[l], "in the limits of builds")
}

// mistake returns an error of the user's for what the commands of a stage did to make
// their changes unfit for a layer. A stage that fails otherwise is tried again.
func mistake(err error) error {
	if n, ok := errors.AsType[*pack.NameError](err); ok {
		return slipway.Errorf(slipway.InvalidRequest,
			"The build made a file %.200q: a name that begins with \".wh.\" means a deleted file in an image. Rename or remove it in a build command.", "/"+n.Name)
	}
	if errors.Is(err, unix.ENAMETOOLONG) {
		return slipway.Errorf(slipway.InvalidRequest,
			"The build made directories so deep that their path is too long for an image (%d bytes). Remove them in a build command.", unix.PathMax)
	}
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		return slipway.Errorf(slipway.InvalidRequest,
			"The build replaced a directory in which the server shows its caches to build commands (below /var/cache), or one above it. Leave these as they are.")
	}
	return err
}

// missing says what to do about a program that does not exist.
func missing(text string) string {
	for _, manager := range []string{"yum", "dnf", "microdnf"} {
		if hasWord(text, manager) {
			return "This runtime is Debian: use apt-get update and apt-get install in place of " + manager + ". A Dockerfile FROM public.ecr.aws/amazonlinux/amazonlinux:2023 has " + manager +
				"; so have the images of corretto8, corretto11, corretto17 and corretto21 (docker.io/library/maven:3.9-amazoncorretto-17) where the server can pull them."
		}
	}
	for _, program := range []string{"pip", "python"} {
		if hasWord(text, program) {
			return fmt.Sprintf("Use %s3 in place of %s.", program, program)
		}
	}
	return "Install it in an earlier command, or correct its name."
}

func hasWord(text, word string) bool {
	for _, f := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n;&|()", r) }) {
		if f == word {
			return true
		}
	}
	return false
}

// maxShort is how much of a command a message has, in characters.
const maxShort = 80

// short returns a command for a sentence.
func short(text string) string {
	first, _, more := strings.Cut(strings.TrimSpace(text), "\n")
	if r := []rune(first); len(r) > maxShort {
		first, more = string(r[:maxShort]), true
	}
	if more {
		first += "..."
	}
	return "\"" + first + "\""
}

func timeText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
