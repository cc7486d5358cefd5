"""Leads a VPC connector and a VPC ingress connection through their lives with
boto3.

Usage: vpc.py API HOST:PORT IMAGE, the address being that of the VPC endpoint
vpce-1, and subnet-a a network. Exits 0 when every expectation held.
"""

import http.client
import sys
import time

import boto3

api, address, image = sys.argv[1:]
client = boto3.client("apprunner", endpoint_url=api)
LIMIT = 90  # seconds that anything asynchronous may take


def expect(what, got, want):
    if got != want:
        sys.exit(f"{what}: got {got!r}, want {want!r}")


def until(what, want, ask):
    deadline = time.monotonic() + LIMIT
    while (got := ask()) != want:
        if time.monotonic() > deadline:
            sys.exit(f"{what} is {got!r}, not {want!r}")
        time.sleep(0.05)


def fails(exception, call, **arguments):
    """Expects a modelled exception, as boto3 types it."""
    try:
        call(**arguments)
    except exception as e:
        return e.response["Error"]["Message"]
    sys.exit(f"{call.__name__} did not raise {exception.__name__}")


def finish(arn, operation):
    def status():
        listed = client.list_operations(ServiceArn=arn)["OperationSummaryList"]
        return {o["Id"]: o["Status"] for o in listed}[operation]

    until("operation " + operation, "SUCCEEDED", status)


def get(host):
    c = http.client.HTTPConnection(address, timeout=LIMIT)
    c.request("GET", "/", headers={"Host": host})
    return c.getresponse().status


errors = client.exceptions
connector = client.create_vpc_connector(
    VpcConnectorName="near", Subnets=["subnet-a"], Tags=[{"Key": "team", "Value": "web"}]
)["VpcConnector"]
arn = connector["VpcConnectorArn"]
expect("revision", connector["VpcConnectorRevision"], 1)
expect("status", connector["Status"], "ACTIVE")
expect("subnets", connector["Subnets"], ["subnet-a"])
expect("security groups", len(connector["SecurityGroups"]), 1)
expect("described", client.describe_vpc_connector(VpcConnectorArn=arn)["VpcConnector"], connector)
expect("listed", client.list_vpc_connectors()["VpcConnectors"], [connector])
expect("tags", client.list_tags_for_resource(ResourceArn=arn)["Tags"], [{"Key": "team", "Value": "web"}])
fails(errors.InvalidRequestException, client.create_vpc_connector, VpcConnectorName="near", Subnets=["subnet-b"])
for i in range(9):
    client.create_vpc_connector(VpcConnectorName=f"more-{i}", Subnets=["subnet-b"])
fails(errors.ServiceQuotaExceededException, client.create_vpc_connector, VpcConnectorName="most", Subnets=["subnet-b"])

network = {
    "EgressConfiguration": {"EgressType": "VPC", "VpcConnectorArn": arn},
    "IngressConfiguration": {"IsPubliclyAccessible": False},
}
created = client.create_service(
    ServiceName="from-boto3",
    SourceConfiguration={
        "AutoDeploymentsEnabled": False,
        "ImageRepository": {
            "ImageIdentifier": image,
            "ImageRepositoryType": "ECR",
            "ImageConfiguration": {"Port": "8080"},
        },
    },
    NetworkConfiguration=network,
)
service = created["Service"]["ServiceArn"]
shown = created["Service"]["NetworkConfiguration"]
expect("egress", shown["EgressConfiguration"], network["EgressConfiguration"])
expect("ingress", shown["IngressConfiguration"], network["IngressConfiguration"])
finish(service, created["OperationId"])
fails(errors.InvalidRequestException, client.delete_vpc_connector, VpcConnectorArn=arn)

door = client.create_vpc_ingress_connection(
    ServiceArn=service,
    VpcIngressConnectionName="door",
    IngressVpcConfiguration={"VpcId": "vpc-1", "VpcEndpointId": "vpce-1"},
)["VpcIngressConnection"]
entry, host = door["VpcIngressConnectionArn"], door["DomainName"]
expect("account", door["AccountId"], "000000000000")


def status():
    return client.describe_vpc_ingress_connection(VpcIngressConnectionArn=entry)["VpcIngressConnection"]["Status"]


until("the connection", "AVAILABLE", status)
until("the answer", 200, lambda: get(host))
summary = [{"VpcIngressConnectionArn": entry, "ServiceArn": service}]
for wanted, listed in (
    ({}, summary),
    ({"ServiceArn": service}, summary),
    ({"VpcEndpointId": "vpce-1"}, summary),
    ({"VpcEndpointId": "vpce-2"}, []),
):
    got = client.list_vpc_ingress_connections(Filter=wanted)["VpcIngressConnectionSummaryList"]
    expect(f"listed by {wanted}", got, listed)
targets = client.describe_custom_domains(ServiceArn=service)["VpcDNSTargets"]
expect(
    "targets",
    targets,
    [{"VpcIngressConnectionArn": entry, "VpcId": "vpc-1", "DomainName": host.split(":")[0]}],
)
fails(errors.InvalidStateException, client.delete_service, ServiceArn=service)

client.update_vpc_ingress_connection(
    VpcIngressConnectionArn=entry, IngressVpcConfiguration={"VpcId": "vpc-1", "VpcEndpointId": "vpce-none"}
)
until("the connection", "FAILED_UPDATE", status)
client.delete_vpc_ingress_connection(VpcIngressConnectionArn=entry)
until("the connection", "DELETED", status)
fails(errors.ResourceNotFoundException, client.delete_vpc_ingress_connection, VpcIngressConnectionArn=entry)
until("the answer", 404, lambda: get(host))

finish(service, client.delete_service(ServiceArn=service)["OperationId"])
gone = client.delete_vpc_connector(VpcConnectorArn=arn)["VpcConnector"]
expect("status", gone["Status"], "INACTIVE")
expect("described", client.describe_vpc_connector(VpcConnectorArn=arn)["VpcConnector"]["Status"], "INACTIVE")
