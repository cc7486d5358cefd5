package repository

import (
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/source/config"
	"github.com/openslipway/slipway/internal/source/detect"
)

// checkEngines refuses a runtime-version that engines.node of package.json does not
// allow, as App Runner does. A runtime without a version gives a warning only.
// https://docs.aws.amazon.com/apprunner/latest/dg/service-source-code-nodejs.html
func checkEngines(dir, directory string, file config.File, output func(line string)) error {
	rt, ok := config.RuntimeNamed(file.Runtime)
	if !ok || rt.Language != "nodejs" {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open source code: %w", err)
	}
	defer root.Close()
	sub, err := root.OpenRoot(path.Join(".", directory))
	if err != nil {
		return fmt.Errorf("open the source directory: %w", err)
	}
	defer sub.Close()
	version := file.RuntimeVersion
	if version == "" {
		version = rt.Lines[0]
	}
	want, allowed := detect.NodeEngines(sub.FS(), version)
	switch {
	case allowed:
		return nil
	case file.RuntimeVersion == "":
		output(fmt.Sprintf("[AppRunner] warning: package.json wants Node.js %q (engines.node), and the runtime is %s.", short(want), rt.Name))
		return nil
	}
	return slipway.Errorf(slipway.InvalidRequest,
		"The runtime-version %s conflicts with engines.node of package.json, which is %q. Make them agree.", version, short(want))
}

// short keeps what a repository says within a message.
func short(text string) string { return strings.ToValidUTF8(text[:min(len(text), 80)], "") }
