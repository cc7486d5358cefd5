package term

import (
	"io"
	"strings"

	"golang.org/x/term"
)

// Screen is a terminal that shows one page at a time. The page lies over what was on the
// terminal before, which Close shows again.
type Screen struct {
	out     io.Writer
	keys    chan byte
	restore func()
}

// OpenScreen takes the terminal w. If in is a terminal as well, keys come at once and are
// not shown; Ctrl-C is then a key and no signal.
func OpenScreen(in io.Reader, w io.Writer) *Screen {
	s := &Screen{out: w, keys: make(chan byte, 16), restore: func() {}}
	if f, ok := fileOf(in); ok && term.IsTerminal(int(f.Fd())) {
		if was, err := term.MakeRaw(int(f.Fd())); err == nil {
			s.restore = func() { term.Restore(int(f.Fd()), was) }
			go s.readKeys(f)
		}
	}
	control(w, "\x1b[?1049h\x1b[?25l") // the other buffer, without a cursor
	return s
}

// readKeys reads until the terminal ends. It outlives the screen, if no key is pressed.
func (s *Screen) readKeys(from io.Reader) {
	for b := make([]byte, 1); ; {
		n, err := from.Read(b)
		if err != nil || n == 0 {
			return
		}
		select {
		case s.keys <- b[0]:
		default:
		}
	}
}

// Keys returns the keys that are pressed; none if they are not known.
func (s *Screen) Keys() <-chan byte { return s.keys }

// Draw shows a page instead of the last one. What the terminal has no rows for is left out
// at the end.
func (s *Screen) Draw(page string) {
	control(s.out, "\x1b[H")
	lines := strings.Split(strings.TrimSuffix(page, "\n"), "\n")
	for i, line := range lines[:min(len(lines), Height(s.out))] {
		if i > 0 {
			control(s.out, "\r\n")
		}
		io.WriteString(s.out, line)
		control(s.out, "\x1b[K")
	}
	control(s.out, "\x1b[J")
}

// Close gives the terminal back as it was.
func (s *Screen) Close() {
	control(s.out, "\x1b[?25h\x1b[?1049l")
	s.restore()
}
