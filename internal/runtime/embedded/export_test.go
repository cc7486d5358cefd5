package embedded

// SliceName is the cgroup of all sandboxes of the driver on a directory.
var SliceName = sliceName
