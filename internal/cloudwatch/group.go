package cloudwatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/logs"
	"github.com/openslipway/slipway/internal/page"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// Each service has the two log groups of App Runner and one for its access log, as long as
// it can be described. Who may read which is decided by the group: the access log has the
// addresses of clients. https://docs.aws.amazon.com/apprunner/latest/dg/monitor-cwl.html
const (
	groupPrefix      = "/aws/apprunner/"
	serviceGroup     = "service"     // events, and a stream for each operation and for each build
	applicationGroup = "application" // a stream for each instance
	accessGroup      = "access"      // one stream, logs.AccessStream
)

func groupName(v slipway.ServiceView, kind string) string {
	return groupPrefix + v.Name + "/" + v.ID + "/" + kind
}

// logGroup is an existing log group.
type logGroup struct {
	service string // id
	arn     string // without the ":*" that some members add
	output  Output
}

// findLogGroup returns the group with this name, or with this identifier, which
// is a name or an ARN.
func (l *Logs) findLogGroup(ctx context.Context, name, identifier *string) (logGroup, error) {
	if value(name) != "" && value(identifier) != "" {
		return logGroup{}, invalidParameter("Only one of logGroupName and logGroupIdentifier can be given.")
	}
	text := l.nameOf(name, identifier)
	if text == "" {
		return logGroup{}, invalidParameter("1 validation error detected: Value null at 'logGroupName' failed to satisfy constraint: Member must not be null")
	}
	parts := strings.Split(strings.TrimPrefix(text, groupPrefix), "/") // name, id, kind
	if !strings.HasPrefix(text, groupPrefix) || len(parts) != 3 || !slices.Contains([]string{serviceGroup, applicationGroup, accessGroup}, parts[2]) {
		return logGroup{}, errNoLogGroup
	}
	err := l.cfg.Store.View(ctx, func(tx *store.Tx) error {
		v, err := tx.Service(parts[1])
		if errors.Is(err, store.ErrNotFound) || err == nil && v.Name != parts[0] {
			return errNoLogGroup
		}
		return err
	})
	g := logGroup{service: parts[1], arn: l.logARN(text)}
	switch parts[2] {
	case applicationGroup:
		g.output = applicationLog{l.cfg.Output}
	case serviceGroup:
		g.output = serviceLog{eventLog{l.cfg.Store}, l.cfg.Output}
	case accessGroup:
		g.output = accessLog{l.cfg.Output}
	}
	return g, err
}

// nameOf returns the name of the group that a call names, by name or ARN. What decides
// about the call and what answers it must mean the same group, so both ask here.
func (l *Logs) nameOf(name, identifier *string) string {
	text := cmp.Or(value(name), value(identifier))
	if rest, ok := strings.CutPrefix(text, l.logARN("")); ok {
		return strings.TrimSuffix(rest, ":*")
	}
	return text
}

// mustHave returns an exception if the group lacks one of the streams.
func (g logGroup) mustHave(ctx context.Context, names ...string) error {
	streams, err := g.output.Streams(g.service)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !slices.ContainsFunc(streams, func(s logs.StreamInfo) bool { return s.Name == name }) {
			return errNoLogStream
		}
	}
	return nil
}

var (
	errNoLogGroup  = wire.NewException("ResourceNotFoundException", "The specified log group does not exist.")
	errNoLogStream = wire.NewException("ResourceNotFoundException", "The specified log stream does not exist.")
	errLogsToken   = invalidParameter("The specified nextToken is invalid.")
)

func invalidParameter(format string, args ...any) error {
	return wire.NewException("InvalidParameterException", fmt.Sprintf(format, args...))
}

func (l *Logs) logARN(group string) string {
	return "arn:aws:logs:" + l.cfg.Region + ":" + l.cfg.Account + ":log-group:" + group
}

// value returns *p, or zero if p is nil.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// limited returns the limit of a call, or the default. It refuses limits below 1
// and above the largest.
func limited(asked *int, most, otherwise int) (int, error) {
	n := otherwise
	if asked != nil {
		n = *asked
	}
	switch {
	case n > most:
		return 0, invalidParameter("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value less than or equal to %d", n, most)
	case n < 1:
		return 0, invalidParameter("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1", n)
	}
	return n, nil
}

// millis converts a time to milliseconds since 1970.
func millis(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	n := t.UnixMilli()
	return &n
}

type describeLogGroupsInput struct {
	Prefix  *string `json:"logGroupNamePrefix"`
	Pattern *string `json:"logGroupNamePattern"`
	Token   *string `json:"nextToken"`
	Limit   *int    `json:"limit"`
}

type describeLogGroupsOutput struct {
	Groups []logGroupDescription `json:"logGroups"`
	Token  *string               `json:"nextToken"`
}

type logGroupDescription struct {
	Name      string `json:"logGroupName"`
	CreatedAt *int64 `json:"creationTime"`
	Filters   int    `json:"metricFilterCount"`
	ARN       string `json:"arn"`
	Bytes     int64  `json:"storedBytes"` // 0: CloudWatch Logs itself is hours behind
	GroupARN  string `json:"logGroupArn"`
}

// describeLogGroups lists the groups of the services that are not deleted, by name.
func (l *Logs) describeLogGroups(ctx context.Context, call *gateway.Call, in *describeLogGroupsInput) (*describeLogGroupsOutput, error) {
	prefix, pattern := value(in.Prefix), value(in.Pattern)
	if prefix != "" && pattern != "" {
		return nil, invalidParameter("Only one of logGroupNamePrefix and logGroupNamePattern can be given.")
	}
	limit, err := limited(in.Limit, 50, 50)
	if err != nil {
		return nil, err
	}
	p := logPager(limit, "DescribeLogGroups", prefix, pattern)
	key, err := p.After(in.Token, 1)
	if err != nil {
		return nil, errLogsToken
	}
	var all []logGroupDescription
	err = l.cfg.Store.View(ctx, func(tx *store.Tx) error {
		list, err := tx.Services(time.Time{}, "", 0)
		for _, v := range list {
			kinds, err := groupsOf(tx, v)
			if err != nil {
				return err
			}
			for _, kind := range kinds {
				name := groupName(v, kind)
				if name > key[0] && strings.HasPrefix(name, prefix) && strings.Contains(name, pattern) {
					arn := l.logARN(name)
					all = append(all, logGroupDescription{Name: name, CreatedAt: millis(v.CreatedAt), ARN: arn + ":*", GroupARN: arn})
				}
			}
		}
		if err == nil {
			all, err = gateway.Shown(tx, call, all, func(g logGroupDescription) string { return streamARN(g.GroupARN, "") })
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b logGroupDescription) int { return cmp.Compare(a.Name, b.Name) })
	out := describeLogGroupsOutput{Groups: []logGroupDescription{}}
	all, out.Token = page.Cut(p, all, func(g logGroupDescription) []string { return []string{g.Name} })
	out.Groups = append(out.Groups, all...)
	return &out, err
}

// groupsOf returns the groups of a service that are listed: the access log's only while it
// is written, as scripts for App Runner expect two groups.
func groupsOf(tx *store.Tx, v slipway.ServiceView) ([]string, error) {
	kinds := []string{applicationGroup, serviceGroup}
	tags, err := tx.Tags(v.ARN)
	if err == nil && slipway.RoutingOf(tags).AccessLog {
		kinds = append(kinds, accessGroup)
	}
	return kinds, err
}

func logPager(limit int, operation string, parameters ...string) page.Pager {
	n := int32(limit)
	return page.New(&n, operation, parameters...)
}
