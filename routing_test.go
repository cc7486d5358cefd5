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
		{"replace-hung-after", "1", RoutingSettings{HungAfter: time.Second}, true},
		{"replace-hung-after", "3600", RoutingSettings{HungAfter: time.Hour}, true},
		{"replace-hung-after", "3601", RoutingSettings{}, false},
		{"replace-hung-after", "0", RoutingSettings{}, false},
		{"max-head", "1", RoutingSettings{MaxHead: 1 << 10}, true},
		{"max-head", "64", RoutingSettings{MaxHead: 64 << 10}, true},
		{"max-head", "65", RoutingSettings{}, false},
		{"max-head", "0", RoutingSettings{}, false},
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
		{"sleep-after", "5", RoutingSettings{SleepAfter: 5 * time.Second}, true},
		{"min-size", "0", RoutingSettings{ToZero: true, SleepAfter: time.Minute, StopAfter: 15 * time.Minute}, true},
		{"min-size", "1", RoutingSettings{}, false},
		{"min-size", "00", RoutingSettings{}, false},
		{"min-size", "", RoutingSettings{}, false},
		{"stop-after", "60", RoutingSettings{}, true}, // CheckTogether refuses it without min-size
		{"stop-after", "0", RoutingSettings{}, false},
		{"stop-after", "2592001", RoutingSettings{}, false},
		{"stop-after", "15m", RoutingSettings{}, false},
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

func TestSettingsTogether(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		minSize, sleep, stop string // "" for none
		wantSleep, wantStop  time.Duration
		refused              string // "" if they are allowed
	}{
		{"", "", "", 0, 0, ""},
		{"", "5", "", 5 * time.Second, 0, ""},
		{"0", "", "", time.Minute, 15 * time.Minute, ""},
		{"0", "1800", "", 30 * time.Minute, 30 * time.Minute, ""},
		{"0", "", "3", 3 * time.Second, 3 * time.Second, ""},
		{"0", "1", "3", time.Second, 3 * time.Second, ""},
		{"0", "3", "3", 3 * time.Second, 3 * time.Second, ""},
		{"0", "", "2592000", time.Minute, 30 * 24 * time.Hour, ""},
		{"", "", "60", 0, 0, "slipway:stop-after is 60, but the service keeps its MinSize; set slipway:min-size to 0"},
		{"", "5", "60", 5 * time.Second, 0, "slipway:stop-after is 60, but"},
		{"0", "60", "3", time.Minute, 3 * time.Second, "slipway:stop-after is 3 and slipway:sleep-after is 60"},
	} {
		var tags []Tag
		for name, value := range map[string]string{"min-size": c.minSize, "sleep-after": c.sleep, "stop-after": c.stop} {
			if value != "" {
				tags = append(tags, Tag{Key: SettingPrefix + name, Value: value})
			}
		}
		s, err := ParseSettings("service", tags)
		if err != nil {
			t.Fatal(err)
		}
		if r := s.Routing; r.SleepAfter != c.wantSleep || r.StopAfter != c.wantStop {
			t.Errorf("%+v: frozen after %v, stopped after %v", c, r.SleepAfter, r.StopAfter)
		}
		if r := RoutingOf(tags); !reflect.DeepEqual(r, s.Routing) {
			t.Errorf("%+v: a router takes them for %+v", c, r)
		}
		switch err := CheckTogether(tags); {
		case (err == nil) != (c.refused == ""):
			t.Errorf("%+v: %v", c, err)
		case err != nil && (CodeOf(err) != InvalidRequest || !strings.Contains(err.Error(), c.refused)):
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// The tag overrides MinSize downwards only, and a release begins with an instance.
func TestBounds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		r                  RoutingSettings
		s                  Scaling
		least, most, first int
	}{
		{RoutingSettings{}, Scaling{MinSize: 3, MaxSize: 5}, 3, 5, 3},
		{RoutingSettings{}, Scaling{MinSize: 3, MaxSize: 2}, 3, 3, 3},
		{RoutingSettings{ToZero: true}, Scaling{MinSize: 3, MaxSize: 5}, 0, 5, 1},
		{RoutingSettings{ToZero: true}, Scaling{MinSize: 1, MaxSize: 1}, 0, 1, 1},
	} {
		least, most := c.r.Bounds(c.s)
		if least != c.least || most != c.most || c.r.FirstSize(c.s) != c.first {
			t.Errorf("%+v of %+v: %d to %d, first %d", c.r, c.s, least, most, c.r.FirstSize(c.s))
		}
	}
}
