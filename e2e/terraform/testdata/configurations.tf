resource "aws_apprunner_connection" "code" {
  connection_name = "code"
  provider_type   = "GITHUB"
  tags            = { team = local.team }
}

resource "aws_apprunner_observability_configuration" "traces" {
  observability_configuration_name = "traces"

  trace_configuration {
    vendor = "AWSXRAY"
  }

  tags = { team = local.team }
}

resource "aws_apprunner_auto_scaling_configuration_version" "steady" {
  auto_scaling_configuration_name = "steady"
  tags                            = { team = local.team }
}

resource "aws_apprunner_auto_scaling_configuration_version" "steady_next" {
  auto_scaling_configuration_name = aws_apprunner_auto_scaling_configuration_version.steady.auto_scaling_configuration_name
  max_concurrency                 = var.greeting == "one" ? 40 : 60
}

resource "aws_apprunner_auto_scaling_configuration_version" "calm" {
  auto_scaling_configuration_name = "calm"
  max_size                        = 2
}

resource "aws_apprunner_default_auto_scaling_configuration_version" "default" {
  auto_scaling_configuration_arn = aws_apprunner_auto_scaling_configuration_version.calm.arn
}

resource "aws_apprunner_service" "observed" {
  service_name = "observed"

  source_configuration {
    auto_deployments_enabled = false

    image_repository {
      image_identifier      = var.image
      image_repository_type = "ECR"
    }
  }

  observability_configuration {
    observability_enabled           = true
    observability_configuration_arn = aws_apprunner_observability_configuration.traces.arn
  }

  depends_on = [aws_apprunner_default_auto_scaling_configuration_version.default]
}

resource "aws_apprunner_deployment" "now" {
  service_arn = aws_apprunner_service.observed.arn
}

data "aws_apprunner_hosted_zone_id" "here" {}

output "connection" { value = aws_apprunner_connection.code.arn }
output "connection_status" { value = aws_apprunner_connection.code.status }
output "traces" { value = aws_apprunner_observability_configuration.traces.arn }
output "steady" { value = aws_apprunner_auto_scaling_configuration_version.steady.arn }
output "steady_next" { value = aws_apprunner_auto_scaling_configuration_version.steady_next.arn }
output "calm" { value = aws_apprunner_auto_scaling_configuration_version.calm.arn }
output "observed_scaling" { value = aws_apprunner_service.observed.auto_scaling_configuration_arn }
output "observed" { value = aws_apprunner_service.observed.arn }
output "deployment" { value = aws_apprunner_deployment.now.status }
output "zone" { value = data.aws_apprunner_hosted_zone_id.here.id }
