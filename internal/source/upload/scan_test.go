package upload

import (
	"io/fs"
	"testing"
)

// On Windows, where no file has the mode, a file's beginning says whether it is a
// program.
func TestExecutable(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		system string
		mode   fs.FileMode
		head   string
		want   bool
	}{
		{"linux", 0o755, "text", true},
		{"linux", 0o644, "#!/bin/sh\n", false},
		{"darwin", 0o700, "", true},
		{"windows", 0o666, "#!/bin/sh\n", true},
		{"windows", 0o666, "\x7fELF\x02", true},
		{"windows", 0o666, "MZ", false},
		{"windows", 0o666, "", false},
	} {
		var head beginning
		for i := range len(tc.head) { // however it arrives
			head.Write([]byte{tc.head[i]})
		}
		if got := executable(tc.system, tc.mode, head); got != tc.want {
			t.Errorf("%s, %o, %q: executable is %v", tc.system, tc.mode, tc.head, got)
		}
	}
}
