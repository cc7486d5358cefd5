package api

import (
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/wire"
)

// Service returns the operations for the gateway.
func (a *API) Service() gateway.Service {
	return gateway.Service{
		Name:       "apprunner",
		Internal:   "InternalServiceErrorException",
		Model:      wire.OperationNamed,
		Protocol:   gateway.Protocol{ContentType: "application/x-amz-json-1.0", Targets: []string{"AppRunner."}},
		Operations: a.operations(),
	}
}

// operations returns every operation with its handler and the permissions that a
// call requires.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsapprunner.html
func (a *API) operations() []gateway.Operation {
	return []gateway.Operation{
		gateway.Mutate("CreateService", a.createService, a.createServicePermissions),
		gateway.Read("DescribeService", a.describeService, on(a, func(in *apprunner.DescribeServiceInput) *string { return in.ServiceArn })),
		gateway.Read("ListServices", a.listServices, gateway.AnyResource),
		gateway.Mutate("UpdateService", a.updateService, a.updateServicePermissions),
		gateway.Mutate("DeleteService", a.deleteService, a.deleteServicePermissions),
		gateway.Mutate("PauseService", a.pauseService, on(a, func(in *apprunner.PauseServiceInput) *string { return in.ServiceArn })),
		gateway.Mutate("ResumeService", a.resumeService, on(a, func(in *apprunner.ResumeServiceInput) *string { return in.ServiceArn })),
		gateway.Mutate("StartDeployment", a.startDeployment, on(a, func(in *apprunner.StartDeploymentInput) *string { return in.ServiceArn })),
		gateway.Read("ListOperations", a.listOperations, on(a, func(in *apprunner.ListOperationsInput) *string { return in.ServiceArn })),
		gateway.Mutate("CancelOperation", a.cancelOperation, on(a, func(in *CancelOperationInput) *string { return in.ServiceArn })).At("Slipway.CancelOperation"),
		gateway.Read("DescribeOperations", a.describeOperations, on(a, func(in *DescribeOperationsInput) *string { return in.ServiceArn })).At("Slipway.DescribeOperations"),
		gateway.Read("DescribeInstances", a.describeInstances, a.describeInstancesPermissions).At("Slipway.DescribeInstances"),
		gateway.Read("DescribeScaling", a.describeScaling, on(a, func(in *DescribeScalingInput) *string { return in.ServiceArn })).At("Slipway.DescribeScaling"),
		gateway.Read("DescribeSBOM", a.describeSBOM, on(a, func(in *DescribeSBOMInput) *string { return in.ServiceArn })).At("Slipway.DescribeSBOM"),

		gateway.Mutate("CreateAutoScalingConfiguration", a.createAutoScaling, creates(a, "autoscalingconfiguration", func(in *apprunner.CreateAutoScalingConfigurationInput) (*string, []types.Tag) {
			return in.AutoScalingConfigurationName, in.Tags
		})),
		gateway.Read("DescribeAutoScalingConfiguration", a.describeAutoScaling, on(a, func(in *apprunner.DescribeAutoScalingConfigurationInput) *string {
			return in.AutoScalingConfigurationArn
		})),
		gateway.Read("ListAutoScalingConfigurations", a.listAutoScaling, gateway.AnyResource),
		gateway.Mutate("DeleteAutoScalingConfiguration", a.deleteAutoScaling, on(a, func(in *apprunner.DeleteAutoScalingConfigurationInput) *string { return in.AutoScalingConfigurationArn })),
		gateway.Mutate("UpdateDefaultAutoScalingConfiguration", a.updateDefaultAutoScaling, on(a, func(in *apprunner.UpdateDefaultAutoScalingConfigurationInput) *string {
			return in.AutoScalingConfigurationArn
		})),
		gateway.Read("ListServicesForAutoScalingConfiguration", a.listServicesForAutoScaling, on(a, func(in *apprunner.ListServicesForAutoScalingConfigurationInput) *string {
			return in.AutoScalingConfigurationArn
		})),

		gateway.Mutate("CreateVpcConnector", a.createVPCConnector, creates(a, "vpcconnector", func(in *apprunner.CreateVpcConnectorInput) (*string, []types.Tag) {
			return in.VpcConnectorName, in.Tags
		})),
		gateway.Read("DescribeVpcConnector", a.describeVPCConnector, on(a, func(in *apprunner.DescribeVpcConnectorInput) *string { return in.VpcConnectorArn })),
		gateway.Read("ListVpcConnectors", a.listVPCConnectors, gateway.AnyResource),
		gateway.Mutate("DeleteVpcConnector", a.deleteVPCConnector, on(a, func(in *apprunner.DeleteVpcConnectorInput) *string { return in.VpcConnectorArn })),
		gateway.Mutate("CreateVpcIngressConnection", a.createVPCIngress, a.createVPCIngressPermissions),
		gateway.Read("DescribeVpcIngressConnection", a.describeVPCIngress, on(a, func(in *apprunner.DescribeVpcIngressConnectionInput) *string { return in.VpcIngressConnectionArn })),
		gateway.Read("ListVpcIngressConnections", a.listVPCIngresses, gateway.AnyResource),
		gateway.Mutate("UpdateVpcIngressConnection", a.updateVPCIngress, a.updateVPCIngressPermissions),
		gateway.Mutate("DeleteVpcIngressConnection", a.deleteVPCIngress, on(a, func(in *apprunner.DeleteVpcIngressConnectionInput) *string { return in.VpcIngressConnectionArn })),

		gateway.Mutate("CreateConnection", a.createConnection, creates(a, "connection", func(in *apprunner.CreateConnectionInput) (*string, []types.Tag) { return in.ConnectionName, in.Tags })),
		gateway.Read("ListConnections", a.listConnections, gateway.AnyResource),
		gateway.Mutate("DeleteConnection", a.deleteConnection, on(a, func(in *apprunner.DeleteConnectionInput) *string { return in.ConnectionArn })),
		gateway.Mutate("CompleteConnection", a.completeConnection, a.completeConnectionPermissions).Redacting("Token").At("Slipway.CompleteConnection"),
		gateway.Mutate("CreateCodeConnection", a.createCodeConnection, a.createCodeConnectionPermissions).Redacting("PrivateKey").At("Slipway.CreateCodeConnection"),
		gateway.Read("DescribeCodeConnection", a.describeCodeConnection, onConnection(a, func(in *DescribeCodeConnectionInput) *string { return in.ConnectionName })).At("Slipway.DescribeCodeConnection"),
		gateway.Mutate("PutConnectionWebhook", a.putConnectionWebhook, onConnection(a, func(in *PutConnectionWebhookInput) *string { return in.ConnectionName })).Redacting("Secret").At("Slipway.PutConnectionWebhook"),
		gateway.Read("DescribeConnectionWebhook", a.describeConnectionWebhook, onConnection(a, func(in *DescribeConnectionWebhookInput) *string { return in.ConnectionName })).At("Slipway.DescribeConnectionWebhook"),
		gateway.Mutate("DeleteConnectionWebhook", a.deleteConnectionWebhook, onConnection(a, func(in *DeleteConnectionWebhookInput) *string { return in.ConnectionName })).At("Slipway.DeleteConnectionWebhook"),

		gateway.Mutate("CreateObservabilityConfiguration", a.createObservability, creates(a, "observabilityconfiguration", func(in *apprunner.CreateObservabilityConfigurationInput) (*string, []types.Tag) {
			return in.ObservabilityConfigurationName, in.Tags
		})),
		gateway.Read("DescribeObservabilityConfiguration", a.describeObservability, on(a, func(in *apprunner.DescribeObservabilityConfigurationInput) *string {
			return in.ObservabilityConfigurationArn
		})),
		gateway.Read("ListObservabilityConfigurations", a.listObservability, gateway.AnyResource),
		gateway.Mutate("DeleteObservabilityConfiguration", a.deleteObservability, on(a, func(in *apprunner.DeleteObservabilityConfigurationInput) *string {
			return in.ObservabilityConfigurationArn
		})),

		gateway.Mutate("TagResource", a.tagResource, a.tagResourcePermissions),
		gateway.Mutate("UntagResource", a.untagResource, a.untagResourcePermissions),
		gateway.Read("ListTagsForResource", a.listTags, on(a, func(in *apprunner.ListTagsForResourceInput) *string { return in.ResourceArn })),

		gateway.Mutate("AssociateCustomDomain", a.associateCustomDomain, on(a, func(in *apprunner.AssociateCustomDomainInput) *string { return in.ServiceArn })),
		gateway.Read("DescribeCustomDomains", a.describeCustomDomains, on(a, func(in *apprunner.DescribeCustomDomainsInput) *string { return in.ServiceArn })),
		gateway.Mutate("DisassociateCustomDomain", a.disassociateCustomDomain, on(a, func(in *apprunner.DisassociateCustomDomainInput) *string { return in.ServiceArn })),
	}
}
