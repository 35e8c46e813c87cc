package telemetry

import (
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/messagingconv"
)

// This file alone knows the version of the semantic conventions. Those of messaging
// are in development: names may change with a release of this module that says so.

const (
	schemaURL = semconv.SchemaURL
	// scope is the instrumentation scope of spans and metrics.
	scope = "github.com/hareline/hareline/telemetry"
)

// Attributes of the conventions.
const (
	keyDestination  = semconv.MessagingDestinationNameKey
	keyTemporary    = semconv.MessagingDestinationTemporaryKey
	keyOperation    = semconv.MessagingOperationNameKey
	keyMessageID    = semconv.MessagingMessageIDKey
	keyConversation = semconv.MessagingMessageConversationIDKey
	keyBatchCount   = semconv.MessagingBatchMessageCountKey
	keyRoutingKey   = semconv.MessagingRabbitMQDestinationRoutingKeyKey
	keyDeliveryTag  = semconv.MessagingRabbitMQMessageDeliveryTagKey
	keyErrorType    = semconv.ErrorTypeKey
	keyExcType      = semconv.ExceptionTypeKey
	keyExcMessage   = semconv.ExceptionMessageKey
)

const exceptionEvent = semconv.ExceptionEventName

var (
	system      = semconv.MessagingSystemRabbitMQ
	typeCreate  = semconv.MessagingOperationTypeCreate
	typeSend    = semconv.MessagingOperationTypeSend
	typeReceive = semconv.MessagingOperationTypeReceive
	typeProcess = semconv.MessagingOperationTypeProcess
	typeSettle  = semconv.MessagingOperationTypeSettle
)

// Metrics of the conventions.
var (
	sentMessages      messagingconv.ClientSentMessages
	consumedMessages  messagingconv.ClientConsumedMessages
	operationDuration messagingconv.ClientOperationDuration
	processDuration   messagingconv.ProcessDuration
)

// Attributes of our own. Times are in seconds.
const (
	keyQueue         = attribute.Key("hareline.queue")
	keyAttempt       = attribute.Key("hareline.attempt")
	keyAttempts      = attribute.Key("hareline.attempts") // the most there are to be
	keyOutcome       = attribute.Key("hareline.outcome")
	keyVerdict       = attribute.Key("hareline.verdict")
	keyDelay         = attribute.Key("hareline.delay")
	keyReason        = attribute.Key("hareline.reason")
	keyRedelivered   = attribute.Key("hareline.redelivered")
	keyDeliveryCount = attribute.Key("hareline.delivery_count")
	keyReplayID      = attribute.Key("hareline.replay.id")
	keyReplayCount   = attribute.Key("hareline.replay.count")
	keyWindowWait    = attribute.Key("hareline.window.wait")
	keyRole          = attribute.Key("hareline.role")    // of a connection
	keySource        = attribute.Key("hareline.source")  // the dead-letter queue of a replayed letter
	keyState         = attribute.Key("hareline.state")   // of a consumer
	keyFinding       = attribute.Key("hareline.finding") // of a consumer's watchdog
)
