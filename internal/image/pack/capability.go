package pack

import "encoding/binary"

// AttributeCapability is the extended attribute that holds a file's capabilities.
const AttributeCapability = "security.capability"

// Forms of the attribute, struct vfs_cap_data and vfs_ns_cap_data of <linux/capability.h>.
const (
	capabilityRevision = 0xff000000 // a mask of the first word
	revision2, size2   = 0x02000000, 20
	revision3, size3   = 0x03000000, 24 // the same, and root's id in the initial user namespace
)

// PlainCapability returns file capabilities in the form that any user namespace's root
// owns, as images have them. A file that was given them in a user namespace names its
// root, which must be rootID. It returns false for anything else: the kernel would
// take it for no capability, or for another namespace's.
func PlainCapability(value string, rootID uint32) (plain string, ok bool) {
	b := []byte(value)
	if len(b) != size2 && len(b) != size3 {
		return "", false
	}
	switch magic := binary.LittleEndian.Uint32(b); {
	case magic&capabilityRevision == revision2 && len(b) == size2:
		return value, true
	case magic&capabilityRevision == revision3 && len(b) == size3:
		if binary.LittleEndian.Uint32(b[size2:]) != rootID {
			return "", false
		}
		binary.LittleEndian.PutUint32(b, magic&^capabilityRevision|revision2)
		return string(b[:size2]), true
	}
	return "", false
}
