package wire

import "fmt"

// Reply codes of AMQP 0-9-1.
const (
	ReplySuccess       = 200
	ContentTooLarge    = 311
	NoRoute            = 312
	NoConsumers        = 313
	ConnectionForced   = 320
	InvalidPath        = 402
	AccessRefused      = 403
	NotFound           = 404
	ResourceLocked     = 405
	PreconditionFailed = 406
	FrameError         = 501
	SyntaxError        = 502
	CommandInvalid     = 503
	ChannelError       = 504
	UnexpectedFrame    = 505
	ResourceError      = 506
	NotAllowed         = 530
	NotImplemented     = 540
	InternalError      = 541
)

// replies holds the name of each reply code, and whether an error of that code
// ends the connection (a hard error) or the channel only.
var replies = map[uint16]struct {
	name string
	hard bool
}{
	ReplySuccess:       {name: "REPLY_SUCCESS"},
	ContentTooLarge:    {name: "CONTENT_TOO_LARGE"},
	NoRoute:            {name: "NO_ROUTE"},
	NoConsumers:        {name: "NO_CONSUMERS"},
	AccessRefused:      {name: "ACCESS_REFUSED"},
	NotFound:           {name: "NOT_FOUND"},
	ResourceLocked:     {name: "RESOURCE_LOCKED"},
	PreconditionFailed: {name: "PRECONDITION_FAILED"},
	ConnectionForced:   {"CONNECTION_FORCED", true},
	InvalidPath:        {"INVALID_PATH", true},
	FrameError:         {"FRAME_ERROR", true},
	SyntaxError:        {"SYNTAX_ERROR", true},
	CommandInvalid:     {"COMMAND_INVALID", true},
	ChannelError:       {"CHANNEL_ERROR", true},
	UnexpectedFrame:    {"UNEXPECTED_FRAME", true},
	ResourceError:      {"RESOURCE_ERROR", true},
	NotAllowed:         {"NOT_ALLOWED", true},
	NotImplemented:     {"NOT_IMPLEMENTED", true},
	InternalError:      {"INTERNAL_ERROR", true},
}

// ReplyName is the name of a reply code as reply texts begin with it, such as
// "FRAME_ERROR". A code that AMQP does not have is "INTERNAL_ERROR".
func ReplyName(code uint16) string {
	if r, ok := replies[code]; ok {
		return r.name
	}
	return replies[InternalError].name
}

// IsHard says whether an error of the code ends the connection. Otherwise it ends
// the channel. A code that AMQP does not have is hard.
func IsHard(code uint16) bool {
	r, ok := replies[code]
	return !ok || r.hard
}

// Error is an AMQP error: what a connection.close or channel.close says.
type Error struct {
	Code          uint16
	Text          string // the whole reply text, "FRAME_ERROR - ...", at most 255 octets
	Class, Method uint16 // the method that caused it; 0, 0 when it was none

	// Drop is set where RabbitMQ's reader crashes over the input: it closes the
	// socket and sends no connection.close. Code and Text are for the log then.
	Drop bool
	// Fatal is set when the stream is out of step and no further frame can be
	// read. RabbitMQ sends the connection.close and does not wait for its answer.
	Fatal bool
	// Reason is what was wrong, where Text does not say it. Not for the wire.
	Reason string
}

// Error is the code and the text, with the reason.
func (e *Error) Error() string {
	s := fmt.Sprintf("%d %s", e.Code, e.Text)
	if e.Class != 0 {
		s += ", in " + MethodName(e.Class, e.Method)
	}
	if e.Reason != "" {
		s += " (" + e.Reason + ")"
	}
	return s
}

// Hard says whether the error ends the connection, see [IsHard].
func (e *Error) Hard() bool { return IsHard(e.Code) }

// NewError makes an error whose text is the name of the code, " - ", and the
// formatted explanation; with an empty format the name alone. A text over 255
// octets is cut to 252 and ends in "...", as RabbitMQ does it.
func NewError(code, class, method uint16, format string, args ...any) *Error {
	text := ReplyName(code)
	if format != "" {
		text += " - " + fmt.Sprintf(format, args...)
	}
	return &Error{Code: code, Text: cutText(text), Class: class, Method: method}
}

// NewFrameError is RabbitMQ's error for a frame that it cannot take: what is an
// Erlang term without spaces, such as unknown_frame.
func NewFrameError(f Frame, what string) *Error {
	return NewError(FrameError, 0, 0, "%s", frameText(f, what))
}

// NewUnexpectedFrame is RabbitMQ's error for a frame on a channel, or in a state
// of the connection, that has no place for it.
func NewUnexpectedFrame(f Frame) *Error {
	return NewError(UnexpectedFrame, 0, 0, "%s", frameText(f, ""))
}

// undecodable is RabbitMQ's error for the fields of a method that are too short
// or too long for it. It is 501 (FRAME_ERROR), not 502, as AMQP would have it.
func undecodable(class, method uint16, fields []byte) *Error {
	return NewError(FrameError, class, method, "cannot decode %s", octetTerm(fields))
}

// malformed is what becomes of a table or of properties that cannot be read: the
// process that decodes them in RabbitMQ crashes.
func malformed(format string, args ...any) *Error {
	e := NewError(InternalError, 0, 0, "")
	e.Reason = fmt.Sprintf(format, args...)
	return e
}

// maxText is what a short string can hold.
const maxText = 255

func cutText(s string) string {
	const dots = "..."
	if len(s) <= maxText {
		return s
	}
	return cut(s, maxText-len(dots)) + dots
}
