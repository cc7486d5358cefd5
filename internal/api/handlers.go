package api

import (
	"context"
	"strings"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/wire"
)

// Service returns the operations for the gateway.
func (a *API) Service() gateway.Service {
	return gateway.Service{
		SigningName: "apprunner",
		ContentType: "application/x-amz-json-1.0",
		Internal:    "InternalServiceErrorException",
		Operations:  a.operations(),
	}
}

// operations returns every operation that is answered, by its X-Amz-Target,
// with the permissions it needs.
func (a *API) operations() map[string]gateway.Operation {
	m := a.handlers()
	required := a.permissions()
	for target, o := range m {
		m[target] = o.Requiring(required[o.Name])
	}
	return m
}

func (a *API) handlers() map[string]gateway.Operation {
	m := map[string]gateway.Operation{}
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

	add(m, "CreateVpcConnector", a.createVPCConnector)
	add(m, "DescribeVpcConnector", a.describeVPCConnector)
	add(m, "ListVpcConnectors", a.listVPCConnectors)
	add(m, "DeleteVpcConnector", a.deleteVPCConnector)
	add(m, "CreateVpcIngressConnection", a.createVPCIngress)
	add(m, "DescribeVpcIngressConnection", a.describeVPCIngress)
	add(m, "ListVpcIngressConnections", a.listVPCIngresses)
	add(m, "UpdateVpcIngressConnection", a.updateVPCIngress)
	add(m, "DeleteVpcIngressConnection", a.deleteVPCIngress)

	add(m, "CreateConnection", a.createConnection)
	add(m, "ListConnections", a.listConnections)
	add(m, "DeleteConnection", a.deleteConnection)
	m["Slipway.CompleteConnection"] = gateway.Handle("CompleteConnection", nil, true, a.completeConnection).Redacting("Token")

	add(m, "CreateObservabilityConfiguration", a.createObservability)
	add(m, "DescribeObservabilityConfiguration", a.describeObservability)
	add(m, "ListObservabilityConfigurations", a.listObservability)
	add(m, "DeleteObservabilityConfiguration", a.deleteObservability)

	add(m, "TagResource", a.tagResource)
	add(m, "UntagResource", a.untagResource)
	add(m, "ListTagsForResource", a.listTags)

	add(m, "AssociateCustomDomain", a.associateCustomDomain)
	add(m, "DescribeCustomDomains", a.describeCustomDomains)
	add(m, "DisassociateCustomDomain", a.disassociateCustomDomain)
	return m
}

func add[I, O any](m map[string]gateway.Operation, name string, h func(context.Context, gateway.Caller, *I) (*O, error)) {
	model, ok := wire.OperationNamed(name)
	if !ok {
		panic("api: the model has no operation " + name)
	}
	changes := !strings.HasPrefix(name, "Describe") && !strings.HasPrefix(name, "List")
	m["AppRunner."+name] = gateway.Handle(name, model, changes, h)
}
