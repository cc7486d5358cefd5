variable "domain" { type = string }

resource "aws_apprunner_custom_domain_association" "own" {
  domain_name = var.domain
  service_arn = aws_apprunner_service.web.arn
}

output "records" {
  value = tostring(length(aws_apprunner_custom_domain_association.own.certificate_validation_records))
}
output "target" { value = aws_apprunner_custom_domain_association.own.dns_target }
