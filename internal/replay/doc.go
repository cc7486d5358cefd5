// Package replay holds recorded HTTP exchanges of AWS's clients and replays
// them, so that what the clients need is tested on machines that have none of
// them.
//
// testdata has a txtar file for each client: the AWS CLI, boto3, the SDKs of Go
// and JavaScript, and Terraform's AWS provider. In each the client makes the same
// changes: it creates, updates, pauses, resumes and deletes a service, reads a
// list page by page, tags, and meets an error. The test sends each recorded
// request, signed again, to the API behind the gateway on a real database, and
// compares the answer with the recorded one. What differs between runs is
// written as a placeholder: ids, tokens, host names and the client's version.
//
//	go test ./internal/replay -update   rewrites the answers; review the diff
//	go test ./internal/replay -record   records the clients that this machine has
//
// It has no code that runs outside tests, and nothing imports it.
package replay
