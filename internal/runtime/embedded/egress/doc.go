// Package egress gives the sandboxes of the embedded runtime a way to the
// outside: a veth pair each, translated addresses (NAT) and DNS. It admits nothing
// from the outside: the router dials an instance inside its network namespace, so
// new connections towards an instance are dropped.
//
// It starts no processes and keeps no files. Of an instance it knows only a name
// and a network namespace. The daemon sets it up and runs it; the embedded driver
// attaches and detaches.
//
// # What an instance reaches
//
// Any unicast IPv4 address by TCP, UDP or ICMP, except
//
//   - the other instances, of this daemon and of others on the machine;
//   - every address of the host, on all interfaces, except the TCP ports in
//     Config.AllowHostPorts and DNS;
//   - loopback, link-local (169.254.0.0/16, hence the metadata services of AWS,
//     Google Cloud, Azure and others), multicast, broadcast and reserved
//     addresses, and the metadata addresses of clouds that use others;
//   - what Config.Deny names, and the private prefixes of Config.Segments. Other
//     networks behind the host are reachable, since many services need a database
//     beside the host.
//
// A sandbox that was confined (Network.Confine) reaches only its segments, through
// the devices that they name, and their name servers.
//
// A refused TCP connection is reset, and other refused packets are answered by
// ICMP, so that an application (say, an SDK looking for the metadata service)
// learns at once. Packets with a source address other than the leased one, with IP
// options, or of other protocols are dropped without an answer.
//
// There is no IPv6: the instance's end has no IPv6 addresses, and the host drops
// all IPv6 from the links, even from an instance that gives itself an address.
//
// # The pieces
//
// Links are point to point. An instance holds one /32 of Config.Prefix and a
// default route through the prefix's first address; the host has one route to
// the /32. There is no bridge and no ARP: both ends carry the same hardware
// address and have IFF_NOARP, so packets between two instances always pass the
// host's routing and its rules. The host's end is named after the lease,
// "slipway-1f" for address number 0x1f of the prefix, and its alias is the
// sandbox's name. There are no other records: after a crash the leases are read
// from the interfaces.
//
// One nftables table ("slipway-egress", family inet) holds all rules. They match
// interface names by prefix, so an instance needs no rule of its own. Only the
// leased address can leave a link, because the reverse path of any other address is
// not that link. A confined link is known by its device group, a hash of the
// segments' names. The device holds the group, so links stay confined when the
// daemon dies; the next daemon only needs to learn which names a group stands for.
// Until then new connections of such a link are dropped without an answer, so that
// the sender retries. Each Setup replaces the table in one transaction, and Run
// checks it when the kernel tells of a change: after somebody's "nft flush ruleset"
// instances have no rules for a second at most. Run also tells (Watch) of links that may
// have lost something; who has the sandbox's namespace mends them (Mend).
//
// The gateway's address is on the loopback interface, labelled "lo:slipway".
//
// # What it does to the host
//
//   - net.ipv4.ip_forward becomes 1, for the whole host, and stays so. A host that
//     did not forward before now forwards between all its interfaces, as far as
//     its own firewall allows.
//   - Where iptables' FORWARD chain drops packets that no rule accepts (Docker and ufw
//     set it so), no other table can overrule it. Two rules that accept the
//     links' traffic are inserted at the head of that chain, and the same for INPUT
//     and the gateway's address. This is done for the chains of iptables-nft.
//     For others (iptables-legacy, firewalld, the owner's nftables rules) a warning
//     says what to do.
//   - Connections of instances take entries of the host's conntrack table, so each
//     instance has a limit on connections and on new ones a second. The limit is
//     for one instance: a host of hundreds needs a net.netfilter.nf_conntrack_max
//     that is large enough for all of them.
//
// Teardown undoes all of it except ip_forward.
//
// # DNS
//
// Instances query the host's name servers directly, which works while the daemon is
// down. If all of these are on loopback addresses (or reached by IPv6, or on a port
// other than 53), instances query the gateway, where Run has a forwarder that
// answers only for public names. The host's search domains are
// not passed on.
//
// # Cost
//
// Attach takes less than a millisecond. Deleting a veth pair takes the kernel some
// 20 ms under the lock of all network configuration. Detach therefore deletes
// nothing: the kernel deletes the pair together with the sandbox's namespace, and
// Run deletes what is left. An address is leased again only after its old
// connections have left the conntrack table.
package egress
