package api

import (
	"context"
	"strings"

	"github.com/openslipway/slipway/internal/wire"
)

var (
	appRunner = protocol{
		signingName: "apprunner",
		contentType: "application/x-amz-json-1.0",
		internal:    "InternalServiceErrorException",
	}
	cloudWatchLogs = protocol{
		signingName: "logs",
		contentType: "application/x-amz-json-1.1",
		internal:    "InternalFailure",
	}
)

// operations returns every operation that is answered, by its X-Amz-Target.
func (a *API) operations() map[string]endpoint {
	m := map[string]endpoint{}
	add(m, "CreateService", a.createService)
	add(m, "DescribeService", a.describeService)
	add(m, "ListServices", a.listServices)
	add(m, "UpdateService", a.updateService)
	add(m, "DeleteService", a.deleteService)
	add(m, "PauseService", a.pauseService)
	add(m, "ResumeService", a.resumeService)
	add(m, "StartDeployment", a.startDeployment)
	add(m, "ListOperations", a.listOperations)

	add(m, "CreateAutoScalingConfiguration", a.createAutoScaling)
	add(m, "DescribeAutoScalingConfiguration", a.describeAutoScaling)
	add(m, "ListAutoScalingConfigurations", a.listAutoScaling)
	add(m, "DeleteAutoScalingConfiguration", a.deleteAutoScaling)
	add(m, "UpdateDefaultAutoScalingConfiguration", a.updateDefaultAutoScaling)
	add(m, "ListServicesForAutoScalingConfiguration", a.listServicesForAutoScaling)

	add(m, "TagResource", a.tagResource)
	add(m, "UntagResource", a.untagResource)
	add(m, "ListTagsForResource", a.listTags)
	add(m, "DescribeCustomDomains", a.describeCustomDomains)

	addLogs(m, "DescribeLogGroups", a.describeLogGroups)
	addLogs(m, "DescribeLogStreams", a.describeLogStreams)
	addLogs(m, "GetLogEvents", a.getLogEvents)
	addLogs(m, "FilterLogEvents", a.filterLogEvents)
	return m
}

func add[I, O any](m map[string]endpoint, name string, h func(context.Context, Caller, *I) (*O, error)) {
	model, ok := wire.OperationNamed(name)
	if !ok {
		panic("api: the model has no operation " + name)
	}
	m["AppRunner."+name] = endpoint{
		name:     name,
		protocol: appRunner,
		model:    model,
		changes:  !strings.HasPrefix(name, "Describe") && !strings.HasPrefix(name, "List"),
		serve:    handle(model, h),
	}
}

func addLogs[I, O any](m map[string]endpoint, name string, h func(context.Context, Caller, *I) (*O, error)) {
	m["Logs_20140328."+name] = endpoint{name: name, protocol: cloudWatchLogs, serve: handle(nil, h)}
}
