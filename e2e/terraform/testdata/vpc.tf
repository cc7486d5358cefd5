resource "aws_apprunner_vpc_connector" "near" {
  vpc_connector_name = "near"
  subnets            = ["subnet-a", "subnet-b"]
  security_groups    = ["sg-1"]
  tags               = { greeting = var.greeting }
}

resource "aws_apprunner_service" "private" {
  service_name = "private"

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
  service_arn = aws_apprunner_service.private.arn

  ingress_vpc_configuration {
    vpc_id          = "vpc-1"
    vpc_endpoint_id = "vpce-1"
  }

  tags = { greeting = var.greeting }
}

output "private" { value = aws_apprunner_service.private.arn }
output "connector" { value = aws_apprunner_vpc_connector.near.arn }
output "connector_status" { value = aws_apprunner_vpc_connector.near.status }
output "door" { value = aws_apprunner_vpc_ingress_connection.door.arn }
output "door_status" { value = aws_apprunner_vpc_ingress_connection.door.status }
output "door_domain" { value = aws_apprunner_vpc_ingress_connection.door.domain_name }

output "private_url" { value = aws_apprunner_service.private.service_url }
