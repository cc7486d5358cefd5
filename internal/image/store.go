package image

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/atomicfile"
	"github.com/openslipway/slipway/internal/outbound"
	"github.com/openslipway/slipway/internal/room"
)

// ErrNotFound is wrapped by errors about content that the store does not have.
var ErrNotFound = errors.New("not in the image store")

// Config is what a Store needs. Dir and Log are required.
type Config struct {
	Dir string // made if missing, readable by its owner only
	Log *slog.Logger

	// Platform, such as "linux/amd64", is the one to choose from images for
	// several; this machine's if empty.
	Platform string

	// LocalHosts returns the hosts ("127.0.0.1:8070") that mean this server's
	// own registry. May be nil.
	LocalHosts func() []string

	// Aliases replace repository names before any lookup.
	Aliases []Alias

	// DockerHub lets a name without a registry's host mean Docker Hub's image if this
	// server's registry does not have the repository.
	DockerHub bool

	// Created reports whether a repository was created in this server's registry that
	// need not have images yet. Nil: none.
	Created func(repository string) (bool, error)

	// Borne reports whether something else on this server bears the name, such as a
	// service: without a registry's host it never means Docker Hub then. Nil: nothing.
	Borne func(name string) (what string, err error)

	// Credentials are by registry host ("ghcr.io", "docker.io"). For other
	// hosts Keychain is asked; nil means the Docker configuration file.
	Credentials map[string]Credential
	Keychain    authn.Keychain

	// Insecure are hosts that may be used without TLS. Loopback addresses
	// always may.
	Insecure []string

	// Reach says at which addresses registries, what they redirect to and their token
	// servers are connected to; nil: at those on the internet only. Insecure hosts and
	// those of Aliases are connected to wherever they are.
	Reach *outbound.Policy

	// Immutable tells whether an existing tag must not be moved. Nil: no tag.
	Immutable func(repository, tag string) (bool, error)

	Limits Limits
}

// Alias maps repositories to others. From matches a whole repository name with
// its host ("public.ecr.aws/nginx/nginx", "docker.io/library/redis"), or all
// names under it ("public.ecr.aws"). To replaces From; it is this server's
// registry if it begins with "local/". Only the longest match is applied. Names
// without a host match as written, and as Docker Hub's if the local registry
// does not have them.
type Alias struct{ From, To string }

// Credential is what to log in to a registry with.
type Credential struct{ User, Password string }

// Store is the image store in one directory. It is safe for concurrent use.
type Store struct {
	dir      string
	log      *slog.Logger
	platform v1.Platform
	cfg      Config
	limits   Limits
	disk     *room.Gauge
	boot     string // this boot of the machine
	lock     *os.File
	client   *transport

	downloads *semaphore.Weighted
	unpacks   *semaphore.Weighted
	flights   flights
	leases    leases
	collect   sync.Mutex // held during a collection

	// repositories guards the files below repositories/, so that a decision
	// made by reading some of them still holds when others are written.
	repositories sync.Mutex

	named sync.Map // entries that cannot be read and were named in the log

	origins sync.Mutex // held while a directory of origins is made and written to, or removed
	notes   sync.Mutex // held while a layer's note is read and written anew
}

// transport returns the transport to other registries.
func (c Config) transport() (*transport, error) {
	named := slices.Clone(c.Insecure)
	for _, a := range c.Aliases {
		if host, _, _ := strings.Cut(a.To, "/"); strings.ContainsAny(host, ".:") || host == "localhost" {
			named = append(named, host)
		}
	}
	reach, err := c.Reach.And(named...)
	if err != nil {
		return nil, fmt.Errorf("--insecure-registry or --alias: %w", err)
	}
	return newTransport(reach, c.Insecure)
}

// Open opens the store in cfg.Dir exclusively: a second Open of the directory,
// by any process, fails until Close. Open removes what an earlier process left
// unfinished.
func Open(cfg Config) (*Store, error) {
	s := &Store{dir: cfg.Dir, log: cfg.Log, cfg: cfg, limits: cfg.Limits.withDefaults(), disk: &room.Gauge{Dir: cfg.Dir}}
	if cfg.Platform == "" {
		cfg.Platform = "linux/" + runtime.GOARCH
	}
	p, err := v1.ParsePlatform(cfg.Platform)
	if err != nil {
		return nil, fmt.Errorf("platform %q: %w", cfg.Platform, err)
	}
	s.platform = *p
	if s.client, err = cfg.transport(); err != nil {
		return nil, err
	}
	s.downloads = semaphore.NewWeighted(int64(s.limits.Downloads))
	s.unpacks = semaphore.NewWeighted(int64(s.limits.Unpacks))
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("read the boot id: %w", err)
	}
	s.boot = strings.TrimSpace(string(boot))

	for _, d := range s.Dirs() {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("make image store: %w", err)
		}
	}
	if err := s.acquire(); err != nil {
		return nil, err
	}
	if err := s.sweep(); err != nil {
		s.Close()
		return nil, err
	}
	for _, add := range []func() error{s.addMembers, s.addOrigins, s.syncNames} {
		if err := add(); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// Close lets another process open the store. The store must be idle.
func (s *Store) Close() error {
	s.client.next.CloseIdleConnections()
	return s.lock.Close()
}

// Dirs returns the directories that the store needs at any time.
func (s *Store) Dirs() (dirs []string) {
	for _, d := range []string{"", "blobs", "blobs/sha256", "repositories", "images", "layers", "tmp"} {
		dirs = append(dirs, s.path(d))
	}
	return dirs
}

// path returns the path of a slash-separated name in the store.
func (s *Store) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

// acquire takes the store's lock, which ends with the process.
func (s *Store) acquire() error {
	f, err := os.OpenFile(s.path("lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("lock image store: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("image store %s is in use by another process", s.dir)
		}
		return fmt.Errorf("lock image store %s: %w", s.dir, err)
	}
	s.lock = f
	return nil
}

// syncNames has the names of all entries on disk. What is there counts as stored, and an
// earlier process may have been killed before it synced a name that it had given. The bytes
// of an entry are on disk before it gets its name. Clean directories cost nothing.
func (s *Store) syncNames() error {
	for _, d := range append(s.Dirs(), filepath.Dir(s.dir)) {
		if err := atomicfile.SyncDir(d); err != nil {
			return fmt.Errorf("sync image store: %w", err)
		}
	}
	return filepath.WalkDir(s.path("repositories"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			err = atomicfile.SyncDir(path)
		}
		if err != nil {
			s.name(path, err) // it does not stop the rest
		}
		return nil
	})
}

// sweep removes what an earlier process did not finish, and unpacked layers
// that may not have reached the disk before the machine stopped.
func (s *Store) sweep() error {
	if err := s.sweepLayers(); err != nil {
		return err
	}
	left, err := os.ReadDir(s.path("tmp"))
	if err != nil {
		return fmt.Errorf("sweep image store: %w", err)
	}
	for _, e := range left {
		if err := os.RemoveAll(s.path("tmp/" + e.Name())); err != nil {
			return fmt.Errorf("sweep image store: %w", err)
		}
	}
	if len(left) > 0 {
		s.log.Info("removed unfinished files from the image store", "count", len(left))
	}
	return nil
}
