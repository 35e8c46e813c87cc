package amqptest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

// publishUntil publishes n bodies, one by one, and tells which were confirmed:
// A for an ack, N for a nack.
func (d *driver) publishAll(n int) string {
	d.Helper()
	var out strings.Builder
	for i := range n {
		d.r.write(appendPublish(nil, control, &wire.BasicPublish{RoutingKey: "q"}, wire.Properties{}, fmt.Sprintf("%05d", i)))
		switch m := d.r.receive().method.(type) {
		case *wire.BasicAck:
			out.WriteByte('A')
		case *wire.BasicNack:
			out.WriteByte('N')
		default:
			d.Fatalf("got %T", m)
		}
	}
	return out.String()
}

func TestOverflow(t *testing.T) {
	for _, c := range []struct {
		kind, overflow string
		args           []any
		want           string
		ready, letters int
	}{
		{"classic", "", []any{"x-max-length", int32(3)}, "AAAAAAAA", 3, 5},
		{"classic", dropHead, []any{"x-max-length-bytes", int32(17)}, "AAAAAAAA", 3, 5},
		{"classic", dropHead, []any{"x-max-length", int32(0)}, "AAAAAAAA", 0, 8},
		{"classic", rejectPublish, []any{"x-max-length", int32(3)}, "AAANNNNN", 3, 0},
		{"classic", rejectPublish, []any{"x-max-length-bytes", int32(15)}, "AAANNNNN", 3, 0},
		{"classic", rejectPublishDLX, []any{"x-max-length", int32(3)}, "AAANNNNN", 3, 5},
		{"quorum", "", []any{"x-max-length", int32(3)}, "AAAAAAAA", 3, 5},
		{"quorum", rejectPublish, []any{"x-max-length", int32(3)}, "AAAANNNN", 4, 0},
		{"quorum", rejectPublishDLX, []any{"x-max-length", int32(3)}, "AAAAAAAA", 3, 5},
	} {
		for _, v := range allVersions {
			t.Run(fmt.Sprint(v, c.kind, c.overflow, c.args), func(t *testing.T) {
				args := append([]any{"x-queue-type", c.kind, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "letters"}, c.args...)
				if c.overflow != "" {
					args = append(args, "x-overflow", c.overflow)
				}
				d := drive(t, v, args...)
				d.declare("letters")
				d.do(control, &wire.ConfirmSelect{})
				if got := d.publishAll(8); got != c.want {
					t.Errorf("confirms %s, want %s", got, c.want)
				}
				d.counts(c.ready, 0)
				if letters, _ := d.b.Queue("/", "letters"); letters.Ready != c.letters {
					t.Errorf("%d letters, want %d", letters.Ready, c.letters)
				}
			})
		}
	}
}

// A quorum queue that was over its bound takes more only below four fifths.
func TestQuorumQueueOpensAgain(t *testing.T) {
	d := drive(t, V40, "x-queue-type", "quorum", "x-max-length", int32(10), "x-overflow", rejectPublish)
	d.do(control, &wire.ConfirmSelect{})
	if got, want := d.publishAll(13), "AAAAAAAAAAANN"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	d.get("q", 2)
	if got := d.publishAll(1); got != "N" {
		t.Errorf("at nine of ten: %s", got)
	}
	d.get("q", 1)
	if got := d.publishAll(4); got != "AAAN" {
		t.Errorf("at eight of ten: %s", got)
	}
}

// What a consumer takes at once is not in the way of a bound.
func TestBoundsCountWhatIsReady(t *testing.T) {
	eachQueue(t, allVersions, []string{"classic"}, func(t *testing.T, v Version, kind string) {
		d := drive(t, v, "x-queue-type", kind, "x-max-length", int32(0))
		d.consume(1, "c", 2)
		d.want(d.publish("1", "2", "3"), "1 c 1 1", "1 c 2 2")
		d.counts(0, 2)
	})
}

// What comes back can be too much.
func TestReturnsOverflow(t *testing.T) {
	eachQueue(t, allVersions, bothKinds, func(t *testing.T, v Version, kind string) {
		d := drive(t, v, "x-queue-type", kind, "x-max-length", int32(2))
		d.publish("1", "2")
		d.consume(1, "c", 2)
		d.publish("3", "4")
		d.counts(2, 2)
		d.do(1, closeChannel())
		d.counts(2, 0)
		d.want(d.get("q", 2)[:1], map[string]string{"classic": "100 get 1 3", "quorum": map[Version]string{
			V310: "100 get 1 3 dc=0", V40: "100 get 1 3", V43: "100 get 1 3",
		}[v]}[kind])
	})
}

func TestQuorumQueuesOf43CountProperties(t *testing.T) {
	d := drive(t, V43, "x-queue-type", "quorum")
	d.publish("12345")
	if info, _ := d.b.Queue("/", "q"); info.ReadyBytes != 7 {
		t.Errorf("%d bytes", info.ReadyBytes)
	}
}
