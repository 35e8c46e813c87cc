package amqptest

import (
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

// TestConnectionErrors holds what the three releases answered to the same
// frames.
func TestConnectionErrors(t *testing.T) {
	methods := func(channel uint16, ms ...wire.Method) []byte {
		var b []byte
		for _, m := range ms {
			b = wire.AppendMethod(b, channel, m)
		}
		return b
	}
	beat := wire.AppendHeartbeat(nil)
	beat[2] = 1
	for _, c := range []struct {
		name   string
		frames []byte
		code   uint16
		text   string
		class  uint16
		method uint16
	}{
		{"a channel not open", methods(2, &wire.QueueDeclare{Queue: "x"}), 504, "CHANNEL_ERROR - expected 'channel.open'", 50, 10},
		{"close of a channel not open", methods(2, &wire.ChannelClose{}), 504, "CHANNEL_ERROR - expected 'channel.open'", 20, 40},
		{"close-ok of a channel not open", methods(2, &wire.ChannelCloseOk{}), 504, "CHANNEL_ERROR - expected 'channel.open'", 20, 41},
		{"open twice", methods(1, &wire.ChannelOpen{}), 504, "CHANNEL_ERROR - second 'channel.open' seen", 20, 10},
		{"heartbeat on a channel", beat, 505, "UNEXPECTED_FRAME - type 8, all octets = <<>>", 0, 0},
		{"header without a method", wire.AppendHeader(nil, 1, 3, []byte{0, 0}), 505,
			"UNEXPECTED_FRAME - expected method frame, got non method frame instead", 0, 0},
		{"method for a header", methods(1, &wire.BasicPublish{}, &wire.BasicPublish{}), 505,
			"UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead", 60, 40},
		{"method for a body", append(wire.AppendHeader(methods(1, &wire.BasicPublish{}), 1, 3, []byte{0, 0}), methods(1, &wire.BasicPublish{})...),
			505, "UNEXPECTED_FRAME - expected content body, got non content body frame instead", 60, 40},
		{"unknown frame", []byte{77, 0, 1, 0, 0, 0, 0, 0xce}, 501, "FRAME_ERROR - type 77, all octets = <<>>: unknown_frame", 0, 0},
		{"frame too large", []byte{1, 0, 1, 0xff, 0, 0, 0}, 501,
			"FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,4278190080,131064}", 0, 0},
		{"flow off", methods(1, &wire.ChannelFlow{}), 540, "NOT_IMPLEMENTED - active=false", 20, 20},
		{"a server's method", methods(1, &wire.BasicGetEmpty{}), 503, "COMMAND_INVALID - unimplemented method", 60, 72},
		{"connection.close on a channel", methods(1, &wire.ConnectionClose{}), 503, "COMMAND_INVALID - unimplemented method", 10, 50},
		{"queue.declare on channel 0", methods(0, &wire.QueueDeclare{}), 504,
			"CHANNEL_ERROR - unexpected method in connection state running", 50, 10},
		{"tune-ok again", methods(0, &wire.ConnectionTuneOk{}), 504,
			"CHANNEL_ERROR - unexpected method in connection state running", 10, 31},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := dialRaw(t, New(t))
			r.write(c.frames)
			m := expect[*wire.ConnectionClose](r, 0)
			want := wire.ConnectionClose{ReplyCode: c.code, ReplyText: c.text, ClassID: c.class, MethodID: c.method}
			if *m != want {
				t.Errorf("got  %+v\nwant %+v", *m, want)
			}
			r.send(0, &wire.ConnectionCloseOk{})
			_ = r.nc.Close()
		})
	}
}

func TestChannelMax(t *testing.T) {
	r := openRaw(t, Config{ChannelMax: 2}.New(t), "/")
	r.open(2)
	r.open(1)
	r.send(1, &wire.ChannelClose{})
	expect[*wire.ChannelCloseOk](r, 1)
	r.open(5) // a number over the limit is fine, too many channels are not
	r.send(1, &wire.ChannelOpen{})
	r.expectConnectionClosed(530, "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)")
}

func TestChannelErrorLeavesTheOthers(t *testing.T) {
	r := dialRaw(t, New(t))
	r.open(2)
	r.publish("nope", "k", "lost")
	// What comes before the answer is ignored.
	r.send(1, &wire.QueueDeclare{Queue: "ignored"}, &wire.ChannelOpen{})
	r.expectClosed(1, 404, "NOT_FOUND - no exchange 'nope' in vhost '/'")
	r.open(1)
	r.send(2, &wire.QueueDeclare{Queue: "ignored", Passive: true})
	r.expectClosed(2, 404, "NOT_FOUND - no queue 'ignored' in vhost '/'")
}

func TestBothCloseTheChannel(t *testing.T) {
	r := dialRaw(t, New(t))
	r.publish("nope", "k", "lost")
	r.send(1, &wire.ChannelClose{ReplyCode: 200})
	expect[*wire.ChannelClose](r, 1)
	expect[*wire.ChannelCloseOk](r, 1)
	r.send(1, &wire.ChannelCloseOk{})
	r.open(1)
}

func TestCloseByTheClient(t *testing.T) {
	b := New(t)
	r := dialRaw(t, b)
	r.send(1, &wire.QueueDeclare{Queue: "mine", Exclusive: true})
	expect[*wire.QueueDeclareOk](r, 1)
	r.send(0, &wire.ConnectionClose{ReplyCode: 200})
	expect[*wire.ConnectionCloseOk](r, 0)
	if _, ok := b.Queue("/", "mine"); ok {
		t.Error("the exclusive queue outlived its connection")
	}
	// The client closes the socket.
	_ = r.nc.Close()
}

func TestTextIsCut(t *testing.T) {
	r := dialRaw(t, New(t))
	name := ""
	for range 33 {
		name += "äöüx"
	}
	r.publish(name, "", "x")
	m := expect[*wire.ChannelClose](r, 1)
	if n := len(m.ReplyText); n < 250 || n > 255 || m.ReplyText[n-3:] != "..." {
		t.Errorf("%d bytes: %q", n, m.ReplyText)
	}
}

func TestAccessRequest(t *testing.T) {
	r := dialRaw(t, New(t))
	if m := call[*wire.AccessRequestOk](r, &wire.AccessRequest{}); m.Ticket != 1 {
		t.Errorf("ticket %d", m.Ticket)
	}
	call[*wire.ChannelFlowOk](r, &wire.ChannelFlow{Active: true})
}
