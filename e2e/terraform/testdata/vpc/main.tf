terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "endpoint" { type = string }
variable "image" { type = string }
variable "greeting" { type = string }

provider "aws" {
  region                      = "us-east-1"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true

  default_tags {
    tags = { team = "web" }
  }

  endpoints {
    apprunner = var.endpoint
  }
}

resource "aws_apprunner_vpc_connector" "near" {
  vpc_connector_name = "near"
  subnets            = ["subnet-a", "subnet-b"]
  security_groups    = ["sg-1"]
  tags               = { greeting = var.greeting }
}

resource "aws_apprunner_service" "web" {
  service_name = "from-terraform"

  source_configuration {
    auto_deployments_enabled = false

    image_repository {
      image_identifier      = var.image
      image_repository_type = "ECR"

      image_configuration {
        port                          = "8080"
        runtime_environment_variables = { GREETING = var.greeting }
      }
    }
  }

  network_configuration {
    egress_configuration {
      egress_type       = "VPC"
      vpc_connector_arn = aws_apprunner_vpc_connector.near.arn
    }

    ingress_configuration {
      is_publicly_accessible = false
    }
  }
}

resource "aws_apprunner_vpc_ingress_connection" "door" {
  name        = "door"
  service_arn = aws_apprunner_service.web.arn

  ingress_vpc_configuration {
    vpc_id          = "vpc-1"
    vpc_endpoint_id = "vpce-1"
  }

  tags = { greeting = var.greeting }
}

output "arn" { value = aws_apprunner_service.web.arn }
output "connector" { value = aws_apprunner_vpc_connector.near.arn }
output "connector_status" { value = aws_apprunner_vpc_connector.near.status }
output "door" { value = aws_apprunner_vpc_ingress_connection.door.arn }
output "door_status" { value = aws_apprunner_vpc_ingress_connection.door.status }
output "domain" { value = aws_apprunner_vpc_ingress_connection.door.domain_name }
