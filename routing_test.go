package slipway

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRoutingSettings(t *testing.T) {
	t.Parallel()
	prefix := netip.MustParsePrefix
	for _, c := range []struct {
		name, value string
		want        RoutingSettings
		ok          bool
	}{
		{"request-timeout", "1", RoutingSettings{RequestTime: time.Second}, true},
		{"request-timeout", "3600", RoutingSettings{RequestTime: time.Hour}, true},
		{"request-timeout", "0", RoutingSettings{}, false},
		{"request-timeout", "3601", RoutingSettings{}, false},
		{"request-timeout", "-1", RoutingSettings{}, false},
		{"request-timeout", "+1", RoutingSettings{}, false},
		{"request-timeout", "01", RoutingSettings{}, false},
		{"request-timeout", "1s", RoutingSettings{}, false},
		{"request-timeout", "", RoutingSettings{}, false},
		{"idle-timeout", "86400", RoutingSettings{IdleTime: 24 * time.Hour}, true},
		{"idle-timeout", "86401", RoutingSettings{}, false},
		{"slow-start", "0", RoutingSettings{SlowStart: -1}, true},
		{"slow-start", "300", RoutingSettings{SlowStart: 5 * time.Minute}, true},
		{"slow-start", "301", RoutingSettings{}, false},
		{"slow-start", "-1", RoutingSettings{}, false},
		{"max-body", "1", RoutingSettings{MaxBody: 1 << 20}, true},
		{"max-body", "1048576", RoutingSettings{MaxBody: 1 << 40}, true},
		{"max-body", "1048577", RoutingSettings{}, false},
		{"max-body", "1MB", RoutingSettings{}, false},
		{"allow-from", "192.0.2.7", RoutingSettings{AllowFrom: []netip.Prefix{prefix("192.0.2.7/32")}}, true},
		{"allow-from", " 10.0.0.0/8  2001:db8::/32 ", RoutingSettings{AllowFrom: []netip.Prefix{prefix("10.0.0.0/8"), prefix("2001:db8::/32")}}, true},
		{"allow-from", "", RoutingSettings{}, false},
		{"allow-from", "10.1.2.3/8", RoutingSettings{}, false},
		{"allow-from", "10.0.0.0/8,192.0.2.7", RoutingSettings{}, false},
		{"allow-from", "fe80::1%eth0", RoutingSettings{}, false},
		{"allow-from", "::ffff:192.0.2.7", RoutingSettings{}, false},
		{"allow-from", "example.com", RoutingSettings{}, false},
		{"allow-from", strings.Repeat("192.0.2.7 ", 21), RoutingSettings{}, false},
		{"idle-cpu", "1", RoutingSettings{IdleCPU: 1}, true},
		{"idle-cpu", "100", RoutingSettings{IdleCPU: 100}, true},
		{"idle-cpu", "full", RoutingSettings{IdleCPU: -1}, true},
		{"idle-cpu", "0", RoutingSettings{}, false},
		{"idle-cpu", "101", RoutingSettings{}, false},
		{"idle-cpu", "5%", RoutingSettings{}, false},
		{"idle-cpu", "-1", RoutingSettings{}, false},
		{"sticky", "true", RoutingSettings{Sticky: true}, true},
		{"sticky", "false", RoutingSettings{}, true},
		{"sticky", "yes", RoutingSettings{}, false},
		{"access-log", "true", RoutingSettings{AccessLog: true}, true},
		{"access-log", "false", RoutingSettings{}, true},
		{"access-log", "on", RoutingSettings{}, false},
	} {
		tags := []Tag{{Key: "team", Value: "a"}, {Key: SettingPrefix + c.name, Value: c.value}}
		s, err := ParseSettings("service", tags)
		if (err == nil) != c.ok || c.ok && !reflect.DeepEqual(s.Routing, c.want) {
			t.Errorf("%s = %q: %+v, %v", c.name, c.value, s.Routing, err)
		}
		if err != nil && (CodeOf(err) != InvalidRequest || !strings.Contains(err.Error(), "at once")) {
			t.Errorf("%s = %q: %v", c.name, c.value, err)
		}
		// A router passes over what it does not know or what is not allowed.
		tags = append(tags, Tag{Key: SettingPrefix + "of-the-future", Value: "1"}, Tag{Key: SettingPrefix + "idle-timeout2", Value: "1"})
		if got := RoutingOf(tags); !reflect.DeepEqual(got, c.want) {
			t.Errorf("a router takes %s = %q for %+v, want %+v", c.name, c.value, got, c.want)
		}
	}
}
