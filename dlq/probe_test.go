package dlq

import (
	"fmt"
	"testing"
)

// The texts are those of RabbitMQ 3.10.8, 4.0.5 and 4.3.6.
func TestMismatch(t *testing.T) {
	text := func(arg, received, current string) string {
		return fmt.Sprintf("PRECONDITION_FAILED - inequivalent arg '%s' for queue 'q's' in vhost '/': received %s but current is %s", arg, received, current)
	}
	for _, tc := range []struct {
		text string
		arg  string
		has  any
		ok   bool
	}{
		{text("x-delivery-limit", "the value '1073741824' of type 'long'", "none"), "x-delivery-limit", nil, true},
		{text("x-delivery-limit", "'1073741824'", "'5'"), "x-delivery-limit", int64(5), true},
		{text("x-delivery-limit", "'1073741824'", "'-1'"), "x-delivery-limit", int64(-1), true},
		{text("x-dead-letter-exchange", "none", "the value 'foo' of type 'longstr'"), "x-dead-letter-exchange", "foo", true},
		{text("x-dead-letter-exchange", "none", "the value '5' of type 'longstr'"), "x-dead-letter-exchange", "5", true},
		{text("x-message-ttl", "none", "the value '300000' of type 'signedint'"), "x-message-ttl", int64(300000), true},
		{text("x-single-active-consumer", "none", "the value 'true' of type 'bool'"), "x-single-active-consumer", true, true},
		{text("x-queue-type", "the value 'quorum' of type 'longstr'", "none"), "x-queue-type", nil, true},
		{text("x-queue-type", "'quorum'", "'classic'"), "x-queue-type", "classic", true},
		{text("durable", "'true'", "'false'"), "durable", false, true},
		{"ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'u'", "", nil, false},
		{"", "", nil, false},
	} {
		arg, has, ok := mismatch(tc.text)
		if arg != tc.arg || has != tc.has || ok != tc.ok {
			t.Errorf("%s:\n%q, %T %v, %v, want %q, %T %v, %v", tc.text, arg, has, has, ok, tc.arg, tc.has, tc.has, tc.ok)
		}
	}
}

func TestJudgeArgument(t *testing.T) {
	for _, tc := range []struct {
		arg    string
		has    any
		safe   bool
		unsafe bool
	}{
		{"x-queue-type", "classic", true, false},
		{"x-queue-type", nil, true, false},
		{"x-queue-type", "stream", false, true},
		{"durable", false, true, false},
		{"x-delivery-limit", nil, false, true},
		{"x-delivery-limit", int64(-1), false, true},
		{"x-delivery-limit", int64(100), false, true},
		{"x-delivery-limit", int64(enoughLooks), true, false},
		{"x-message-ttl", int64(5), false, false},
	} {
		safe, reason := judgeArgument(tc.arg, tc.has)
		if safe != tc.safe || (reason != "") != tc.unsafe {
			t.Errorf("%s %v: safe %v, reason %q", tc.arg, tc.has, safe, reason)
		}
	}
}

func FuzzMismatch(f *testing.F) {
	f.Add("PRECONDITION_FAILED - inequivalent arg 'a' for queue 'q' in vhost '/': received none but current is 'b'")
	f.Fuzz(func(t *testing.T, text string) {
		arg, has, ok := mismatch(text)
		if !ok && (arg != "" || has != nil) {
			t.Fatalf("%q, %v without ok", arg, has)
		}
	})
}
