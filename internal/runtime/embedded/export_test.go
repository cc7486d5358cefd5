package embedded

import "slices"

// SliceName is the cgroup of all sandboxes of the driver on a directory.
var SliceName = sliceName

// Blanks returns how many blank sandboxes a driver has ready.
func Blanks(d *Driver) int {
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	return len(d.pool.blanks)
}

// Prepared returns the sandboxes that a driver has ready with an image.
func Prepared(d *Driver, image string) (names []string) {
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	for _, s := range d.pool.prepared {
		if s.rootfs.image == image {
			names = append(names, s.name)
		}
	}
	return names
}

// AdmitPeers makes an instance's routes to the router again, as a new daemon does.
func AdmitPeers(d *Driver, id string) error { return admitPeers(d.instance(id).process.netns, d.home) }

// Sockets returns the descriptors of the sockets to reach an instance that are not connected.
func Sockets(d *Driver, id string) (fds []int) {
	s := &d.instance(id).process.sockets
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range s.idle {
		fds = append(fds, list...)
	}
	slices.Sort(fds)
	return fds
}

// Review has a driver's pool look for sandboxes whose image is gone.
func Review(d *Driver) { d.pool.review() }

// SandboxOf returns the sandbox that became an instance.
func SandboxOf(d *Driver, id string) string { return d.instance(id).spec.Sandbox }

// WithoutLandlock has a driver start instances and jobs without that layer.
func WithoutLandlock(d *Driver) { d.landlock = landlock{} }

// Landlock returns the rights and scopes for a version of the kernel's interface.
func Landlock(abi int) (access, scopes uint64) {
	l := landlockOf(abi)
	return l.access, l.scopes
}

// LandlockABI is the version that this kernel has.
var LandlockABI = landlockABI

// StandardHosts are the entries of every instance's /etc/hosts.
const StandardHosts = standardHosts

// WithProfile has a driver start instances and jobs in a profile of AppArmor, whether the
// kernel has it or not.
func WithProfile(d *Driver, name string) { d.cfg.Profile = name }

// HoldSockets returns how many sockets to reach an instance are not connected, also after the
// instance has ended.
func HoldSockets(d *Driver, id string) func() int {
	s := &d.instance(id).process.sockets
	return func() (n int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.closed {
			n++ // it would keep what is put into it
		}
		for _, list := range s.idle {
			n += len(list)
		}
		return n
	}
}
