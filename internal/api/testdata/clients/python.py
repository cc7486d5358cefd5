"""Makes the calls it reads from standard input with boto3.

A line is {"operation": name, "input": {...}}; the answer is a line, {"output":
{...}} with times in milliseconds, or {"error": code, "message": text}.
"""

import datetime
import json
import sys

import boto3
import botocore.config
import botocore.exceptions

endpoint, region, key, secret = sys.argv[1:]
client = boto3.client(
    "apprunner", endpoint_url=endpoint, region_name=region,
    aws_access_key_id=key, aws_secret_access_key=secret,
    config=botocore.config.Config(retries={"total_max_attempts": 1}),
)
methods = {operation: method for method, operation in client.meta.method_to_api_mapping.items()}


def plain(value):
    if isinstance(value, datetime.datetime):
        return round(value.timestamp() * 1000)
    raise TypeError(type(value))


for line in sys.stdin:
    call = json.loads(line)
    try:
        output = getattr(client, methods[call["operation"]])(**call["input"])
        output.pop("ResponseMetadata")
        answer = {"output": output}
    except botocore.exceptions.ClientError as e:
        answer = {"error": e.response["Error"]["Code"], "message": e.response["Error"]["Message"]}
    print(json.dumps(answer, default=plain), flush=True)
