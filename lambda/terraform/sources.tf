# Where the flow logs come from: log groups, a Kinesis stream, an S3 bucket, or several of these.

# ---- log groups

resource "aws_lambda_permission" "log_group" {
  for_each       = var.log_groups
  function_name  = aws_lambda_function.function.function_name
  action         = "lambda:InvokeFunction"
  principal      = "logs.amazonaws.com"
  source_account = local.account
  source_arn     = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:${each.value}:*"
}

resource "aws_cloudwatch_log_subscription_filter" "log_group" {
  for_each        = var.log_groups
  name            = var.name
  log_group_name  = each.value
  filter_pattern  = ""
  destination_arn = aws_lambda_function.function.arn
  depends_on      = [aws_lambda_permission.log_group]
}

# ---- a Kinesis stream

resource "aws_lambda_event_source_mapping" "kinesis" {
  count                              = var.kinesis_stream_arn != "" ? 1 : 0
  function_name                      = aws_lambda_function.function.arn
  event_source_arn                   = var.kinesis_stream_arn
  starting_position                  = var.kinesis_starting_position
  batch_size                         = var.kinesis_batch_size
  maximum_batching_window_in_seconds = 1
  bisect_batch_on_function_error     = true
  function_response_types            = ["ReportBatchItemFailures"]
  maximum_retry_attempts             = var.kinesis_maximum_retry_attempts
  maximum_record_age_in_seconds      = var.kinesis_maximum_record_age

  destination_config {
    on_failure {
      destination_arn = aws_sqs_queue.failed_events.arn
    }
  }
}

# ---- an S3 bucket, which tells of new objects through a queue

resource "aws_sqs_queue" "s3_events" {
  count                      = var.s3_bucket != "" ? 1 : 0
  name                       = "${var.name}-s3-events"
  message_retention_seconds  = 1209600
  sqs_managed_sse_enabled    = true
  visibility_timeout_seconds = 6 * var.timeout

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.failed_events.arn
    maxReceiveCount     = 50
  })
}

resource "aws_sqs_queue_policy" "s3_events" {
  count     = var.s3_bucket != "" ? 1 : 0
  queue_url = aws_sqs_queue.s3_events[0].url
  policy    = data.aws_iam_policy_document.s3_events[0].json
}

data "aws_iam_policy_document" "s3_events" {
  count = var.s3_bucket != "" ? 1 : 0

  statement {
    sid       = "BucketTellsOfObjects"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.s3_events[0].arn]
    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:s3:::${var.s3_bucket}"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.s3_bucket_account != "" ? var.s3_bucket_account : local.account]
    }
  }
}

resource "aws_lambda_event_source_mapping" "s3" {
  count                   = var.s3_bucket != "" ? 1 : 0
  function_name           = aws_lambda_function.function.arn
  event_source_arn        = aws_sqs_queue.s3_events[0].arn
  batch_size              = 5
  function_response_types = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = var.s3_concurrency
  }
}
