locals {
  alarm_actions = var.alarm_topic_arn != "" ? [var.alarm_topic_arn] : []

  function_alarms = {
    errors     = { metric = "Errors", statistic = "Sum", threshold = 1, periods = 3, of = 2, text = "Invocations of the vpcflowd function fail. Its log says why." }
    throttles  = { metric = "Throttles", statistic = "Sum", threshold = 1, periods = 3, of = 2, text = "The vpcflowd function is not given the concurrency that it needs." }
    event-wait = { metric = "AsyncEventAge", statistic = "Maximum", threshold = 900000, periods = 1, of = 1, text = "Events wait 15 minutes and longer before the vpcflowd function is invoked with them." }
    event-lost = { metric = "DestinationDeliveryFailures", statistic = "Sum", threshold = 1, periods = 1, of = 1, text = "Failed events could not be put into the queue of failed events. They are lost." }
  }
  kinesis_alarms = {
    for mapping in aws_lambda_event_source_mapping.kinesis[*] :
    "iterator-age" => { metric = "IteratorAge", statistic = "Maximum", threshold = 900000, periods = 2, of = 2, text = "The function is 15 minutes and more behind the Kinesis stream." }
  }
  queue_alarms = {
    failed  = { queue = aws_sqs_queue.failed_events.name, metric = "ApproximateNumberOfMessagesVisible", threshold = 1, periods = 1, text = "Failed events wait in the queue. Mend the cause, then redrive them." }
    refused = { queue = aws_sqs_queue.refused_events.name, metric = "ApproximateNumberOfMessagesVisible", threshold = 1, periods = 1, text = "Events failed again while they were redriven." }
  }
  s3_alarms = {
    for queue in aws_sqs_queue.s3_events[*].name :
    "s3-events-age" => { queue = queue, metric = "ApproximateAgeOfOldestMessage", threshold = 3600, periods = 2, text = "Flow-log objects wait an hour and longer to be read." }
  }
}

resource "aws_cloudwatch_metric_alarm" "function" {
  for_each            = merge(local.function_alarms, local.kinesis_alarms)
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.text
  namespace           = "AWS/Lambda"
  metric_name         = each.value.metric
  dimensions          = { FunctionName = aws_lambda_function.function.function_name }
  statistic           = each.value.statistic
  period              = 300
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.of
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "queue" {
  for_each            = merge(local.queue_alarms, local.s3_alarms)
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.text
  namespace           = "AWS/SQS"
  metric_name         = each.value.metric
  dimensions          = { QueueName = each.value.queue }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = each.value.periods
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}
