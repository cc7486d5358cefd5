# Creates a service with a source configuration and waits until it runs.
import json, os, sys, time
import boto3

client = boto3.client("apprunner", endpoint_url=os.environ["SLIPWAY_ENDPOINT"])
made = client.create_service(ServiceName=sys.argv[1], SourceConfiguration=json.loads(sys.argv[2]))
arn, status = made["Service"]["ServiceArn"], ""
for _ in range(900):
    status = client.describe_service(ServiceArn=arn)["Service"]["Status"]
    if status != "OPERATION_IN_PROGRESS":
        break
    time.sleep(1)
if status != "RUNNING":
    sys.exit("the service is " + status)
