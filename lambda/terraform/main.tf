# vpcflowd's Lambda function: takes VPC flow logs from CloudWatch Logs, Kinesis or S3 and hands them to a vpcflowd
# daemon. role.tf says what it may do, sources.tf where the flow logs come from, alarms.tf what is watched.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region

  in_vpc = length(var.subnet_ids) > 0

  settings = {
    VPCFLOWD_TLS                = var.tls ? "1" : ""
    VPCFLOWD_CA                 = var.ca
    VPCFLOWD_PIN_SHA256         = var.pin_sha256
    VPCFLOWD_SERVER_NAME        = var.server_name
    VPCFLOWD_CLIENT_CERTIFICATE = var.client_certificate
    VPCFLOWD_CLIENT_KEY         = var.client_key
    VPCFLOWD_TOKEN              = var.token
    VPCFLOWD_MAX_PAYLOAD        = var.max_payload
  }

  # Unset settings are left out, so that the function's own defaults hold.
  environment = merge(
    { for name, value in local.settings : name => value if value != "" },
    {
      VPCFLOWD_HOST                  = var.host
      VPCFLOWD_PORT                  = tostring(var.port)
      VPCFLOWD_DEAD_LETTER_QUEUE_URL = aws_sqs_queue.failed_events.url
    },
  )
}

# ---- the function

data "archive_file" "function" {
  type        = "zip"
  output_path = "${path.module}/function.zip"

  dynamic "source" {
    # replay.mjs is a program of its own.
    for_each = setsubtract(fileset("${path.module}/..", "{*.mjs,package.json}"), ["replay.mjs"])
    content {
      filename = source.value
      content  = file("${path.module}/../${source.value}")
    }
  }
}

resource "aws_cloudwatch_log_group" "function" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_lambda_function" "function" {
  function_name                  = var.name
  description                    = "Hands VPC flow logs to vpcflowd"
  runtime                        = var.runtime
  architectures                  = [var.architecture]
  handler                        = "index.handler"
  filename                       = data.archive_file.function.output_path
  source_code_hash               = data.archive_file.function.output_base64sha256
  role                           = aws_iam_role.function.arn
  timeout                        = var.timeout
  memory_size                    = var.memory_size
  reserved_concurrent_executions = var.reserved_concurrency

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.function.name
  }

  environment {
    variables = local.environment
  }

  dynamic "vpc_config" {
    for_each = local.in_vpc ? [true] : []
    content {
      subnet_ids         = var.subnet_ids
      security_group_ids = var.security_group_ids
    }
  }

  # Lambda looks at once whether the role may do what the function needs.
  depends_on = [aws_iam_role_policy.function]

  lifecycle {
    precondition {
      condition     = (var.client_certificate == "") == (var.client_key == "")
      error_message = "client_certificate and client_key belong together."
    }
    precondition {
      condition     = local.in_vpc == (length(var.security_group_ids) > 0)
      error_message = "subnet_ids and security_group_ids belong together."
    }
    precondition {
      condition     = var.tls || alltrue([for value in [var.token, var.ca, var.pin_sha256, var.server_name, var.client_certificate] : value == ""])
      error_message = "token, ca, pin_sha256, server_name and client_certificate need tls = true."
    }
  }
}

# ---- failed events

# Lambda forgets an asynchronous event after two more tries; with this it goes to the queue instead.
resource "aws_lambda_function_event_invoke_config" "function" {
  function_name                = aws_lambda_function.function.function_name
  maximum_retry_attempts       = 2
  maximum_event_age_in_seconds = 21600

  destination_config {
    on_failure {
      destination = aws_sqs_queue.failed_events.arn
    }
  }
}

resource "aws_sqs_queue" "failed_events" {
  name                      = "${var.name}-failed"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  # Six times the function's timeout, as AWS advises.
  visibility_timeout_seconds = 6 * var.timeout

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.refused_events.arn
    maxReceiveCount     = 10
  })
}

# Failed again and again while they were redriven: kept apart, so that a redrive comes to an end.
resource "aws_sqs_queue" "refused_events" {
  name                      = "${var.name}-refused"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

resource "aws_lambda_event_source_mapping" "redrive" {
  function_name           = aws_lambda_function.function.arn
  event_source_arn        = aws_sqs_queue.failed_events.arn
  enabled                 = var.redrive
  batch_size              = 5
  function_response_types = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = 2
  }
}
