"""Leads a service of three instances through its whole life with boto3.

Usage: life.py API HOST:PORT IMAGE. Exits 0 when every expectation held.
"""

import http.client
import json
import sys
import time

import boto3

api, address, image = sys.argv[1:]
client = boto3.client("apprunner", endpoint_url=api)
LIMIT = 90  # seconds that anything asynchronous may take


def expect(what, got, want):
    if got != want:
        sys.exit(f"{what}: got {got!r}, want {want!r}")


def source(greeting):
    return {
        "AutoDeploymentsEnabled": False,
        "ImageRepository": {
            "ImageIdentifier": image,
            "ImageRepositoryType": "ECR",
            "ImageConfiguration": {
                "Port": "8080",
                "RuntimeEnvironmentVariables": {"GREETING": greeting},
            },
        },
    }


def finish(arn, operation):
    """Follows an operation until it has succeeded."""
    deadline = time.monotonic() + LIMIT
    while True:
        listed = client.list_operations(ServiceArn=arn)["OperationSummaryList"]
        status = {o["Id"]: o["Status"] for o in listed}[operation]
        if status == "SUCCEEDED":
            return
        if status not in ("PENDING", "IN_PROGRESS") or time.monotonic() > deadline:
            sys.exit(f"operation {operation} is {status}: {listed}")
        time.sleep(0.05)


def get(url, **headers):
    c = http.client.HTTPConnection(address, timeout=LIMIT)
    c.request("GET", "/", headers={"Host": url, **headers})
    r = c.getresponse()
    return r.status, r.read().decode()


def instances(url, count, greeting):
    """Asks until count instances have answered."""
    seen = set()
    deadline = time.monotonic() + LIMIT
    while len(seen) < count:
        status, body = get(url)
        expect("status", status, 200)
        answer = json.loads(body)
        expect("greeting", answer["greeting"], greeting)
        seen.add(answer["instance"])
        if time.monotonic() > deadline:
            sys.exit(f"only {seen} answered")
    return seen


def fails(exception, call, **arguments):
    """Expects a modelled exception, as boto3 types it."""
    try:
        call(**arguments)
    except exception as e:
        return e.response["Error"]["Message"]
    sys.exit(f"{call.__name__} did not raise {exception.__name__}")


scaling = client.create_auto_scaling_configuration(
    AutoScalingConfigurationName="three", MinSize=3, MaxSize=4
)["AutoScalingConfiguration"]
expect("scaling status", scaling["Status"], "active")

created = client.create_service(
    ServiceName="from-boto3",
    SourceConfiguration=source("one"),
    AutoScalingConfigurationArn=scaling["AutoScalingConfigurationArn"],
)
service = created["Service"]
arn, url = service["ServiceArn"], service["ServiceUrl"]
expect("status", service["Status"], "OPERATION_IN_PROGRESS")
expect("public", service["NetworkConfiguration"]["IngressConfiguration"]["IsPubliclyAccessible"], True)
finish(arn, created["OperationId"])
expect("status", client.describe_service(ServiceArn=arn)["Service"]["Status"], "RUNNING")
first = instances(url, 3, "one")

message = fails(
    client.exceptions.InvalidRequestException,
    client.create_service,
    ServiceName="from-boto3",
    SourceConfiguration=source("one"),
)
expect("message", message, "Service with the provided name already exists: from-boto3")

finish(arn, client.update_service(ServiceArn=arn, SourceConfiguration=source("two"))["OperationId"])
second = instances(url, 3, "two")
expect("instances of before the update", first & second, set())

finish(arn, client.start_deployment(ServiceArn=arn)["OperationId"])
instances(url, 3, "two")

finish(arn, client.pause_service(ServiceArn=arn)["OperationId"])
expect("status", client.describe_service(ServiceArn=arn)["Service"]["Status"], "PAUSED")
status, body = get(url, Accept="application/json")
expect("status of a paused service", status, 503)
json.loads(body)

finish(arn, client.resume_service(ServiceArn=arn)["OperationId"])
instances(url, 3, "two")
again = client.resume_service(ServiceArn=arn)
expect("resume of a running service", again["Service"]["Status"], "RUNNING")
expect("operation of a resume that had nothing to do", "OperationId" in again, False)

finish(arn, client.delete_service(ServiceArn=arn)["OperationId"])
expect("status", client.describe_service(ServiceArn=arn)["Service"]["Status"], "DELETED")
expect("services", client.list_services()["ServiceSummaryList"], [])
kinds = [o["Type"] for o in client.list_operations(ServiceArn=arn)["OperationSummaryList"]]
expect(
    "operations",
    kinds,
    ["DELETE_SERVICE", "RESUME_SERVICE", "PAUSE_SERVICE", "START_DEPLOYMENT", "UPDATE_SERVICE", "CREATE_SERVICE"],
)
