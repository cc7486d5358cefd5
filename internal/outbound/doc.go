// Package outbound decides which addresses the server connects to on behalf of its
// users, and connects to them. Everything that follows an address from a user goes
// through it: webhooks, registries with their redirects and token servers, code hosts
// and repositories of code.
//
// A Policy refuses the addresses that mean something else here than on the internet:
// loopback, private, link-local, carrier-grade, benchmark, documentation, multicast and
// reserved ones, those of clouds' metadata services, IPv6 addresses that stand for such
// an IPv4 address, and every address that this host has itself. It decides when a
// connection is made, on the address that the name was resolved to: a name whose address
// changes between a check and the connection gains nothing. The operator lists what is
// meant nevertheless, with --allow-address.
//
// It limits neither time nor size of an exchange beyond that of connecting. What
// instances and builds may reach is decided by their network: runtime/embedded/egress.
package outbound
