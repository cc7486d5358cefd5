terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "endpoint" { type = string }
variable "greeting" { type = string }

provider "aws" {
  region                      = "us-east-1"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true

  endpoints {
    apprunner = var.endpoint
  }
}

resource "aws_apprunner_auto_scaling_configuration_version" "small" {
  auto_scaling_configuration_name = "small"
  max_size                        = 2
}

resource "aws_apprunner_service" "shop" {
  service_name                   = "shop"
  auto_scaling_configuration_arn = aws_apprunner_auto_scaling_configuration_version.small.arn

  source_configuration {
    auto_deployments_enabled = false

    image_repository {
      image_identifier      = "public.ecr.aws/nginx/nginx:latest"
      image_repository_type = "ECR_PUBLIC"

      image_configuration {
        port                          = "80"
        runtime_environment_variables = { GREETING = var.greeting }
      }
    }
  }

  tags = {
    team = var.greeting
  }
}
