package daemon

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/openslipway/slipway/internal/ingress"
	"github.com/openslipway/slipway/internal/runtime/embedded/egress"
)

// definitions calls define for each NAME=ITEM[,ITEM...] of a flag's value. They
// are separated by semicolons or white space, so that an environment variable can
// hold several.
func definitions(value string, define func(name string, items []string) error) error {
	for _, d := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune("; \t\n", r) }) {
		name, items, ok := strings.Cut(d, "=")
		if !ok || name == "" || items == "" {
			return fmt.Errorf("it must be id=value, and %q is not", d)
		}
		if err := define(name, strings.Split(items, ",")); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

var errTwice = errors.New("it is defined twice; give all its items in one definition")

// Networks are the networks that the subnets of VPC connectors stand for, by
// subnet. It is a flag's value: ID=PREFIX[,PREFIX...][,via=DEVICE][,dns=ADDRESS].
type Networks map[string]egress.Segment

// Set implements pflag.Value.
func (n Networks) Set(value string) error {
	return definitions(value, func(subnet string, items []string) error {
		if _, twice := n[subnet]; twice {
			return errTwice
		}
		var z egress.Segment
		for _, item := range items {
			if err := addToSegment(&z, item); err != nil {
				return err
			}
		}
		if len(z.Prefixes) == 0 {
			return errors.New("it has no prefix, like 10.20.0.0/16")
		}
		n[subnet] = z
		return nil
	})
}

// String implements pflag.Value: there is no default.
func (n Networks) String() string { return "" }

// Type implements pflag.Value.
func (n Networks) Type() string { return "network" }

// Subnets returns the ids of all subnets, sorted.
func (n Networks) Subnets() []string { return slices.Sorted(maps.Keys(n)) }

func addToSegment(z *egress.Segment, item string) error {
	key, value, option := strings.Cut(item, "=")
	switch {
	case !option:
		prefix, err := netip.ParsePrefix(item)
		if err != nil || !prefix.Addr().Is4() {
			return fmt.Errorf("%q is no IPv4 prefix like 10.20.0.0/16, nor via=DEVICE, nor dns=ADDRESS", item)
		}
		if prefix != prefix.Masked() {
			return fmt.Errorf("%s has bits beyond its length; use %s", prefix, prefix.Masked())
		}
		z.Prefixes = append(z.Prefixes, prefix)
	case key == "via" && z.Via == "" && value != "":
		z.Via = value
	case key == "dns" && value == "none":
		z.NoDNS = true
	case key == "dns":
		addr, err := netip.ParseAddr(value)
		if err != nil {
			return fmt.Errorf("dns is %q; it must be an IPv4 address, or none", value)
		}
		z.Resolvers = append(z.Resolvers, addr)
	default:
		return fmt.Errorf("%q is neither a prefix, nor the one via=DEVICE, nor a dns=ADDRESS", item)
	}
	return nil
}

// Endpoints are VPC endpoints by id. It is a flag's value:
// ID=HOST:PORT[,vpc=ID][,tls].
type Endpoints map[string]ingress.Endpoint

// Set implements pflag.Value.
func (e Endpoints) Set(value string) error {
	return definitions(value, func(id string, items []string) error {
		if _, twice := e[id]; twice {
			return errTwice
		}
		if _, _, err := net.SplitHostPort(items[0]); err != nil {
			return fmt.Errorf("%q is no address like 10.0.0.5:8080", items[0])
		}
		d := ingress.Endpoint{Addr: items[0]}
		for _, item := range items[1:] {
			key, value, _ := strings.Cut(item, "=")
			switch {
			case item == "tls":
				d.TLS = true
			case key == "vpc" && value != "" && d.VPC == "":
				d.VPC = value
			default:
				return fmt.Errorf("%q is neither the one vpc=ID nor tls", item)
			}
		}
		e[id] = d
		return nil
	})
}

// secure returns the ids of those that speak TLS, sorted.
func (e Endpoints) secure() (ids []string) {
	for id, d := range e {
		if d.TLS {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// String implements pflag.Value: there is no default.
func (e Endpoints) String() string { return "" }

// Type implements pflag.Value.
func (e Endpoints) Type() string { return "endpoint" }
