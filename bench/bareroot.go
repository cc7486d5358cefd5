package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bareRoot is a runtime's root file system in which commands run by chroot: with the
// same programs as in a build, and none of its isolation.
type bareRoot struct {
	root   string // mounted overlay
	tree   string // of the last run
	runs   int
	mounts []string // in the order in which they were made
	layers []string // of the runtime, top first
	env    []string
}

// cachesIn is where all package managers keep what they have downloaded.
const cachesIn = "/var/cache/bench"

// newBareRoot mounts the runtime of a project, as the server has made it.
func newBareRoot(l *lab, data string, p *project) (*bareRoot, error) {
	layers, err := runtimeLayers(data, p)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(l.dir, "bare-"+p.name)
	b := &bareRoot{root: filepath.Join(dir, "root"), layers: layers}
	for _, name := range []string{"upper", "work", "root"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return nil, err
		}
	}
	options := "lowerdir=" + strings.Join(layers, ":") + ",upperdir=" + dir + "/upper,workdir=" + dir + "/work"
	if err := b.mount("overlay", b.root, "overlay", 0, options); err != nil {
		return nil, err
	}
	for _, name := range []string{"proc", "dev", "etc", "tmp"} {
		if err := os.MkdirAll(filepath.Join(b.root, name), 0o755); err != nil {
			return nil, errors.Join(err, b.close())
		}
	}
	err = errors.Join(
		b.mount("proc", b.root+"/proc", "proc", 0, ""), b.mount("/dev", b.root+"/dev", "", unix.MS_BIND, ""),
		copyFile("/etc/resolv.conf", b.root+"/etc/resolv.conf"), b.emptyCaches(),
	)
	b.env = b.hostEnvironment()
	b.env = append(b.env, "HOME=/root", "PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"npm_config_cache="+cachesIn+"/npm", "GOCACHE="+cachesIn+"/go", "GOMODCACHE="+cachesIn+"/mod")
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// caIn is where commands find the host's certificates.
const caIn = "/run/slipway/ca-certificates.crt"

// hostEnvironment returns the host's way to package registries, as builds have it: its
// certificates, proxies and registries.
func (b *bareRoot) hostEnvironment() (env []string) {
	for _, file := range []string{os.Getenv("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"} {
		if os.MkdirAll(filepath.Dir(b.root+caIn), 0o755) == nil && copyFile(file, b.root+caIn) == nil {
			env = append(env, "SSL_CERT_FILE="+caIn, "NODE_EXTRA_CA_CERTS="+caIn, "npm_config_cafile="+caIn)
			break
		}
	}
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "npm_config_registry", "GOPROXY", "GOSUMDB"} {
		if value := os.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func (b *bareRoot) mount(source, target, kind string, flags uintptr, options string) error {
	if err := unix.Mount(source, target, kind, flags, options); err != nil {
		return fmt.Errorf("mount %s: %w", target, err)
	}
	b.mounts = append(b.mounts, target)
	return nil
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	os.Remove(to) // it may be a link
	return os.WriteFile(to, text, 0o644)
}

// emptyCaches has the next run begin with empty caches.
func (b *bareRoot) emptyCaches() error {
	if err := os.Rename(b.root+cachesIn, fmt.Sprintf("%s-%d", b.root+cachesIn, b.runs)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.MkdirAll(b.root+cachesIn, 0o755)
}

// run runs a command on a fresh copy of a project's files. Only the command is timed.
// The copies stay until the end: file systems make files slowly for a while after many
// were removed.
func (b *bareRoot) run(ctx context.Context, p *project, command string) (time.Duration, error) {
	b.runs++
	dir := fmt.Sprintf("/app-%d", b.runs)
	b.tree = b.root + dir
	if out, err := exec.CommandContext(ctx, "cp", "-a", p.dir, b.tree).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("copy %s: %w\n%s", p.dir, err, out)
	}
	if err := os.RemoveAll(b.tree + "/.git"); err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Dir, cmd.Env = dir, b.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: b.root}
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s, bare: %w\n%s", command, err, out)
	}
	return time.Since(began), nil
}

func (b *bareRoot) close() (err error) {
	for i := len(b.mounts) - 1; i >= 0; i-- {
		err = errors.Join(err, unix.Unmount(b.mounts[i], unix.MNT_DETACH))
	}
	b.mounts = nil
	return err
}

// runtimeLayers finds the directories of a runtime in a server's data directory, top
// first.
func runtimeLayers(data string, p *project) ([]string, error) {
	name := strings.ToLower(strings.ReplaceAll(string(p.runtime), "_", ""))
	made, err := filepath.Glob(filepath.Join(data, "runtimes", "made", name+"@*.json"))
	if err != nil || len(made) == 0 {
		return nil, errors.Join(fmt.Errorf("the runtime %s was not made", name), err)
	}
	var record struct{ Image string }
	if err := readJSON(made[0], &record); err != nil {
		return nil, err
	}
	blob := func(digest string) string {
		return filepath.Join(data, "images", "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
	}
	var manifest struct {
		Config struct{ Digest string }
	}
	var config struct {
		RootFS struct {
			IDs []string `json:"diff_ids"`
		}
	}
	if err := errors.Join(readJSON(blob(record.Image), &manifest), readJSON(blob(manifest.Config.Digest), &config)); err != nil {
		return nil, err
	}
	var layers []string
	for i := len(config.RootFS.IDs) - 1; i >= 0; i-- {
		layers = append(layers, filepath.Join(data, "images", "layers", strings.TrimPrefix(config.RootFS.IDs[i], "sha256:"), "fs"))
	}
	return layers, nil
}

func readJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// copyRuntimes links the runtimes of a data directory, and the images that they are,
// into another one: a server that starts there need not make them. Servers replace such
// files and never change them.
func copyRuntimes(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"images", "runtimes"} {
		if _, err := os.Stat(filepath.Join(from, name)); errors.Is(err, os.ErrNotExist) {
			return nil // the first run: there are none
		}
		if exec.Command("cp", "-aln", filepath.Join(from, name), to).Run() == nil {
			continue
		}
		out, err := exec.Command("cp", "-an", filepath.Join(from, name), to).CombinedOutput() // to another file system
		if err != nil {
			return fmt.Errorf("copy runtimes: %w\n%s", err, out)
		}
	}
	return os.RemoveAll(filepath.Join(to, "images", "lock")) // each server locks its own
}
