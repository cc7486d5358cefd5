terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}
variable "endpoint" { type = string }
variable "image" { type = string }
variable "greeting" { type = string } # an action
provider "aws" {
  region = "us-east-1"
  endpoints {
    apprunner = var.endpoint
    iam       = var.endpoint
    sts       = var.endpoint
  }
}
data "aws_caller_identity" "me" {}

resource "aws_iam_user" "ci" {
  name = "ci"
  path = "/robots/${substr(var.greeting, 10, -1)}/"
  tags = { team = "web" }
}
resource "aws_iam_user" "bot" {
  name          = "bot"
  force_destroy = true
}
resource "aws_iam_access_key" "ci" { user = aws_iam_user.ci.name }
resource "aws_iam_user_policy" "own" {
  name = "own"
  user = aws_iam_user.ci.name
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["apprunner:List*"], Resource = "*" }]
  })
}
resource "aws_iam_policy" "deploy" {
  name        = "deploy"
  description = "what deployments need"
  tags        = { action = var.greeting }
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = [var.greeting], Resource = "arn:aws:apprunner:*:${data.aws_caller_identity.me.account_id}:service/*" }]
  })
}
resource "aws_iam_user_policy_attachment" "deploy" {
  user       = aws_iam_user.ci.name
  policy_arn = aws_iam_policy.deploy.arn
}
resource "aws_apprunner_auto_scaling_configuration_version" "pair" {
  auto_scaling_configuration_name = "pair"
  max_size                        = 3
}
output "account" { value = data.aws_caller_identity.me.account_id }
output "key" { value = aws_iam_access_key.ci.id }
