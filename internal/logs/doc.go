// Package logs stores the output of applications and returns it by time, by tail
// and live.
//
// Store keeps lines in plain files that grep can read. Collector fills it from a
// runtime driver, Access with the access logs of services that the router hands it; the
// cloudwatch package reads it. Line and Query are also the
// form in which other sources of lines are read: a service's events and the lines
// of its deployments are rows of the store, written in the transaction that they
// tell of (docs/adr/021-home-of-logs.md).
//
// # On disk
//
// A stream is a directory, <dir>/<service>/<stream name>, of segments. A
// segment is named after the time of its first line in nanoseconds and holds
// one line per line:
//
//	2026-11-24T00:01:02.123456789Z o 4711 GET /index.html 200
//	2026-11-24T00:01:02.123460000Z e 4760-12 a warning
//
// time, kind (o stdout, e stderr, n a notice of Slipway; a capital letter if the
// text continues in the next line of that kind), position, text. Lines are
// appended to the newest segment of a stream. Closed ones become <name>.log.zst:
// independent zstd frames with an index in a last, skippable frame, which zstdgrep
// reads too.
//
// Times never go down within a stream. Segment names, the index of a closed
// segment and a binary search in the open one find a time without reading the
// lines before it. No index is kept in memory.
//
// # Position
//
// The position in a line is where to continue to read the instance's output after
// it. It is written together with the line, so that kill -9 neither loses nor
// duplicates lines. 4760-12 means that this line ended at 4760, and that an
// unfinished line of the other kind had begun 12 bytes earlier. An incomplete last
// line is removed before the next one is appended. Segments are synced only when
// they are compressed: a power loss may lose the last seconds.
//
// # Bounds
//
// A line has at most MaxLine bytes; longer lines are split. A service's segments
// are limited in size and age, and all services together in size. The oldest
// segments are removed first; for the total, those of the largest service. The
// driver drops output that exceeds the collector's rate; a notice gives the number
// of bytes. A line counts 64 bytes beside its text, so that empty ones are no way around
// the rate, and instances that exceed theirs share one. If the disk is full, lines are
// dropped and counted. Neither blocks the fleet.
//
// An access log has the same rate and at most half of its service's bytes. Lines wait in
// memory of a bounded size to be written; what exceeds it is dropped and counted, so that
// no request waits for the disk.
package logs
