"""Keeps secrets and parameters with boto3 and checks what it answers.

keep.py ENDPOINT
"""

import sys

import boto3

endpoint = sys.argv[1]
sm = boto3.client("secretsmanager", endpoint_url=endpoint)
ssm = boto3.client("ssm", endpoint_url=endpoint)


def refused(exception, call, **arguments):
    try:
        call(**arguments)
    except exception:
        return
    raise AssertionError(f"{call} was not refused with {exception}")


made = sm.create_secret(Name="py/db", SecretString="one", Tags=[{"Key": "team", "Value": "a"}])
assert made["ARN"].startswith("arn:aws:secretsmanager:us-east-1:000000000000:secret:py/db-"), made
assert sm.put_secret_value(SecretId=made["ARN"], SecretBinary=b"\x00\x01")["VersionStages"] == ["AWSCURRENT"]
got = sm.get_secret_value(SecretId="py/db")
assert got["SecretBinary"] == b"\x00\x01" and "SecretString" not in got, got
assert sm.get_secret_value(SecretId="py/db", VersionStage="AWSPREVIOUS")["SecretString"] == "one"
described = sm.describe_secret(SecretId="py/db")
assert described["Tags"] == [{"Key": "team", "Value": "a"}], described
assert sorted(described["VersionIdsToStages"].values()) == [["AWSCURRENT"], ["AWSPREVIOUS"]], described
assert described["CreatedDate"].year > 2000, described
refused(sm.exceptions.ResourceExistsException, sm.create_secret, Name="py/db")
refused(sm.exceptions.ResourceNotFoundException, sm.get_secret_value, SecretId="none")
for i in range(250):
    sm.create_secret(Name=f"many/{i:03}")
pages = sm.get_paginator("list_secrets").paginate(Filters=[{"Key": "name", "Values": ["many/"]}], PaginationConfig={"PageSize": 7})
assert [s["Name"] for p in pages for s in p["SecretList"]] == [f"many/{i:03}" for i in range(250)]
sm.delete_secret(SecretId="py/db", RecoveryWindowInDays=7)
refused(sm.exceptions.InvalidRequestException, sm.get_secret_value, SecretId="py/db")
sm.restore_secret(SecretId="py/db")
sm.get_secret_value(SecretId="py/db")

for i in range(25):
    ssm.put_parameter(Name=f"/py/{i:02}", Value=f"v{i}", Type="SecureString")
assert ssm.put_parameter(Name="/py/00", Value="new", Overwrite=True)["Version"] == 2
assert ssm.get_parameter(Name="/py/00", WithDecryption=True)["Parameter"]["Value"] == "new"
assert ssm.get_parameter(Name="/py/00:1", WithDecryption=True)["Parameter"]["Value"] == "v0"
pages = ssm.get_paginator("get_parameters_by_path").paginate(Path="/py", WithDecryption=True)
assert [p["Value"] for page in pages for p in page["Parameters"]] == ["new"] + [f"v{i}" for i in range(1, 25)]
pages = ssm.get_paginator("describe_parameters").paginate(PaginationConfig={"PageSize": 4})
assert len([p for page in pages for p in page["Parameters"]]) == 25
assert len(ssm.get_parameter_history(Name="/py/00")["Parameters"]) == 2
refused(ssm.exceptions.ParameterAlreadyExists, ssm.put_parameter, Name="/py/00", Value="x", Type="String")
refused(ssm.exceptions.ParameterNotFound, ssm.get_parameter, Name="/none")
refused(ssm.exceptions.ParameterVersionNotFound, ssm.get_parameter, Name="/py/00:9")
assert ssm.delete_parameters(Names=["/py/00", "/none"])["InvalidParameters"] == ["/none"]
