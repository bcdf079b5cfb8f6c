output "function_name" {
  description = "The function."
  value       = aws_lambda_function.function.function_name
}

output "function_arn" {
  description = "Its ARN."
  value       = aws_lambda_function.function.arn
}

output "function_role_arn" {
  description = "The role it runs as, for key and bucket policies that must name it."
  value       = aws_iam_role.function.arn
}

output "function_log_group" {
  description = "Where it logs."
  value       = aws_cloudwatch_log_group.function.name
}

output "failed_events_url" {
  description = "Queue of events that failed."
  value       = aws_sqs_queue.failed_events.url
}

output "refused_events_url" {
  description = "Queue of events that failed again while they were redriven."
  value       = aws_sqs_queue.refused_events.url
}

output "start_redrive" {
  description = "Feeds the failed events to the function again (--no-enabled ends it)."
  value       = "aws lambda update-event-source-mapping --uuid ${aws_lambda_event_source_mapping.redrive.uuid} --enabled"
}

output "s3_events_arn" {
  description = "Queue that the bucket must tell of new objects; null without s3_bucket."
  value       = one(aws_sqs_queue.s3_events[*].arn)
}

output "s3_notification_command" {
  description = "Makes the bucket tell of new objects. It replaces all notifications that the bucket has: look at `aws s3api get-bucket-notification-configuration` first, and add what is there. Null without s3_bucket."
  value = var.s3_bucket == "" ? null : format(
    "aws s3api put-bucket-notification-configuration --bucket %s --notification-configuration '%s'",
    var.s3_bucket,
    jsonencode({
      QueueConfigurations = [{
        Id       = "vpcflowd"
        QueueArn = aws_sqs_queue.s3_events[0].arn
        Events   = ["s3:ObjectCreated:*"]
        Filter = {
          Key = {
            FilterRules = [
              { Name = "prefix", Value = var.s3_prefix },
              { Name = "suffix", Value = ".log.gz" },
            ]
          }
        }
      }]
    }),
  )
}
