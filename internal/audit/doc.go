// Package audit keeps a record of every call that changed something or tried to:
// who, what, when, from where and with what outcome. Records have the form of AWS
// CloudTrail's and hold no secrets. CloudTrail's LookupEvents reads them.
//
// No changed row survives a crash without its record. The record is written in
// the transaction of the call's first change, where package gateway calls Begun.
// The outcome is added soon after, in batches, so that a call needs no commit of
// its own. A call that changed no row, but may have changed something else, is
// recorded before its caller gets the reply.
//
// Records are kept for 90 days, as CloudTrail's event history is, and in a
// bounded number. What can be repeated without end is counted, in one record an hour for
// each kind: reads of secrets, denied reads, refused signatures, logins at the registry.
// Otherwise a flood of them would push out the records of what it is to hide. Of callers
// that nobody knows only the number is kept. Other calls that only read are not recorded.
package audit
