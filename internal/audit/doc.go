// Package audit keeps a record of every call that changed something or tried
// to: who, what, when, from where and with what outcome, in the shape of AWS
// CloudTrail's records and without secrets. CloudTrail's LookupEvents reads
// them.
//
// No change of rows outlives a crash without its record: the record is written
// in the transaction of the call's first change (package gateway calls Begun
// there) and completed with the outcome soon after, in batches, so that a call
// costs no commit of its own. A call that changed nothing in the store, but may
// have elsewhere, is recorded before its caller is told.
//
// Records are kept for 90 days, as CloudTrail's history is, and in a bounded
// number. Reading calls are not recorded, nor are those of strangers.
package audit
