// Package httplimit bounds what clients cost an HTTP server before it knows who they
// are: how many connections they have, and how long a body may take to come and an answer
// to be taken.
//
// It decides nothing about requests. The daemon puts it around its listeners and around
// the handler of the API's address; the router's engine has times of its own. Handlers
// that take long bodies set their own deadlines with http.ResponseController, which then
// count instead.
package httplimit
