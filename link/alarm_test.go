package link_test

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/link"
)

// An alarm blocks the connection that publishes, which is told and counted;
// the other one declares all the while (H 9.1).
func TestAlarmBlocksPublishersOnly(t *testing.T) {
	each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
		var told states
		l := open(t, b, link.Config{OnState: told.note})
		publishing, consuming := session(t, l, link.Publishing), session(t, l, link.Consuming)
		isOpen := func(s *link.Session) bool {
			select {
			case <-s.Unblocked():
				return true
			default:
				return false
			}
		}
		for _, resource := range []string{"memory", "disk"} {
			if err := b.Alarm(resource); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Minute)
		if !isOpen(publishing) || publishing.BlockedFor() != 0 {
			t.Error("blocked before it published")
		}
		if err := publishing.Channel().Publish("", "q", false, false, amqp.Publishing{Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		pass(0)
		if isOpen(publishing) || !isOpen(consuming) {
			t.Errorf("open: publishing %t, consuming %t", isOpen(publishing), isOpen(consuming))
		}
		if err := declare(after(t, time.Second), consuming, "q"); err != nil {
			t.Errorf("declare under the alarm: %v", err)
		}
		// The broker reads nothing more there, not even this.
		_, err := l.Session(after(t, time.Second), link.Publishing)
		as[*link.UnavailableError](t, err)
		pass(10*time.Minute - time.Second)
		if err := b.ClearAlarm("disk"); err != nil {
			t.Fatal(err)
		}
		pass(0)
		if isOpen(publishing) {
			t.Error("open, with one of two alarms")
		}
		waiting := publishing.Unblocked()
		if err := b.ClearAlarm("memory"); err != nil {
			t.Fatal(err)
		}
		await(t, waiting)
		pass(time.Minute)
		if took := publishing.BlockedFor(); took != 10*time.Minute || consuming.BlockedFor() != 0 {
			t.Errorf("blocked for %s and %s", took, consuming.BlockedFor())
		}
		all := told.of(link.Publishing)
		if got := statuses(all); got != "connected blocked unblocked " || all[1].Reason != "low on disk & memory" || all[2].At.Sub(all[1].At) != 10*time.Minute {
			t.Errorf("%+v", all)
		}
		if got := statuses(told.of(link.Consuming)); got != "connected " {
			t.Error(got)
		}
		// The queue was not there before the alarm, and the message was read after it.
		if n := len(b.Messages("/", "q")); n != 1 {
			t.Errorf("%d stored", n)
		}
	})
}

// The gate of a blocked connection opens when it is lost: nobody waits for the
// end of an alarm that nobody will tell.
func TestGateOpensWhenTheConnectionGoes(t *testing.T) {
	each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		s := session(t, l, link.Publishing)
		inject(t, b, amqptest.Fault{Do: amqptest.RaiseAlarm})
		if err := s.Channel().Publish("", "q", false, false, amqp.Publishing{Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		waiting := s.Unblocked()
		b.CutConnections()
		await(t, waiting)
		await(t, s.Done())
		if took := s.BlockedFor(); took != time.Second {
			t.Errorf("blocked for %s", took)
		}
		select {
		case <-session(t, l, link.Publishing).Unblocked():
		case <-time.After(time.Second):
			t.Error("a new connection is blocked before it published")
		}
	})
}
