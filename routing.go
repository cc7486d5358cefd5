package slipway

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// RoutingSettings are a service's settings for its requests, which App Runner's API has no
// members for. A zero field is the server's default.
type RoutingSettings struct {
	RequestTime time.Duration  // from the head of a request to the end of its response
	IdleTime    time.Duration  // of a WebSocket, or another protocol, without a byte in either direction
	MaxBody     int64          // bytes of a request's body
	AllowFrom   []netip.Prefix // of clients; others are refused
	SleepAfter  time.Duration  // without a request, after which instances are frozen; 0: never
	SlowStart   time.Duration  // in which a new instance comes to its full share of the requests; below 0: at once
	IdleCPU     int            // hundredths of a core for an instance at rest; -1: what it has otherwise
	Sticky      bool           // a client's requests go to one instance
	AccessLog   bool           // each request is written to the access log
}

const (
	maxRequestTime = 3600    // s
	maxIdleTime    = 86400   // s
	maxSlowStart   = 300     // s
	maxBodyMiB     = 1 << 20 // MiB
	maxAllowed     = 20      // prefixes
	maxIdleCPU     = 100     // hundredths of a core
)

// routingSettings are the rows of the table of settings for requests.
func routingSettings() []setting {
	return []setting{
		{
			name: "request-timeout", resource: "service", effect: EffectAtOnce,
			allowed: "the seconds that a request may take, from 1 to 3600; 120 without it, as in App Runner",
			parse: func(s *Settings, _, value string) (ok bool) {
				s.Routing.RequestTime, ok = parseSeconds(value, maxRequestTime)
				return ok
			},
		},
		{
			name: "idle-timeout", resource: "service", effect: EffectAtOnce,
			allowed: "the seconds that a WebSocket may be silent in both directions, from 1 to 86400; 3600 without it",
			parse: func(s *Settings, _, value string) (ok bool) {
				s.Routing.IdleTime, ok = parseSeconds(value, maxIdleTime)
				return ok
			},
		},
		{
			name: "sleep-after", resource: "service", effect: EffectAtOnce,
			allowed: "the seconds without a request after which the instances are frozen, from 1 to 86400; the next request thaws them. Never without it",
			parse: func(s *Settings, _, value string) (ok bool) {
				s.Routing.SleepAfter, ok = parseSeconds(value, maxIdleTime)
				return ok
			},
		},
		{
			name: "idle-cpu", resource: "service", effect: EffectAtOnce,
			allowed: "what instances may use after 10 seconds without a request, in percent of a core, from 1 to 100, or `full` (as with requests); 5 without it",
			parse: func(s *Settings, _, value string) (ok bool) {
				if s.Routing.IdleCPU = -1; value != "full" {
					s.Routing.IdleCPU, ok = parseWhole(value, maxIdleCPU)
					return ok
				}
				return true
			},
		},
		{
			name: "max-body", resource: "service", effect: EffectAtOnce,
			allowed: "the largest body of a request in MiB, from 1 to 1048576; no limit without it",
			parse: func(s *Settings, _, value string) bool {
				n, ok := parseWhole(value, maxBodyMiB)
				s.Routing.MaxBody = int64(n) << 20
				return ok
			},
		},
		{
			name: "allow-from", resource: "service", effect: EffectAtOnce,
			allowed: "up to 20 addresses or prefixes with spaces between, such as `192.0.2.7 2001:db8::/32`; other clients get 403",
			parse: func(s *Settings, _, value string) (ok bool) {
				s.Routing.AllowFrom, ok = parsePrefixes(value)
				return ok
			},
		},
		{
			name: "slow-start", resource: "service", effect: EffectAtOnce,
			allowed: "the seconds in which an instance that joins others comes to its full share of the requests, from 0 to 300; 10 without it",
			parse: func(s *Settings, _, value string) (ok bool) {
				if value == "0" {
					s.Routing.SlowStart = -1
					return true
				}
				s.Routing.SlowStart, ok = parseSeconds(value, maxSlowStart)
				return ok
			},
		},
		{
			name: "sticky", resource: "service", effect: EffectAtOnce,
			allowed: "`true` (a cookie takes the requests of a client to one instance, as long as it is there) or `false`",
			parse: func(s *Settings, _, value string) bool {
				s.Routing.Sticky = value == "true"
				return value == "true" || value == "false"
			},
		},
		{
			name: "access-log", resource: "service", effect: EffectAtOnce,
			allowed: "`true` (each request is a line of JSON in the service's access log, `slipway logs SERVICE --access`) or `false`",
			parse: func(s *Settings, _, value string) bool {
				s.Routing.AccessLog = value == "true"
				return value == "true" || value == "false"
			},
		},
	}
}

// parseWhole parses a number from 1 to most, in digits without a leading zero.
func parseWhole(value string, most int) (int, bool) {
	n, err := strconv.Atoi(value)
	return n, err == nil && n >= 1 && n <= most && strconv.Itoa(n) == value
}

func parseSeconds(value string, most int) (time.Duration, bool) {
	n, ok := parseWhole(value, most)
	return time.Duration(n) * time.Second, ok
}

// parsePrefixes parses addresses and prefixes. Bits behind a prefix must be zero: whoever
// writes 10.1.2.3/8 may mean another network.
func parsePrefixes(value string) (list []netip.Prefix, ok bool) {
	for _, text := range strings.Fields(value) {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, err := netip.ParseAddr(text)
			if err != nil || a.Zone() != "" {
				return nil, false
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if p != p.Masked() || p.Addr().Is4In6() {
			return nil, false
		}
		list = append(list, p)
	}
	return list, len(list) >= 1 && len(list) <= maxAllowed
}
