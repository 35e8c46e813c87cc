package link

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// F: a password whose unescaped / makes the parser take its digits for the
// port: the rest of it becomes the vhost, and is shown.
func TestUnescapedPasswordIsNotShown(t *testing.T) {
	for _, u := range []string{
		"amqp://app:1234/sesame@host:5672/", "amqp://app:1234?sesame@host/", "amqp://app:1234#sesame@host/",
		"amqp:app:sesame@host/", "amqp:/app:sesame@host/", "amqp:///app:sesame@host/", "amqp://app%3Asesame@host/",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		var log strings.Builder
		_, err := Open(ctx, Config{URLs: []string{u}, Logger: quiet, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF }})
		t.Log(u, "->", err, log.String())
		if err != nil && (strings.Contains(err.Error(), "sesame") || strings.Contains(err.Error(), "1234")) {
			t.Errorf("%s: the error shows the password: %v", u, err)
		}
	}
}
