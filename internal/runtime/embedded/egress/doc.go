// Package egress gives the sandboxes of the embedded runtime a way to the
// outside: a veth pair each, translated addresses (NAT) and DNS. Nothing comes
// in by it. The router reaches an instance inside its network namespace, so
// whatever is new on a link towards an instance is dropped.
//
// It starts no processes, keeps no files and knows nothing of instances but a
// name and a network namespace. The daemon sets it up and runs it; the embedded
// driver attaches and detaches.
//
// # What an instance reaches
//
// Any unicast IPv4 address by TCP, UDP or ICMP, except
//
//   - the other instances, of this daemon and of others on the machine;
//   - every address of the host, on all interfaces, but for the TCP ports in
//     Config.AllowHostPorts and DNS;
//   - loopback, link-local (169.254.0.0/16, hence the metadata services of AWS,
//     Google Cloud, Azure and others), multicast, broadcast and reserved
//     addresses, and the metadata addresses of clouds that use others;
//   - what Config.Deny names, and the private prefixes of Config.Segments. Other
//     networks behind the host are reachable: a database beside the host is what
//     many services need.
//
// A sandbox that was confined (Network.Confine) reaches the segments it was
// confined to, by the devices they name, and their name servers, and nothing
// else of the above.
//
// A refused TCP connection is reset and others are answered by ICMP, so that an
// application (say, an SDK looking for the metadata service) learns at once.
// Packets with a source address other than the leased one, with IP options, or
// of other protocols are dropped without an answer.
//
// There is no IPv6: the instance's end has no IPv6 addresses, and the host drops
// all IPv6 from the links, also from an instance that gives itself an address.
//
// # The pieces
//
// Links are point to point. An instance holds one /32 of Config.Prefix and a
// default route through the prefix's first address; the host has one route to
// the /32. There is no bridge and no ARP: both ends carry the same hardware
// address and have IFF_NOARP, so between two instances is always the host's
// routing, and its rules. The host's end is named after the lease,
// "slipway-1f" for address number 0x1f of the prefix, and its alias is the
// sandbox's name. That is all the book-keeping there is: after a crash the
// leases are read from the interfaces.
//
// One nftables table ("slipway-egress", family inet) holds all rules. They match
// interface names by prefix, so an instance needs no rule of its own, and only
// the leased address can leave a link because the reverse path of any other is
// not that link. Confined links are told apart by their device group, which is a
// hash of the segments' names: it is with the device, so a daemon that died leaves
// them confined, and the next one has only to be told which names a group stands
// for. Until then what such a link begins is dropped, without an answer, so that
// it comes again. The table is replaced in one transaction at each Setup, and
// checked by Run: somebody's "nft flush ruleset" leaves instances without rules
// until the next check, about a second later.
//
// The gateway's address is on the loopback interface, labelled "lo:slipway".
//
// # What it does to the host
//
//   - net.ipv4.ip_forward becomes 1. This holds for the whole host, and stays: a
//     host that did not forward before now forwards between all its interfaces
//     as far as its own firewall lets it.
//   - Where iptables' FORWARD chain drops packets that no rule accepts (Docker and ufw
//     set it so), no other table can overrule it. Two rules that accept the
//     links' traffic are put at that chain's head, the same for INPUT and the
//     gateway's address. This is done for the chains that iptables-nft keeps.
//     For others (iptables-legacy, firewalld, own nftables rules) a warning says
//     what to do.
//   - Connections of instances take places in the host's conntrack table, so
//     each instance has a bound on them, and on new ones a second. The bound is
//     for one instance: where hundreds are to run, net.netfilter.nf_conntrack_max
//     has to be as large as what they need together.
//
// Teardown takes it all back but for ip_forward.
//
// # DNS
//
// Instances ask the host's name servers directly, which goes on working while
// the daemon is down. Where the host's are all on loopback addresses (or reached
// by IPv6, or on a port other than 53), they ask the gateway, where Run has a
// forwarder that answers for public names only. The host's search domains are
// not passed on.
//
// # Cost
//
// Attach takes less than a millisecond. Deleting a veth pair takes the kernel some
// 20 ms with the lock of all network configuration held, therefore Detach only
// lets go: the kernel deletes the pair together with the sandbox's namespace,
// and Run deletes what is left after that. An address is not leased again before
// its old connections are out of the conntrack table.
package egress
