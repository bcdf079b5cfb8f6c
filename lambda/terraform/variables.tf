# The same settings as the parameters of ../template.yaml; tests/lambda/template.test.mjs compares them.

variable "name" {
  description = "Name of the function; the names of its queues and alarms begin with it."
  type        = string
  default     = "vpcflowd"

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,64}$", var.name))
    error_message = "name is at most 64 letters, digits, - and _."
  }
}

# ---- the daemon

variable "host" {
  description = "Name or IP address of the host that vpcflowd listens on. Several, separated by commas, share the work and stand in for one another; each may have a port of its own (host:port, [2001:db8::5]:port)."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_.:\\[\\]-]+( *, *[A-Za-z0-9_.:\\[\\]-]+)*$", var.host))
    error_message = "host is a host, or hosts separated by commas, each with :port if it has one of its own."
  }
}

variable "port" {
  description = "Port of the hosts that name none."
  type        = number
  default     = 20555

  validation {
    condition     = var.port >= 1 && var.port <= 65535
    error_message = "port is from 1 to 65535."
  }
}

variable "tls" {
  description = "Whether the connection is TLS. Without it everything, flow logs too, travels in clear; only for a private path."
  type        = bool
  default     = true
}

variable "ca" {
  description = "Certificate authority that vouches for vpcflowd's certificate: PEM text, the ARN of a Secrets Manager secret (#key after it for one key of a JSON secret), or ssm:/name for an SSM parameter. Empty: the public authorities."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|ssm:/[A-Za-z0-9_./-]+|arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+(#[A-Za-z0-9_.-]+)?|-----BEGIN CERTIFICATE-----[\\s\\S]+)$", var.ca))
    error_message = "ca is PEM text, the ARN of a secret, ssm:/name, or nothing."
  }
}

variable "pin_sha256" {
  description = "SHA-256 of vpcflowd's certificate (DER) in hexadecimal, colons allowed; several separated by commas. No other certificate is accepted then."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){31}( *, *[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){31})*)$", var.pin_sha256))
    error_message = "pin_sha256 is 64 hexadecimal digits, with colons or without, or nothing."
  }
}

variable "server_name" {
  description = "Name that vpcflowd's certificate must have. Empty takes the host's name."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]*$", var.server_name))
    error_message = "server_name is a host name, or nothing."
  }
}

variable "client_certificate" {
  description = "Certificate chain (PEM) that the function shows, if vpcflowd asks for one (tls_client_ca): the ARN of a secret (#key after it for one key of a JSON secret), or ssm:/name."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|ssm:/[A-Za-z0-9_./-]+|arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+(#[A-Za-z0-9_.-]+)?)$", var.client_certificate))
    error_message = "client_certificate is the ARN of a secret, ssm:/name, or nothing."
  }
}

variable "client_key" {
  description = "Private key (PEM) of client_certificate, as a reference of the same kinds. Never the key itself."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|ssm:/[A-Za-z0-9_./-]+|arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+(#[A-Za-z0-9_.-]+)?)$", var.client_key))
    error_message = "client_key is the ARN of a secret, ssm:/name, or nothing."
  }
}

variable "token" {
  description = "Token that vpcflowd asks for (token_file), as a reference: the ARN of a secret (#key after it for one key of a JSON secret), or ssm:/name. Never the token itself, which would show in the function's environment and in the state."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|ssm:/[A-Za-z0-9_./-]+|arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+(#[A-Za-z0-9_.-]+)?)$", var.token))
    error_message = "token is the ARN of a secret, ssm:/name, or nothing."
  }
}

variable "secrets_kms_key_arn" {
  description = "KMS key of your own that those secrets and parameters are encrypted with. Empty for AWS's keys."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)$", var.secrets_kms_key_arn))
    error_message = "secrets_kms_key_arn is the ARN of a key (not of an alias), or nothing."
  }
}

variable "max_payload" {
  description = "The max_payload of vpcflowd's [listener], if it is not the default: 16M, 512K, a number of bytes. Larger objects are sent in pieces."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|[0-9]{1,12}[KMGkmg]?)$", var.max_payload))
    error_message = "max_payload is a number of bytes, perhaps with K, M or G after it, or nothing."
  }
}

# ---- sources

variable "log_groups" {
  description = "Log groups that flow logs are written to, in this account and region. They must exist, and be none that this function writes to."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.log_groups : can(regex("^[A-Za-z0-9_/.#-]{1,512}$", name))])
    error_message = "log_groups are names of log groups."
  }
}

variable "kinesis_stream_arn" {
  description = "Kinesis data stream that log groups are subscribed to. Empty for none."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|arn:aws[a-z-]*:kinesis:[a-z0-9-]+:[0-9]{12}:stream/[A-Za-z0-9_.-]+)$", var.kinesis_stream_arn))
    error_message = "kinesis_stream_arn is the ARN of a data stream, or nothing."
  }
}

variable "kinesis_kms_key_arn" {
  description = "KMS key of your own that the stream is encrypted with. Empty if it is not, or with AWS's key."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)$", var.kinesis_kms_key_arn))
    error_message = "kinesis_kms_key_arn is the ARN of a key (not of an alias), or nothing."
  }
}

variable "kinesis_starting_position" {
  description = "Where reading begins the first time. TRIM_HORIZON is everything that the stream still has."
  type        = string
  default     = "TRIM_HORIZON"

  validation {
    condition     = contains(["TRIM_HORIZON", "LATEST"], var.kinesis_starting_position)
    error_message = "kinesis_starting_position is TRIM_HORIZON or LATEST."
  }
}

variable "kinesis_batch_size" {
  description = "Most records handed to the function at once. Each is one compressed payload."
  type        = number
  default     = 100

  validation {
    condition     = var.kinesis_batch_size >= 1 && var.kinesis_batch_size <= 10000
    error_message = "kinesis_batch_size is from 1 to 10000."
  }
}

variable "kinesis_maximum_retry_attempts" {
  description = "How often a batch is tried again. -1 is until its records expire from the stream; this is what loses nothing while vpcflowd is away."
  type        = number
  default     = -1

  validation {
    condition     = var.kinesis_maximum_retry_attempts >= -1 && var.kinesis_maximum_retry_attempts <= 10000
    error_message = "kinesis_maximum_retry_attempts is from -1 to 10000."
  }
}

variable "kinesis_maximum_record_age" {
  description = "Seconds after which a record is given up, 60 to 604800; -1 for never. Of a record given up, the queue gets the stream, shard and sequence numbers, not the record."
  type        = number
  default     = -1

  validation {
    condition     = var.kinesis_maximum_record_age == -1 || (var.kinesis_maximum_record_age >= 60 && var.kinesis_maximum_record_age <= 604800)
    error_message = "kinesis_maximum_record_age is -1, or from 60 to 604800."
  }
}

variable "s3_bucket" {
  description = "Bucket that flow logs are delivered to as .log.gz objects. Empty for none."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])$", var.s3_bucket))
    error_message = "s3_bucket is the name of a bucket, or nothing."
  }
}

variable "s3_bucket_account" {
  description = "Account of the bucket, if it is not this one."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|[0-9]{12})$", var.s3_bucket_account))
    error_message = "s3_bucket_account has 12 digits, or is nothing."
  }
}

variable "s3_prefix" {
  description = "Key prefix of the flow logs. The function may read nothing else in the bucket."
  type        = string
  default     = "AWSLogs/"

  validation {
    condition     = can(regex("^[A-Za-z0-9/!_.'()=-]*$", var.s3_prefix))
    error_message = "s3_prefix has letters, digits and / ! _ . ' ( ) = - only."
  }
}

variable "s3_kms_key_arn" {
  description = "KMS key that the bucket's objects are encrypted with. Empty if they are not, or with S3's own keys."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)$", var.s3_kms_key_arn))
    error_message = "s3_kms_key_arn is the ARN of a key (not of an alias), or nothing."
  }
}

variable "s3_concurrency" {
  description = "Most invocations that read objects at one time. Each is handed up to 5 objects."
  type        = number
  default     = 5

  validation {
    condition     = var.s3_concurrency >= 2 && var.s3_concurrency <= 1000
    error_message = "s3_concurrency is from 2 to 1000."
  }
}

# ---- the network

variable "subnet_ids" {
  description = "Subnets to run in, if vpcflowd is reached by a private address. Empty: no VPC. In a VPC the function reaches Secrets Manager, SSM, SQS and S3 through endpoints or a NAT gateway only."
  type        = list(string)
  default     = []
}

variable "security_group_ids" {
  description = "Security groups of the function; together with subnet_ids."
  type        = list(string)
  default     = []
}

# ---- the function

variable "runtime" {
  description = "Node.js version."
  type        = string
  default     = "nodejs24.x"

  validation {
    condition     = contains(["nodejs24.x", "nodejs22.x"], var.runtime)
    error_message = "runtime is nodejs24.x or nodejs22.x."
  }
}

variable "architecture" {
  description = "Processor; arm64 costs less."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture is arm64 or x86_64."
  }
}

variable "timeout" {
  description = "Seconds an invocation may take. It waits for vpcflowd's answer nearly that long. Large S3 objects may need more than the default."
  type        = number
  default     = 60

  validation {
    condition     = var.timeout >= 10 && var.timeout <= 900
    error_message = "timeout is from 10 to 900."
  }
}

variable "memory_size" {
  description = "Memory in MB. CPU time comes with it."
  type        = number
  default     = 256

  validation {
    condition     = var.memory_size >= 128 && var.memory_size <= 10240
    error_message = "memory_size is from 128 to 10240."
  }
}

variable "reserved_concurrency" {
  description = "Invocations at one time, kept free for this function and at most so many. Each has a connection to vpcflowd. -1: no limit but the account's."
  type        = number
  default     = -1

  validation {
    condition     = var.reserved_concurrency >= -1
    error_message = "reserved_concurrency is -1, 0 or more."
  }
}

variable "log_retention_days" {
  description = "Days that the function's own log is kept."
  type        = number
  default     = 30
}

# ---- when something fails

variable "redrive" {
  description = "Whether the function is fed the events of the queue of failed events until it is empty. Say so once the cause is mended, and no again afterwards."
  type        = bool
  default     = false
}

variable "alarm_topic_arn" {
  description = "SNS topic that the alarms are sent to. Empty: they show in CloudWatch only."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+)$", var.alarm_topic_arn))
    error_message = "alarm_topic_arn is the ARN of a topic, or nothing."
  }
}
