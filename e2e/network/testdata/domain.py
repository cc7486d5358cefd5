"""Leads a custom domain through its life with boto3, as Copilot's custom
resource does.

Usage: domain.py API HOST:PORT SERVICE_ARN. It prints the domain, as JSON, whose
records are to be published, and goes on when it reads a line. Exits 0 when every
expectation held.
"""

import http.client
import json
import sys
import time

import boto3

api, address, arn = sys.argv[1:]
client = boto3.client("apprunner", endpoint_url=api)
LIMIT = 90  # seconds that anything asynchronous may take
NAME = "copilot.example.com"


def expect(what, got, want):
    if got != want:
        sys.exit(f"{what}: got {got!r}, want {want!r}")


def find():
    """Pages through the service's domains."""
    token = {}
    while True:
        page = client.describe_custom_domains(ServiceArn=arn, MaxResults=1, **token)
        for d in page["CustomDomains"]:
            if d["DomainName"] == NAME:
                return d
        if "NextToken" not in page:
            return None
        token = {"NextToken": page["NextToken"]}


def wait(status, passing):
    """Waits for a status, with none but those of passing before it."""
    deadline = time.monotonic() + LIMIT
    while True:
        d = find()
        got = d and d["Status"]
        if got == status:
            return d
        if got not in passing or time.monotonic() > deadline:
            sys.exit(f"waiting for {status}: {d}")
        time.sleep(0.05)


def get(host):
    c = http.client.HTTPConnection(address, timeout=LIMIT)
    c.request("GET", "/", headers={"Host": host})
    r = c.getresponse()
    return r.status, r.read().decode()


client.associate_custom_domain(ServiceArn=arn, DomainName="first.example.com")
out = client.associate_custom_domain(ServiceArn=arn, DomainName=NAME)
expect("www by default", out["CustomDomain"]["EnableWWWSubdomain"], True)
expect("status", out["CustomDomain"]["Status"], "creating")
expect("records at first", "CertificateValidationRecords" in out["CustomDomain"], False)
try:
    client.associate_custom_domain(ServiceArn=arn, DomainName=NAME)
    sys.exit("associated twice")
except client.exceptions.InvalidRequestException as e:
    expect("text of a second association", f"{NAME} is already associated with" in str(e), True)

pending = "pending_certificate_dns_validation"
d = wait(pending, ["creating"])
expect("records", len(d["CertificateValidationRecords"]), 3)
expect("status of the first", d["CertificateValidationRecords"][0]["Status"], "PENDING_VALIDATION")
print(json.dumps(d), flush=True)
sys.stdin.readline()
d = wait("active", [pending, "binding_certificate"])
expect("records", {r["Status"] for r in d["CertificateValidationRecords"]}, {"SUCCESS"})
for host in (NAME, "www." + NAME):
    status, body = get(host)
    expect(host, status, 200)
    expect("the host that the application sees", json.loads(body)["host"], host)

out = client.disassociate_custom_domain(ServiceArn=arn, DomainName=NAME)
expect("status", out["CustomDomain"]["Status"], "deleting")
expect("records to remove", len(out["CustomDomain"]["CertificateValidationRecords"]), 3)
wait(None, ["deleting"])
expect("afterwards", get(NAME)[0], 404)
try:
    client.disassociate_custom_domain(ServiceArn=arn, DomainName=NAME)
    sys.exit("disassociated twice")
except client.exceptions.ResourceNotFoundException as e:
    expect("text", f"No custom domain {NAME} found for the provided service" in str(e), True)
