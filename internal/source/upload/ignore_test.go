package upload

import "testing"

func FuzzIgnore(f *testing.F) {
	f.Add("*.log\n!a/\n/b/**/c\n[!x-z]\\ \n[", "a/b/c")
	f.Fuzz(func(t *testing.T, text, p string) {
		if checkPath(p) != "" {
			return
		}
		for _, docker := range []bool{false, true} {
			g := ignored{levels: []level{{"", parseGitignore(text)}}}
			if docker {
				g = ignored{docker: parseDockerignore(text)}
			}
			if out, whole := g.leaveOut(p, false); whole && !out {
				t.Errorf("%q: %q is uploaded but nothing below it", text, p)
			}
		}
	})
}
