resource "aws_secretsmanager_secret" "greeting" {
  name                    = "terraform/greeting"
  description             = "what the service says"
  recovery_window_in_days = 0

  tags = {
    team = "web"
  }
}

resource "aws_secretsmanager_secret_version" "greeting" {
  secret_id     = aws_secretsmanager_secret.greeting.id
  secret_string = jsonencode({ greeting = var.greeting })
}

resource "aws_ssm_parameter" "token" {
  name        = "/terraform/token"
  description = "what the service knows"
  type        = "SecureString"
  value       = var.greeting

  tags = {
    team = "web"
  }
}

data "aws_secretsmanager_secret_version" "greeting" {
  secret_id  = aws_secretsmanager_secret.greeting.id
  depends_on = [aws_secretsmanager_secret_version.greeting]
}

resource "aws_apprunner_service" "secretive" {
  service_name = "secretive"

  source_configuration {
    auto_deployments_enabled = false

    image_repository {
      image_identifier      = var.image
      image_repository_type = "ECR"

      image_configuration {
        port = "8080"
        runtime_environment_secrets = {
          GREETING = "${aws_secretsmanager_secret.greeting.arn}:greeting::"
          TOKEN    = aws_ssm_parameter.token.arn
        }
      }
    }
  }

  instance_configuration {
    cpu               = "0.25 vCPU"
    memory            = "0.5 GB"
    instance_role_arn = "arn:aws:iam::000000000000:role/web"
  }

  depends_on = [aws_secretsmanager_secret_version.greeting]
}

output "secret" { value = aws_secretsmanager_secret.greeting.id }
output "version" { value = aws_secretsmanager_secret_version.greeting.id }
output "secretive" { value = aws_apprunner_service.secretive.service_url }
