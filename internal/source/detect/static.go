package detect

import "strings"

// seeStatic looks for a site of files that nothing builds. Front matter shows a page
// that a generator of sites reads.
func seeStatic(s *scan) (manifest, program string) {
	if name := s.first("index.html", "public/index.html", "dist/index.html", "site/index.html", "docs/index.html"); name != "" && !strings.HasPrefix(s.text(name), "---") {
		return name, name
	}
	return "", ""
}

// planStatic serves the files with a program of Node.js, as App Runner has no runtime
// for files.
func (s *scan) planStatic() error {
	s.use(runtimes("nodejs")[0], "files need a server, and Node.js has one")
	dir := "."
	for _, d := range []string{"public", "dist", "site", "docs"} {
		if !s.has("index.html") && s.has(d+"/index.html") {
			dir = d
			break
		}
	}
	if dir == "." {
		s.warn("Every file of the source directory is served: move the site into public if it has files that are not for everybody.")
	}
	if s.honour() {
		s.File.Build = []string{"node --version"}
		return nil
	}
	s.serveFiles(dir, "the site is in "+dir, false)
	return nil
}
