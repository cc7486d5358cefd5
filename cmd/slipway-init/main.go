// Command slipway-init is the first process of a sandbox. It is no command for
// people: slipway embeds it and starts it. See package sandboxinit.
package main

import "github.com/openslipway/slipway/internal/runtime/embedded/sandboxinit"

func main() { sandboxinit.Main() }
