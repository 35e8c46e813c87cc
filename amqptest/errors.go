package amqptest

import (
	"fmt"
	"unicode/utf8"

	"github.com/hareline/hareline/internal/wire"
)

// amqpError ends a channel or, when hard, a whole connection.
type amqpError struct {
	code uint16
	text string // whole reply-text, such as "NOT_FOUND - no queue 'q' in vhost '/'"
	hard bool
	// drop: the socket is closed without a word instead.
	drop bool
	// class and method of the offending method; filled in by the dispatcher.
	class, method uint16
	// crash: RabbitMQ itself failed; then class and method stay 0.
	crash bool
}

func (e *amqpError) Error() string { return e.text }

// The codes of AMQP 0-9-1 and the names that RabbitMQ puts before its texts.
const (
	codeContentTooLarge    = 311
	codeNoRoute            = 312
	codeConnectionForced   = 320
	codeInvalidPath        = 402
	codeAccessRefused      = 403
	codeNotFound           = 404
	codeResourceLocked     = 405
	codePreconditionFailed = 406
	codeFrameError         = 501
	codeSyntaxError        = 502
	codeCommandInvalid     = 503
	codeChannelError       = 504
	codeUnexpectedFrame    = 505
	codeResourceError      = 506
	codeNotAllowed         = 530
	codeNotImplemented     = 540
	codeInternalError      = 541
)

var codeNames = map[uint16]string{
	codeContentTooLarge: "CONTENT_TOO_LARGE", codeNoRoute: "NO_ROUTE", codeConnectionForced: "CONNECTION_FORCED",
	codeInvalidPath: "INVALID_PATH", codeAccessRefused: "ACCESS_REFUSED", codeNotFound: "NOT_FOUND",
	codeResourceLocked: "RESOURCE_LOCKED", codePreconditionFailed: "PRECONDITION_FAILED", codeFrameError: "FRAME_ERROR",
	codeSyntaxError: "SYNTAX_ERROR", codeCommandInvalid: "COMMAND_INVALID", codeChannelError: "CHANNEL_ERROR",
	codeUnexpectedFrame: "UNEXPECTED_FRAME", codeResourceError: "RESOURCE_ERROR", codeNotAllowed: "NOT_ALLOWED",
	codeNotImplemented: "NOT_IMPLEMENTED", codeInternalError: "INTERNAL_ERROR",
}

// softError closes the channel. The code's name goes before the text.
func softError(code uint16, format string, args ...any) *amqpError {
	return &amqpError{code: code, text: codeNames[code] + " - " + fmt.Sprintf(format, args...)}
}

// hardError closes the connection.
func hardError(code uint16, format string, args ...any) *amqpError {
	e := softError(code, format, args...)
	e.hard = true
	return e
}

// wireError is the error of a frame that could not be read; all such are hard.
func wireError(err *wire.Error) *amqpError {
	return &amqpError{code: err.Code, text: err.Text, hard: true, drop: err.Drop, class: err.Class, method: err.Method}
}

// replyText cuts a text to what fits into a reply-text, as RabbitMQ does it.
func replyText(s string) string {
	const limit, dots = 255, "..."
	if len(s) <= limit {
		return s
	}
	n := limit - len(dots)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + dots
}
