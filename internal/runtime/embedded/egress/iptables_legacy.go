package egress

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The older iptables keeps its rules outside of nftables, and its interface
// reads and replaces whole tables only. It is read here, to be able to say that
// it is in the way; rules are left to its own program.

const (
	legacyTables = "/proc/net/ip_tables_names"

	getInfo    = 64 // IPT_SO_GET_INFO
	getEntries = 65 // IPT_SO_GET_ENTRIES

	hookForward = 2 // NF_INET_FORWARD

	legacyName     = 32 // bytes of a table's name
	legacyHeader   = 40 // bytes of struct ipt_get_entries before the entries
	targetOffsetAt = 88 // in struct ipt_entry: where its target is
	verdictAt      = 32 // in a standard target, after its header
	legacyDrop     = -1 // -NF_DROP - 1

	maxLegacySize = 64 << 20
)

// legacyInfo is the kernel's struct ipt_getinfo.
type legacyInfo struct {
	Name       [legacyName]byte
	ValidHooks uint32
	HookEntry  [5]uint32
	Underflow  [5]uint32 // by hook, where in the entries its policy is
	NumEntries uint32
	Size       uint32 // of the entries, in bytes
}

// legacyDrops reports whether iptables-legacy drops forwarded packets that no
// rule of it accepts.
func legacyDrops() (bool, error) {
	// Asking for a table would make it, so ask only for one that is there.
	names, err := os.ReadFile(legacyTables)
	if os.IsNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("list the tables of iptables-legacy: %w", err)
	}
	if !slices.Contains(strings.Fields(string(names)), iptablesTable) {
		return false, nil
	}
	info, entries, err := readLegacy(iptablesTable)
	if err != nil {
		return false, fmt.Errorf("read table %s of iptables-legacy: %w", iptablesTable, err)
	}
	if info.ValidHooks&(1<<hookForward) == 0 {
		return false, nil
	}
	verdict, ok := legacyVerdict(entries, info.Underflow[hookForward])
	return ok && verdict == legacyDrop, nil
}

// readLegacy returns a table as the kernel has it.
func readLegacy(name string) (legacyInfo, []byte, error) {
	var info legacyInfo
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return info, nil, err
	}
	defer unix.Close(fd)

	b := make([]byte, unsafe.Sizeof(info))
	copy(b, name)
	if err := getsockopt(fd, getInfo, b); err != nil {
		return info, nil, err
	}
	if _, err := binary.Decode(b, binary.NativeEndian, &info); err != nil {
		return info, nil, err
	}
	if info.Size > maxLegacySize {
		return info, nil, fmt.Errorf("it has %d bytes, %d at most", info.Size, maxLegacySize)
	}
	b = make([]byte, legacyHeader+info.Size)
	copy(b, name)
	binary.NativeEndian.PutUint32(b[legacyName:], info.Size)
	if err := getsockopt(fd, getEntries, b); err != nil { // EAGAIN: it has changed meanwhile
		return info, nil, err
	}
	return info, b[legacyHeader:], nil
}

// getsockopt asks with, and reads into, a buffer. Package unix has no such form.
func getsockopt(fd, option int, b []byte) error {
	size := uint32(len(b))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_IP, uintptr(option),
		uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// legacyVerdict returns the verdict of the entry at an offset, if it has a
// standard target, as a policy has.
func legacyVerdict(entries []byte, at uint32) (int32, bool) {
	number := func(offset, length uint64) ([]byte, bool) {
		if offset+length > uint64(len(entries)) {
			return nil, false
		}
		return entries[offset : offset+length], true
	}
	b, ok := number(uint64(at)+targetOffsetAt, 2)
	if !ok {
		return 0, false
	}
	target := uint64(at) + uint64(binary.NativeEndian.Uint16(b))
	if b, ok = number(target+verdictAt, 4); !ok {
		return 0, false
	}
	return int32(binary.NativeEndian.Uint32(b)), true
}
