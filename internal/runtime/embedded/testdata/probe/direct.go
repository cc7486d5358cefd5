package main

import (
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// direct reads or writes MiB of a file past the page cache, "read 8" or "write 8". A file
// to read is made first, and "begin" printed.
func direct(args []string) {
	const name = "/direct"
	n, err := strconv.Atoi(args[1])
	if err != nil {
		say("direct", nil, err)
		return
	}
	block := aligned(1 << 20)
	flags := os.O_RDWR | os.O_CREATE | unix.O_DIRECT
	f, err := os.OpenFile(name, flags, 0o600)
	if err != nil {
		say("direct", nil, err)
		return
	}
	if args[0] == "read" {
		for range n {
			if _, err = f.Write(block); err != nil {
				say("make", nil, err)
				return
			}
		}
	}
	say("begin", args[0], nil)
	for i := range n {
		if args[0] == "read" {
			_, err = f.ReadAt(block, int64(i)<<20)
		} else {
			_, err = f.WriteAt(block, int64(i)<<20)
		}
		if err != nil {
			break
		}
	}
	say("direct", "ok", err)
}

// aligned returns memory that begins at a page.
func aligned(size int) []byte {
	b := make([]byte, size+os.Getpagesize())
	off := int(uintptr(unsafe.Pointer(&b[0])) % uintptr(os.Getpagesize()))
	return b[os.Getpagesize()-off:][:size]
}
