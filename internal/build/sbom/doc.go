// Package sbom lists the software in an image (a software bill of materials): it looks
// for what package managers leave in the layers of an image, and writes it as a
// CycloneDX document.
//
// It says what is installed, as far as files tell: the package databases of Debian and
// Alpine, and the records that npm, pip, RubyGems, Composer, Maven and the Go compiler
// leave beside what they install. Where a language's packages are not found installed,
// its lock file is believed instead, and the document says so. It resolves nothing,
// executes nothing and asks no registry. A program that was copied into the image
// without such a record is not listed.
//
// The files are strangers': each is opened without following links, and sizes, numbers
// and the time of a scan are bounded. A scan that met a bound says that it is
// incomplete. Only internal/build calls the package.
package sbom
