package logs

import (
	"errors"
	"log/slog"
	"sync"

	"golang.org/x/sys/unix"
)

// passer passes over what cannot be read: one damaged directory, segment or block does not
// keep the lines of others from being read, written and limited.
type passer struct {
	log *slog.Logger

	mu   sync.Mutex
	told map[string]bool // by path, what was named
}

// maxTold bounds what a passer remembers; it then names paths again.
const maxTold = 1000

// over returns nil if what is at the path is passed over. It is named once. It returns the
// error while this process has no descriptors or memory: what is there can be read later. A
// nil passer passes over nothing.
func (p *passer) over(path string, err error) error {
	if p == nil {
		return err
	}
	for _, lack := range []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM} {
		if errors.Is(err, lack) {
			return err
		}
	}
	p.mu.Lock()
	told := p.told[path]
	if len(p.told) >= maxTold {
		clear(p.told)
	}
	p.told[path] = true
	p.mu.Unlock()
	if !told {
		p.log.Warn("a part of the logs cannot be read: passed over", "path", path, "err", err)
	}
	return nil
}
