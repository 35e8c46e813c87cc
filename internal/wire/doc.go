// Package wire is the codec of AMQP 0-9-1 as RabbitMQ speaks it: frames,
// methods with RabbitMQ's extensions, field tables, the properties of class
// basic, and the errors that RabbitMQ answers to what it cannot read.
//
// Decoding copies: what it returns does not alias the input, unless its doc says
// so. It never panics, recurses to a bounded depth, and allocates at most a small
// multiple of its input. Encoding appends to a slice and cannot fail: what does
// not fit its field is cut, never written so that the stream falls out of step.
//
// Values and functions here may be used from several goroutines as plain Go
// values may; a [Reader] belongs to one goroutine.
package wire
