"""Walks through ECR's calls with boto3. There is one repository: pushed:v1.

Usage: ecr.py API. Exits 0 when every expectation held.
"""

import sys

import boto3

ecr = boto3.client("ecr", endpoint_url=sys.argv[1])


def expect(what, got, want):
    if got != want:
        sys.exit(f"{what}: got {got!r}, want {want!r}")


def refused(exception, call, **args):
    try:
        call(**args)
    except exception:
        return
    sys.exit(f"{call} with {args} was not refused by {exception}")


names = [f"repo-{n:03}" for n in range(250)]
for name in names:
    ecr.create_repository(repositoryName=name)
seen = []
for n, page in enumerate(ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 40})):
    seen += [r["repositoryName"] for r in page["repositories"]]
    ecr.create_repository(repositoryName=f"between-{n}")
    ecr.delete_repository(repositoryName=f"between-{n}")
expect("repositories", [s for s in seen if s.startswith("repo-")], names)
expect("repositories that were pushed", "pushed" in seen, True)
for name in names:
    ecr.delete_repository(repositoryName=name)

images = ecr.list_images(repositoryName="pushed")["imageIds"]
expect("images", [i.get("imageTag") for i in images], ["v1"])
details = ecr.describe_images(repositoryName="pushed", filter={"tagStatus": "TAGGED"})["imageDetails"]
expect("details", [d["imageTags"] for d in details], [["v1"]])
expect("untagged", ecr.describe_images(repositoryName="pushed", filter={"tagStatus": "UNTAGGED"})["imageDetails"], [])

x = ecr.exceptions
refused(x.RepositoryNotFoundException, ecr.list_images, repositoryName="none")
refused(x.RepositoryNotEmptyException, ecr.delete_repository, repositoryName="pushed")
refused(x.ImageNotFoundException, ecr.describe_images, repositoryName="pushed", imageIds=[{"imageTag": "v9"}])
refused(x.LifecyclePolicyNotFoundException, ecr.get_lifecycle_policy, repositoryName="pushed")
refused(x.RepositoryPolicyNotFoundException, ecr.get_repository_policy, repositoryName="pushed")
refused(x.InvalidParameterException, ecr.create_repository, repositoryName="UPPER")

out = ecr.batch_delete_image(repositoryName="pushed", imageIds=[{"imageTag": "v1"}, {"imageTag": "v2"}])
expect("deleted", [i["imageTag"] for i in out["imageIds"]], ["v1"])
expect("failures", [f["failureCode"] for f in out["failures"]], ["ImageNotFound"])
refused(x.RepositoryNotFoundException, ecr.describe_images, repositoryName="pushed")
