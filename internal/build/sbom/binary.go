package sbom

import (
	"archive/zip"
	"debug/buildinfo"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path"
	"regexp"
	"strings"
)

// goProgram returns the modules that a program was built from, if the Go compiler built
// it. Package debug/buildinfo is bounded in what it reads, but reads strangers' files.
func goProgram(f *os.File) (list []Component) {
	defer func() {
		if recover() != nil {
			list = nil
		}
	}()
	info, err := buildinfo.Read(f)
	if err != nil {
		return nil
	}
	list = append(list, Component{Type: "golang", Name: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")})
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		if m.Version != "" { // a replacement by a directory has none
			list = append(list, golang(m.Path, m.Version))
		}
	}
	return list
}

const (
	maxDirectory = 4 << 20 // bytes of a jar's directory
	maxJarFiles  = 2000    // records of packages that are read in a jar
	maxRecord    = 64 << 10
)

var errJar = errors.New("the archive has too large a directory, or none")

// jar returns the packages that Maven has recorded in a jar, and those that the names of
// jars in it tell.
func jar(r io.ReaderAt, size int64, name string) (list []Component, err error) {
	if !hasSmallDirectory(r, size) {
		return nil, errJar
	}
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, err
	}
	recorded := 0
	for _, f := range z.File {
		switch {
		case strings.HasPrefix(f.Name, "META-INF/maven/") && path.Base(f.Name) == "pom.properties" && recorded < maxJarFiles:
			recorded++
			if c, ok := properties(f); ok {
				list = append(list, c)
			}
		case strings.HasSuffix(f.Name, ".jar"):
			if c, ok := jarName(path.Base(f.Name)); ok {
				list = append(list, c)
			}
		}
	}
	if recorded == 0 {
		if c, ok := jarName(name); ok {
			list = append(list, c)
		}
	}
	return list, nil
}

// hasSmallDirectory reports whether the list of an archive's files is small enough to be
// read: package zip reads all of it into memory, from where the archive's last record
// says that it begins.
func hasSmallDirectory(r io.ReaderAt, size int64) bool {
	const record = 22
	tail := make([]byte, min(size, record+64<<10))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	for i := len(tail) - record; i >= 0; i-- {
		if binary.LittleEndian.Uint32(tail[i:]) != 0x06054b50 {
			continue
		}
		length, start := int64(binary.LittleEndian.Uint32(tail[i+12:])), int64(binary.LittleEndian.Uint32(tail[i+16:]))
		// Without the 64 bit form, whose numbers are elsewhere.
		return length <= maxDirectory && start <= size && size-start <= maxDirectory+int64(len(tail))
	}
	return false
}

// properties reads Maven's record of a package.
func properties(f *zip.File) (c Component, ok bool) {
	r, err := f.Open()
	if err != nil {
		return c, false
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxRecord))
	if err != nil {
		return c, false
	}
	c.Type = "maven"
	for line := range lines(data) {
		key, value, _ := strings.Cut(line, "=")
		switch value = strings.TrimSpace(value); strings.TrimSpace(key) {
		case "groupId":
			c.Namespace = value
		case "artifactId":
			c.Name = value
		case "version":
			c.Version = value
		}
	}
	return c, c.Name != "" && c.Version != ""
}

var jarForm = regexp.MustCompile(`^(.+?)-([0-9][A-Za-z0-9._+-]*)\.jar$`)

// jarName takes name and version from the name of a jar.
func jarName(name string) (Component, bool) {
	m := jarForm.FindStringSubmatch(name)
	if m == nil {
		return Component{}, false
	}
	return Component{Type: "maven", Name: m[1], Version: m[2]}, true
}
