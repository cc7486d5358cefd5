// Package pack turns a directory that overlayfs takes as a lower layer into the
// tar of an image's layer: the inverse of package unpack.
//
// The tar depends only on the directory, so that it need not be kept: its
// digest identifies the layer (the diff id), and its bytes are made again when they
// are needed.
//
//   - Entries come in the order of their names, a directory before what is in it.
//     The root directory has no entry.
//   - Owners are numbers. Times are modification times in whole seconds. There
//     are PAX records only for names, numbers and attributes that need them.
//   - The first name of a file with several names has its contents. The others
//     are hard links to it.
//   - A character device 0/0 is written as the whiteout ".wh.<name>", and the
//     attribute trusted.overlay.opaque of a directory as ".wh..wh..opq" in it.
//   - Extended attributes in the user namespace are kept, except user.overlay.*.
//   - Sockets and devices are left out.
//
// A name that begins with ".wh." is refused: in a layer it would be a whiteout.
//
// The directory must not change meanwhile. Its files may be hostile: the package
// opens no device or pipe and follows no symbolic link below the directory. It
// imports no package of Slipway. Drivers that implement runtime.Job call it.
package pack
