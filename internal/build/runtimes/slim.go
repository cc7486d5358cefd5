package runtimes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/image"
)

// slimPrefix begins the names of the records of slim images.
const slimPrefix = "slim-"

// slimCommand copies what a static program needs of a runtime to /slim.
const slimCommand = `set -e
mkdir -p /slim/etc/ssl/certs /slim/usr/share /slim/root
install -d -m 1777 /slim/tmp
for f in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
	if [ -f "$f" ]; then cp -L "$f" /slim/etc/ssl/certs/ca-certificates.crt; break; fi
done
if [ -d /usr/share/zoneinfo ]; then
	cp -a /usr/share/zoneinfo /slim/usr/share/zoneinfo
	rm -rf /slim/usr/share/zoneinfo/posix /slim/usr/share/zoneinfo/right
fi
printf 'root:x:0:0:root:/root:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n' >/slim/etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\n' >/slim/etc/group
printf 'hosts: files dns\n' >/slim/etc/nsswitch.conf
chmod 644 /slim/etc/ssl/certs/ca-certificates.crt /slim/etc/passwd /slim/etc/group /slim/etc/nsswitch.conf`

// Slim returns an image for static programs that a runtime has built: with the runtime's
// certificates and time zones, users and a /tmp, and nothing else: no shell, no
// libraries. It is made once for each image of the runtime.
func (s *Set) Slim(ctx context.Context, rt Runtime) (digest string, err error) {
	record := slimPrefix + rt.Name
	done, err := s.lock(ctx, record)
	if err != nil {
		return "", err
	}
	defer done()
	key := keyOf("slim", rt.Image, slimCommand)
	if m, ok := s.find(ctx, record, key); ok {
		return m.Image, nil
	}
	dir, err := os.MkdirTemp(s.path("work"), record+"-*")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	k := &kitchen{s, dir, func(string) {}}
	l, err := k.stage(ctx, "slim", step.Stage{Image: rt.Image, Commands: []string{slimCommand}, Env: k.env("")})
	if err != nil {
		return "", fmt.Errorf("make the image for programs of %s: %w", rt.Name, err)
	}
	if l, err = layerOf(ctx, filepath.Join(l.Dir, "slim"), l.By); err != nil {
		return "", err
	}
	img, err := s.cfg.Images.Adopt(ctx, image.Adoption{Layers: []image.NewLayer{l}, Config: image.RunConfig{Env: []string{"PATH=" + programPath}}, Created: time.Now().UTC()})
	if err != nil {
		return "", err
	}
	return img.Digest, s.record(record, Made{Key: key, Image: img.Digest, Version: rt.Version, Origin: originRecipe})
}

// record stores what has been made in place of what was there, whose image stays a while.
func (s *Set) record(name string, m Made) error {
	now := time.Now().UTC()
	m.At, m.Checked = now, now
	if old, err := s.read(name); err == nil && old.Image != m.Image {
		m.Replaced = append(old.replacedAfter(now), Replaced{Image: old.Image, At: now})
	}
	return s.store(name, m)
}
