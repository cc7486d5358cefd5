package logs

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Stream identifies a stream: for instance "instance/<id>" of a service.
type Stream struct {
	Service string
	Name    string
}

// InstanceStream returns the stream of an instance's output.
func InstanceStream(service, instance string) Stream {
	return Stream{Service: service, Name: "instance/" + instance}
}

// check refuses names that do not map to a directory of their own in the store's
// directory.
func (s Stream) check() error {
	if err := checkPart(s.Service); err != nil {
		return fmt.Errorf("service of a log stream: %w", err)
	}
	parts := strings.Split(s.Name, "/")
	if len(parts) > 4 {
		return fmt.Errorf("log stream %q has more than four parts", s.Name)
	}
	for _, p := range parts {
		if err := checkPart(p); err != nil {
			return fmt.Errorf("log stream %q: %w", s.Name, err)
		}
	}
	return nil
}

func checkPart(p string) error {
	if p == "" || len(p) > 128 || p[0] == '.' {
		return fmt.Errorf("%q is empty, longer than 128 bytes or begins with a dot", p)
	}
	for _, c := range []byte(p) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return fmt.Errorf("%q holds other characters than letters, digits, '-', '_' and '.'", p)
		}
	}
	// Segments are beside streams' directories and must be distinguishable.
	if strings.HasSuffix(p, plainExt) || strings.HasSuffix(p, sealedExt) {
		return fmt.Errorf("%q ends like a segment's file name", p)
	}
	return nil
}

func (s Stream) dir(root string) string {
	return filepath.Join(root, s.Service, filepath.FromSlash(s.Name))
}
