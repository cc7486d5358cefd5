package faulttest

import "golang.org/x/sys/unix"

const architecture = unix.AUDIT_ARCH_AARCH64

// older are the calls that only other architectures have.
var older []call
