resource "aws_apprunner_auto_scaling_configuration_version" "pair" {
  auto_scaling_configuration_name = "pair"
  max_concurrency                 = 50
  min_size                        = 2
  max_size                        = 3
}

resource "aws_apprunner_service" "web" {
  service_name                   = "from-terraform"
  auto_scaling_configuration_arn = aws_apprunner_auto_scaling_configuration_version.pair.arn

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

  instance_configuration {
    cpu    = "0.25 vCPU"
    memory = "0.5 GB"
  }

  health_check_configuration {
    protocol            = "HTTP"
    path                = "/healthz"
    interval            = 1
    timeout             = 2
    healthy_threshold   = 1
    unhealthy_threshold = 5
  }

  tags = {
    team = "web"
  }
}

output "arn" { value = aws_apprunner_service.web.arn }
output "url" { value = aws_apprunner_service.web.service_url }
