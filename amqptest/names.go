package amqptest

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
)

// stripped is a name of a queue or of an exchange as RabbitMQ takes it: without
// line ends.
func stripped(name string) string {
	if !strings.ContainsAny(name, "\r\n") {
		return name
	}
	return strings.NewReplacer("\r", "", "\n", "").Replace(name)
}

// checkNewName refuses names that are RabbitMQ's own.
func checkNewName(kind, name string) *amqpError {
	if strings.HasPrefix(name, "amq.") {
		return softError(codeAccessRefused, "%s name '%s' contains reserved prefix 'amq.*'", kind, name)
	}
	return nil
}

// generatedQueueName is a name for a queue that the client gave none.
func generatedQueueName() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return "amq.gen-" + base64.RawURLEncoding.EncodeToString(id[:])
}
