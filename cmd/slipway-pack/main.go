// Slipway-pack writes the files of a release: archives, Debian packages and lists of software.
// What it writes depends on the given files only, not on the clock, the user or the
// order of directories, so that the same commit gives the same bytes.
//
//	slipway-pack tar  -out slipway.tar.gz -time 1700000000 DIR
//	slipway-pack zip  -out slipway.zip -time 1700000000 DIR
//	slipway-pack deb  -out slipway.deb -time 1700000000 -control DIR ROOT
//	slipway-pack sbom -out slipway.cdx.json -name slipway -version v1.2.3 -time 1700000000 DIR
//
// An archive holds DIR itself, and a Debian package the files below ROOT. It is run by
// scripts/dist; dpkg-deb, nfpm or syft would be needed on every machine that builds.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/openslipway/slipway/internal/atomicfile"
	"github.com/openslipway/slipway/internal/build/sbom"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("say what to write: tar, zip, deb or sbom")
	}
	f := flag.NewFlagSet("pack "+args[0], flag.ContinueOnError)
	out := f.String("out", "", "file to write")
	at := f.Int64("time", 0, "time of all files, in seconds since 1970")
	control := f.String("control", "", "directory with the control files of a Debian package")
	name := f.String("name", "slipway", "what a list of software is about")
	version := f.String("version", "", "its version")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	if *out == "" || f.NArg() != 1 {
		return fmt.Errorf("%s needs -out FILE and one directory", args[0])
	}
	dir, stamp := f.Arg(0), time.Unix(*at, 0).UTC()
	var content []byte
	var err error
	switch args[0] {
	case "tar":
		content, err = tarball(dir, stamp)
	case "zip":
		content, err = zipFile(dir, stamp)
	case "deb":
		content, err = debianPackage(*control, dir, stamp)
	case "sbom":
		content, err = software(*name, *version, stamp, dir)
	default:
		err = fmt.Errorf("there is no %q: it is tar, zip, deb or sbom", args[0])
	}
	if err != nil {
		return err
	}
	return atomicfile.Write(*out, content, 0o644)
}

// software lists what the programs in a directory are made of.
func software(name, version string, at time.Time, dir string) ([]byte, error) {
	found, err := sbom.Scan(context.Background(), []string{dir}, false)
	if err != nil {
		return nil, fmt.Errorf("list the software in %s: %w", dir, err)
	}
	var all bytes.Buffer
	for _, c := range found.Components {
		all.WriteString(c.URL() + "\n")
	}
	serial := sha256.Sum256([]byte(name + " " + version + "\n" + all.String()))
	return sbom.Document(sbom.Subject{
		Name: name, Version: version, Time: at, Serial: hex.EncodeToString(serial[:16]), Partial: found.Partial,
	}, found.Components)
}
