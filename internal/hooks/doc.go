// Package hooks delivers events to webhooks: signed, in order, until they arrive
// or a day has passed.
//
// It creates no events. The code that changes something inserts the event in the
// same transaction, and the store adds one delivery for each webhook that
// subscribes to it. So a crash loses no event. An attempt that a crash interrupts
// is made again: a receiver may get an event twice, under the same webhook-id.
//
// A webhook gets the events of one service in order: a failed event holds back
// the later ones for this webhook only. Each webhook has a few connections of its
// own, so that a slow or dead receiver delays no other.
//
// Requests follow Standard Webhooks (https://www.standardwebhooks.com). Receivers
// verify them with its libraries.
//
// A caller who may create a webhook can make this server send requests to any
// address that it can reach. They are POST requests whose body the caller does
// not choose, redirects are not followed, and only the status of a response is
// shown.
package hooks
