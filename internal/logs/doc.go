// Package logs keeps what applications write and gives it back by time, by
// tail and live.
//
// Store holds lines in plain files that grep can read; Collector fills it from
// a runtime driver. Only application output is here: the lines of deployments
// and a service's events are rows in internal/store, and whoever shows both
// joins them.
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
// time, kind (o stdout, e stderr, n a notice of ours; a capital letter when
// the text goes on in the next line of that kind), position, text. The newest
// segment of a stream is appended to. Closed ones become <name>.log.zst, a row
// of independent zstd frames with an index in a last, skippable frame, so that
// zstdgrep reads them too.
//
// Times never go down within a stream. Segment names, the index of a closed
// segment and a binary search in the open one find a time without reading what
// lies before it, and nothing of it is kept in memory.
//
// # Position
//
// The position at the front of a line tells where in the instance's output to
// go on after it: it is stored with the data it belongs to, in one write, so
// that kill -9 neither loses nor doubles lines. 4760-12 says: this line ended
// at 4760, but 12 bytes before that an unfinished line of the other kind had
// begun. A torn last line is cut off before the next one is appended. Nothing
// is synced but segments as they are compressed: losing power may lose the last
// seconds.
//
// # Bounds
//
// A line is at most MaxLine bytes, longer ones are split. A service's segments
// are held to a size and an age, all services together to a size; the oldest go
// first, and in total those of the largest service. Output that comes faster
// than the collector's rate is left to the driver, which drops it; the reader
// sees a notice with the number of bytes. When the disk is full lines are
// dropped and counted. Neither ever holds up the fleet.
package logs
