// Package hooks delivers events to webhooks: signed, in order, until they
// arrive or a day has passed.
//
// It makes no events. Whoever changes something writes the event in the
// transaction of the change, and the store then holds one delivery for each
// webhook that wants it. So nothing is lost when the process dies, and what was
// being sent then is sent again: a receiver may get an event twice, under the
// same webhook-id.
//
// The events of one service reach a webhook one after another: one that fails
// holds back those after it, for this webhook alone. Webhooks have their own
// few connections each, so that a slow or dead receiver delays nobody else.
//
// Requests follow Standard Webhooks (https://www.standardwebhooks.com), whose
// libraries receivers use to verify them.
//
// Whoever may make a webhook makes this server send requests to any address
// that it can reach. They are POST requests with a body that the caller does
// not choose, no redirect is followed, and nothing of an answer is shown but its
// status.
package hooks
