terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "endpoint" { type = string }
variable "greeting" { type = string } # whether tags may move

provider "aws" {
  region                      = "us-east-1"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true

  endpoints {
    ecr = var.endpoint
  }
}

resource "aws_ecr_repository" "shop" {
  name                 = "team/shop"
  image_tag_mutability = var.greeting
  force_delete         = true

  image_scanning_configuration {
    scan_on_push = true
  }

  tags = {
    team = "web"
    mode = var.greeting
  }
}

resource "aws_ecr_lifecycle_policy" "shop" {
  repository = aws_ecr_repository.shop.name
  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "keep ten images"
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 10 }
      action       = { type = "expire" }
    }]
  })
}

resource "aws_ecr_repository_policy" "shop" {
  repository = aws_ecr_repository.shop.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "pull"
      Effect    = "Allow"
      Principal = "*"
      Action    = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    }]
  })
}

data "aws_ecr_authorization_token" "token" {}

data "aws_ecr_repository" "pushed" {
  name = "pushed"
}

data "aws_ecr_image" "v1" {
  repository_name = data.aws_ecr_repository.pushed.name
  image_tag       = "v1"
}

data "aws_ecr_image" "latest" {
  repository_name = data.aws_ecr_repository.pushed.name
  most_recent     = true
}

output "url" { value = aws_ecr_repository.shop.repository_url }
output "arn" { value = data.aws_ecr_repository.pushed.arn }
output "digest" { value = data.aws_ecr_image.latest.image_digest == data.aws_ecr_image.v1.image_digest ? data.aws_ecr_image.v1.image_digest : "" }
output "user" { value = data.aws_ecr_authorization_token.token.user_name }
output "endpoint" { value = data.aws_ecr_authorization_token.token.proxy_endpoint }
