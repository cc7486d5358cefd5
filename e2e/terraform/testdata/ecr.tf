locals {
  mutability = var.greeting == "one" ? "IMMUTABLE" : "MUTABLE"
}

resource "aws_ecr_repository" "shop" {
  name                 = "team/shop"
  image_tag_mutability = local.mutability
  force_delete         = true

  image_scanning_configuration {
    scan_on_push = true
  }

  tags = {
    team = "web"
    mode = local.mutability
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

output "repository" { value = aws_ecr_repository.shop.repository_url }
output "pushed" { value = data.aws_ecr_repository.pushed.arn }
output "digest" { value = data.aws_ecr_image.latest.image_digest == data.aws_ecr_image.v1.image_digest ? data.aws_ecr_image.v1.image_digest : "" }
output "docker_user" { value = data.aws_ecr_authorization_token.token.user_name }
output "docker_endpoint" { value = data.aws_ecr_authorization_token.token.proxy_endpoint }
