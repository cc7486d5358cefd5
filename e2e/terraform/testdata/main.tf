# All that Terraform's provider makes of App Runner, its images, secrets and users, in
# one configuration: each run of Terraform loads the provider for some ten seconds.
terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "endpoint" { type = string }
variable "image" { type = string }
variable "greeting" { type = string } # one, then two: something of each file changes with it

locals {
  team = var.greeting == "one" ? "web" : "shop"
}

provider "aws" {
  region = "us-east-1"

  default_tags {
    tags = { by = "terraform" }
  }

  endpoints {
    apprunner      = var.endpoint
    ecr            = var.endpoint
    iam            = var.endpoint
    secretsmanager = var.endpoint
    ssm            = var.endpoint
    sts            = var.endpoint
  }
}
