package detect

import (
	"encoding/json"
	"io"
	"io/fs"
	"slices"
)

// maxPackageJSON is the size of the largest package.json that is read, in bytes.
const maxPackageJSON = 1 << 20

// NodeEngines returns the versions of Node.js that engines.node of the package.json at
// the root of fsys allows, "" if it says nothing, and whether a version or the beginning
// of one may be among them. A constraint that is not understood allows every version.
func NodeEngines(fsys fs.FS, version string) (want string, allowed bool) {
	f, err := fsys.Open("package.json")
	if err != nil {
		return "", true
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return "", true
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPackageJSON))
	var p packageJSON
	if err != nil || json.Unmarshal(text, &p) != nil {
		return "", true
	}
	want = p.Engines.v["node"]
	all, ok := spans(want, npm)
	return want, want == "" || !ok || slices.ContainsFunc(all, line(version).meets)
}
