package term

import (
	"io"

	"golang.org/x/sys/windows"
)

// understandsSequences reports whether a console understands escape sequences. Consoles
// do since Windows 10, but only after a program has asked for it.
func understandsSequences(w io.Writer) bool {
	f, ok := fileOf(w)
	if !ok {
		return false
	}
	var mode uint32
	console := windows.Handle(f.Fd())
	if windows.GetConsoleMode(console, &mode) != nil {
		return false
	}
	return windows.SetConsoleMode(console, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}
