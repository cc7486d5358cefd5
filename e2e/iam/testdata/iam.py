"""A restricted user and temporary credentials, as boto3 sees them.

usage: iam.py API
"""

import sys

import boto3
from botocore.exceptions import ClientError

api = sys.argv[1]
ALLOW = """{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["apprunner:List*", "apprunner:Create*", "apprunner:TagResource"], "Resource": "*"},
  {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {"aws:RequestTag/stage": "prod"}}}]}"""


def client(service, key=None, secret=None, token=None):
    return boto3.client(service, endpoint_url=api, region_name="us-east-1",
                        aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token)


def refused(code, status, text, call, **arguments):
    try:
        call(**arguments)
    except ClientError as e:
        got = (e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"])
        assert got == (code, status) and text in e.response["Error"]["Message"], e.response
        return
    raise AssertionError(f"{call} was not refused")


iam = client("iam")
assert client("sts").get_caller_identity()["Arn"].endswith(":root")
user = iam.create_user(UserName="ann", Tags=[{"Key": "team", "Value": "red"}])["User"]
assert user["Arn"].endswith(":user/ann") and user["CreateDate"].year > 2000, user
iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=ALLOW)
assert iam.get_user_policy(UserName="ann", PolicyName="p")["PolicyDocument"]["Version"] == "2012-10-17"
try:
    iam.put_user_policy(UserName="ann", PolicyName="q", PolicyDocument="{}")
    raise AssertionError("an empty document was taken")
except iam.exceptions.MalformedPolicyDocumentException:
    pass
try:
    iam.get_user(UserName="nobody")
    raise AssertionError("nobody is there")
except iam.exceptions.NoSuchEntityException:
    pass
key = iam.create_access_key(UserName="ann")["AccessKey"]
permanent = (key["AccessKeyId"], key["SecretAccessKey"])
session = client("sts", *permanent).get_session_token(DurationSeconds=900)["Credentials"]
temporary = (session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])

for credentials in (permanent, temporary):
    assert client("sts", *credentials).get_caller_identity()["Arn"] == user["Arn"]
    ann = client("apprunner", *credentials)
    assert ann.list_services()["ServiceSummaryList"] == []
    ann.create_auto_scaling_configuration(AutoScalingConfigurationName="small", Tags=[{"Key": "stage", "Value": "test"}])
    refused("AccessDeniedException", 403, "with an explicit deny in an identity-based policy",
            ann.create_auto_scaling_configuration, AutoScalingConfigurationName="small", Tags=[{"Key": "stage", "Value": "prod"}])
    refused("AccessDeniedException", 403, "because no identity-based policy allows the apprunner:DeleteAutoScalingConfiguration action",
            ann.delete_auto_scaling_configuration,
            AutoScalingConfigurationArn="arn:aws:apprunner:us-east-1:000000000000:autoscalingconfiguration/small/1")
    refused("AccessDenied", 403, "iam:ListUsers", client("iam", *credentials).list_users)

refused("UnrecognizedClientException", 403, "is invalid", client("apprunner", *temporary[:2], "other").list_services)
refused("UnrecognizedClientException", 403, "is invalid", client("apprunner", *temporary[:2]).list_services)
refused("InvalidSignatureException", 403, "does not match", client("apprunner", permanent[0], "guess").list_services)
iam.update_access_key(UserName="ann", AccessKeyId=key["AccessKeyId"], Status="Inactive")
refused("UnrecognizedClientException", 403, "is invalid", client("apprunner", *permanent).list_services)
refused("InvalidClientTokenId", 403, "is invalid", client("sts", *permanent).get_caller_identity)
client("apprunner", *temporary).list_services()  # a session does not need the key that began it

trail = client("cloudtrail")
events = [e for page in trail.get_paginator("lookup_events").paginate(
    LookupAttributes=[{"AttributeKey": "Username", "AttributeValue": "ann"}]) for e in page["Events"]]
names = [e["EventName"] for e in reversed(events)]
assert names == ["GetSessionToken"] + ["CreateAutoScalingConfiguration"] * 2 + ["DeleteAutoScalingConfiguration"] + \
    ["CreateAutoScalingConfiguration"] * 2 + ["DeleteAutoScalingConfiguration"] + ["RefuseSignature"] * 2, names
assert all(e["EventTime"].year > 2000 and (e["ReadOnly"] == "false") == (e["EventName"] != "RefuseSignature") for e in events)
assert not any(secret in e["CloudTrailEvent"] for e in events for secret in (*permanent[1:], *temporary[1:]))
