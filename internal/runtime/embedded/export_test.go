package embedded

// SliceName is the cgroup of all sandboxes of the driver on a directory.
var SliceName = sliceName

// Blanks returns how many blank sandboxes a driver has ready.
func Blanks(d *Driver) int {
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	return len(d.pool.blanks)
}
