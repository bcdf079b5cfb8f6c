# What the function may do. Each statement is there only if its source or setting is, and names that resource alone.

locals {
  # Settings that may refer to a secret (its ARN, perhaps with #key) or to an SSM parameter (ssm:/name).
  references = [var.ca, var.client_certificate, var.client_key, var.token]
  secrets    = distinct([for value in local.references : split("#", value)[0] if startswith(value, "arn:")])
  parameters = distinct([
    for value in local.references :
    "arn:${local.partition}:ssm:${local.region}:${local.account}:parameter${trimprefix(value, "ssm:")}"
    if startswith(value, "ssm:")
  ])
}

resource "aws_iam_role" "function" {
  name_prefix        = "${substr(var.name, 0, 37)}-"
  description        = "What the function ${var.name} may do"
  assume_role_policy = data.aws_iam_policy_document.lambda_assumes.json
}

data "aws_iam_policy_document" "lambda_assumes" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role_policy" "function" {
  name   = "function"
  role   = aws_iam_role.function.id
  policy = data.aws_iam_policy_document.function.json
}

data "aws_iam_policy_document" "function" {
  statement {
    sid       = "WriteOwnLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.function.arn}:*"]
  }

  statement {
    sid       = "KeepFailedEvents"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.failed_events.arn]
  }

  statement {
    sid       = "TakeFailedEventsAgain"
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    resources = [aws_sqs_queue.failed_events.arn]
  }

  dynamic "statement" {
    for_each = aws_sqs_queue.s3_events
    content {
      sid       = "TakeS3Events"
      actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
      resources = [statement.value.arn]
    }
  }

  dynamic "statement" {
    for_each = var.s3_bucket != "" ? [var.s3_bucket] : []
    content {
      sid       = "ReadFlowLogObjects"
      actions   = ["s3:GetObject"]
      resources = ["arn:${local.partition}:s3:::${statement.value}/${var.s3_prefix}*"]
    }
  }

  dynamic "statement" {
    for_each = var.s3_bucket != "" && var.s3_kms_key_arn != "" ? [var.s3_kms_key_arn] : []
    content {
      sid       = "DecryptFlowLogObjects"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
      condition {
        test     = "StringLike"
        variable = "kms:ViaService"
        values   = ["s3.*.amazonaws.com*"]
      }
    }
  }

  dynamic "statement" {
    for_each = var.kinesis_stream_arn != "" ? [var.kinesis_stream_arn] : []
    content {
      sid = "ReadStream"
      actions = [
        "kinesis:DescribeStream",
        "kinesis:DescribeStreamSummary",
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:ListShards",
      ]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = var.kinesis_stream_arn != "" && var.kinesis_kms_key_arn != "" ? [var.kinesis_kms_key_arn] : []
    content {
      sid       = "DecryptStream"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
      condition {
        test     = "StringLike"
        variable = "kms:ViaService"
        values   = ["kinesis.*.amazonaws.com*"]
      }
    }
  }

  dynamic "statement" {
    for_each = length(local.secrets) > 0 ? [local.secrets] : []
    content {
      sid       = "ReadSecrets"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(local.parameters) > 0 ? [local.parameters] : []
    content {
      sid       = "ReadParameters"
      actions   = ["ssm:GetParameter"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = var.secrets_kms_key_arn != "" ? [var.secrets_kms_key_arn] : []
    content {
      sid       = "DecryptSecrets"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
      condition {
        test     = "StringLike"
        variable = "kms:ViaService"
        values   = ["secretsmanager.*.amazonaws.com*", "ssm.*.amazonaws.com*"]
      }
    }
  }

  # Lambda makes the network interfaces with the function's role. Shared subnets belong to another account.
  dynamic "statement" {
    for_each = local.in_vpc ? [true] : []
    content {
      sid = "AttachToVpc"
      actions = [
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
      ]
      resources = ["arn:${local.partition}:ec2:${local.region}:*:*/*"]
    }
  }

  dynamic "statement" {
    for_each = local.in_vpc ? [true] : []
    content {
      sid     = "SeeVpc"
      actions = ["ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"]
      # EC2 lets these be allowed on everything only.
      resources = ["*"]
    }
  }
}

# What Lambda needs to attach the function to its VPC, the function's own code must not do.
resource "aws_iam_role_policy" "network_is_lambdas_alone" {
  count  = local.in_vpc ? 1 : 0
  name   = "network-is-lambdas-alone"
  role   = aws_iam_role.function.id
  policy = data.aws_iam_policy_document.network_is_lambdas_alone.json
}

data "aws_iam_policy_document" "network_is_lambdas_alone" {
  statement {
    sid       = "NotFromCode"
    effect    = "Deny"
    actions   = ["ec2:*"]
    resources = ["*"]
    condition {
      test     = "ArnEquals"
      variable = "lambda:SourceFunctionArn"
      values   = [aws_lambda_function.function.arn]
    }
  }
}
