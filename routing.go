package slipway

import (
	"cmp"
	"net/netip"
	"slices"
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
	MaxHead     int            // bytes of a request's head
	AllowFrom   []netip.Prefix // of clients; others are refused
	SleepAfter  time.Duration  // without a request, after which instances are frozen; 0: never
	SlowStart   time.Duration  // in which a new instance comes to its full share of the requests; below 0: at once
	IdleCPU     int            // hundredths of a core for an instance at rest; -1: what it has otherwise
	HungAfter   time.Duration  // without an answer to any request, after which an instance is replaced; 0: never
	Sticky      bool           // a client's requests go to one instance
	AccessLog   bool           // each request is written to the access log
	PlainHTTP   bool           // requests without TLS are served, where the server has TLS
	HSTS        time.Duration  // for which browsers are told to come by TLS only; 0: they are not told

	// ToZero says that the service may have no instance. StopAfter is the time without a
	// request after which none is left; it is 0 without ToZero.
	ToZero    bool
	StopAfter time.Duration
}

// complete sets what follows from other settings.
func (r *RoutingSettings) complete() {
	if !r.ToZero {
		r.StopAfter = 0
		return
	}
	r.StopAfter = cmp.Or(r.StopAfter, max(DefaultStopAfter, r.SleepAfter))
	r.SleepAfter = cmp.Or(r.SleepAfter, min(DefaultSleepAfter, r.StopAfter))
}

// CheckTogether refuses settings of a service that contradict each other. Other tags
// count for nothing.
func CheckTogether(tags []Tag) error {
	var s Settings
	value := map[string]string{}
	for _, t := range tags {
		if name, ok := strings.CutPrefix(t.Key, SettingPrefix); ok && parseSetting(routingSettings(), &s, "service", name, t) == nil {
			value[name] = t.Value
		}
	}
	switch r := s.Routing; {
	case r.StopAfter > 0 && !r.ToZero:
		return Errorf(InvalidRequest, "Tags: %[1]sstop-after is %[2]s, but the service keeps its MinSize; set %[1]smin-size to 0 as well, or remove %[1]sstop-after.",
			SettingPrefix, value["stop-after"])
	case r.StopAfter > 0 && r.SleepAfter > r.StopAfter:
		return Errorf(InvalidRequest, "Tags: %[1]sstop-after is %[2]s and %[1]ssleep-after is %[3]s; instances are frozen before they are stopped, so %[1]sstop-after must not be less than %[1]ssleep-after. Change both in one call.",
			SettingPrefix, value["stop-after"], value["sleep-after"])
	}
	return nil
}

// Bounds returns the least and the most instances that a release may have with these
// settings. Those of a release that may have none begin with one.
func (r RoutingSettings) Bounds(s Scaling) (least, most int) {
	if r.ToZero {
		return 0, max(s.MaxSize, 1)
	}
	return s.MinSize, max(s.MaxSize, s.MinSize)
}

// FirstSize returns the number of instances that a release begins with: what a deployment
// and a resume wait for.
func (r RoutingSettings) FirstSize(s Scaling) int {
	least, _ := r.Bounds(s)
	return max(least, 1)
}

// DrainTime returns how long requests in flight have to end once no more come: as long as a
// request of the service may take, and at least as long as one without the setting.
func (r RoutingSettings) DrainTime(usual time.Duration) time.Duration {
	return max(usual, r.RequestTime)
}

// Without a setting, the instances of a service that may have none are frozen and stopped
// after these times.
const (
	DefaultSleepAfter = time.Minute
	DefaultStopAfter  = 15 * time.Minute
)

const (
	maxRequestTime = 3600     // s
	maxIdleTime    = 86400    // s
	maxSlowStart   = 300      // s
	maxHungAfter   = 3600     // s
	maxStopTime    = 2592000  // s
	maxHeadKiB     = 64       // KiB
	maxBodyMiB     = 1 << 20  // MiB
	maxAllowed     = 20       // prefixes
	maxIdleCPU     = 100      // hundredths of a core
	maxHSTS        = 63072000 // s
)

// routingSettings are the rows of the table of settings for requests.
func routingSettings() []setting {
	return slices.Concat(requestSettings(), secureSettings(), restSettings())
}

// requestSettings are the rows about how a request is taken.
func requestSettings() []setting {
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
			name: "max-body", resource: "service", effect: EffectAtOnce,
			allowed: "the largest body of a request in MiB, from 1 to 1048576; no limit without it",
			parse: func(s *Settings, _, value string) bool {
				n, ok := parseWhole(value, maxBodyMiB)
				s.Routing.MaxBody = int64(n) << 20
				return ok
			},
		},
		{
			name: "max-head", resource: "service", effect: EffectAtOnce,
			allowed: "the largest head of a request in KiB, from 1 to 64; 64 without it",
			parse: func(s *Settings, _, value string) bool {
				n, ok := parseWhole(value, maxHeadKiB)
				s.Routing.MaxHead = n << 10
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
			name: "replace-hung-after", resource: "service", effect: EffectAtOnce,
			allowed: "the seconds after which an instance is replaced that answers no request, whatever its health check says, from 1 to 3600; without it, only the health check counts, as in App Runner",
			parse: func(s *Settings, _, value string) (ok bool) {
				s.Routing.HungAfter, ok = parseSeconds(value, maxHungAfter)
				return ok
			},
		},
		{
			name: "sticky", resource: "service", effect: EffectAtOnce,
			allowed: "`true` (a cookie takes the requests of a client to one instance, as long as it is there) or `false`",
			parse: func(s *Settings, _, value string) (ok bool) {
				s.Routing.Sticky, ok = parseBool(value)
				return ok
			},
		},
		{
			name: "access-log", resource: "service", effect: EffectAtOnce,
			allowed: "`true` (each request is a line of JSON in the service's access log, `slipway logs SERVICE --access`) or `false`",
			parse: func(s *Settings, _, value string) (ok bool) {
				s.Routing.AccessLog, ok = parseBool(value)
				return ok
			},
		},
	}
}

// secureSettings are the rows about TLS.
func secureSettings() []setting {
	return []setting{
		{
			name: "https", resource: "service", effect: EffectAtOnce,
			allowed: "`redirect` (where the server has TLS, requests without it are sent to https, as in App Runner) or `optional` (they are served)",
			parse: func(s *Settings, _, value string) bool {
				s.Routing.PlainHTTP = value == "optional"
				return value == "optional" || value == "redirect"
			},
		},
		{
			name: "hsts", resource: "service", effect: EffectAtOnce,
			allowed: "the seconds for which browsers that came by https come by nothing else (Strict-Transport-Security), from 1 to 63072000 (two years); they are not told without it",
			parse: func(s *Settings, _, value string) (ok bool) {
				s.Routing.HSTS, ok = parseSeconds(value, maxHSTS)
				return ok
			},
		},
	}
}

// restSettings are the rows about what instances do without requests.
func restSettings() []setting {
	return []setting{
		{
			name: "sleep-after", resource: "service", effect: EffectAtOnce,
			allowed: "the seconds without a request after which the instances are frozen, from 1 to 86400; the next request thaws them. Never without it, or 60 with `slipway:min-size`",
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
			name: "min-size", resource: "service", effect: EffectAtOnce,
			allowed: "`0`: the service may have no instance, whatever MinSize its auto scaling configuration has. MinSize counts without it",
			parse: func(s *Settings, _, value string) bool {
				s.Routing.ToZero = value == "0"
				return s.Routing.ToZero
			},
		},
		{
			name: "stop-after", resource: "service", effect: EffectAtOnce,
			allowed: "the seconds without a request after which a service with `slipway:min-size` has no instance, from 1 to 2592000 (30 days), not less than `slipway:sleep-after`; the next request starts one. 900 without it",
			parse: func(s *Settings, _, value string) (ok bool) {
				s.Routing.StopAfter, ok = parseSeconds(value, maxStopTime)
				return ok
			},
		},
	}
}

// parseWhole parses a number from 1 to most, in digits without a leading zero.
func parseWhole(value string, most int) (int, bool) {
	n, err := strconv.Atoi(value)
	return n, err == nil && n >= 1 && n <= most && strconv.Itoa(n) == value
}

// parseBool parses true or false, in this letter case.
func parseBool(value string) (is, ok bool) {
	return value == "true", value == "true" || value == "false"
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
