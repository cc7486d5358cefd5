terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "endpoint" { type = string }
variable "repository" { type = string }
variable "connection" { type = string }
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

# The repository says how it is built and started.
resource "aws_apprunner_service" "file" {
  service_name = "from-the-file"

  source_configuration {
    auto_deployments_enabled = false

    authentication_configuration {
      connection_arn = var.connection
    }

    code_repository {
      repository_url   = var.repository
      source_directory = "/services/shop"

      code_configuration {
        configuration_source = "REPOSITORY"
      }

      source_code_version {
        type  = "BRANCH"
        value = "main"
      }
    }
  }

  health_check_configuration {
    interval          = 1
    timeout           = 2
    healthy_threshold = 1
  }
}

# The service does.
resource "aws_apprunner_service" "api" {
  service_name = "from-the-api"

  source_configuration {
    auto_deployments_enabled = false

    authentication_configuration {
      connection_arn = var.connection
    }

    code_repository {
      repository_url = var.repository

      code_configuration {
        configuration_source = "API"

        code_configuration_values {
          runtime                       = "PYTHON_311"
          build_command                 = "cd services/shop && echo \"built by the API\" > built.txt"
          start_command                 = "cd services/shop && python3 app.py"
          port                          = "9001"
          runtime_environment_variables = { STAGE = var.greeting }
        }
      }

      source_code_version {
        type  = "BRANCH"
        value = "main"
      }
    }
  }

  health_check_configuration {
    interval          = 1
    timeout           = 2
    healthy_threshold = 1
  }
}

output "file" { value = aws_apprunner_service.file.service_url }
output "api" { value = aws_apprunner_service.api.service_url }
output "api_arn" { value = aws_apprunner_service.api.arn }
