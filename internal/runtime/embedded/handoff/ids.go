package handoff

// Ids of a sandbox. The first 65,536 users and groups are the sandbox's own on the host,
// where no other sandbox has them. Those above exist too, up to what Docker accepts:
// images of OpenShift run as user 1000680000, and archives made elsewhere hold files
// of such users. There is no room on the host for so many in each sandbox. They share
// the upper half of the host's ids, which nothing else uses (adduser, /etc/subuid,
// systemd and directory services all stay below), turned by another distance for each
// sandbox, so that the same user of two sandboxes is not the same user of the host.
//
// Sharing is harmless: files, processes, sockets and IPC of two sandboxes never meet, and
// an id of this half has no rights on the host.
const (
	OwnIDs = 65536

	// MaxID is the largest id that a sandbox has.
	MaxID = 1<<31 - 1

	sharedIDs   = MaxID + 1 - OwnIDs
	firstShared = 1 << 31 // on the host
)

// IDMap maps Count ids of a sandbox, from Inside, to ids of the host, from Host.
type IDMap struct{ Inside, Host, Count uint32 }

// IDMaps returns the ids of a sandbox whose id 0 is first on the host. The sandbox's own
// ids are in the first element.
func IDMaps(first uint32) []IDMap {
	const spread = 1_640_531_527 // neighbours are turned far from each other
	turn := uint32(uint64(first/OwnIDs) * spread % sharedIDs)
	maps := []IDMap{{0, first, OwnIDs}, {OwnIDs, firstShared + turn, sharedIDs - turn}}
	if turn > 0 {
		maps = append(maps, IDMap{OwnIDs + sharedIDs - turn, firstShared, turn})
	}
	return maps
}

// Inside returns the id of the sandbox that is this id of the host, and whether there
// is one.
func Inside(maps []IDMap, host uint32) (id uint32, ok bool) {
	for _, m := range maps {
		if host >= m.Host && host-m.Host < m.Count {
			return m.Inside + host - m.Host, true
		}
	}
	return 0, false
}
