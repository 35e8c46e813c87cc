package amqptest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// inject fails the test where the fault is refused.
func inject(t *testing.T, b *Broker, f Fault) *Injected {
	t.Helper()
	n, err := b.Inject(f)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// dialNamed opens a connection of amqp091-go that has a name.
func dialNamed(t *testing.T, b *Broker, name string) *amqp.Connection {
	t.Helper()
	c, err := tryDial(t, b, name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tryDial(t *testing.T, b *Broker, name string) (*amqp.Connection, error) {
	t.Helper()
	c, err := amqp.DialConfig(b.URL(), amqp.Config{
		Heartbeat: 30 * time.Second, Locale: "en_US", Properties: amqp.Table{"connection_name": name},
	})
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

// confirming opens a channel in confirm mode, with a queue.
func confirming(t *testing.T, c *amqp.Connection, queue string) *amqp.Channel {
	t.Helper()
	ch := opened(t, c)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare(queue, false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	return ch
}

func opened(t *testing.T, c *amqp.Connection) *amqp.Channel {
	t.Helper()
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// publish sends one message to a queue and does not wait for its confirm.
func publish(t *testing.T, ch *amqp.Channel, queue, body string) *amqp.DeferredConfirmation {
	t.Helper()
	d, err := ch.PublishWithDeferredConfirm("", queue, false, false, amqp.Publishing{Body: []byte(body), MessageId: body})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func inTime(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// await waits for an event.
func await(t *testing.T, b *Broker, where ...func(Event) bool) Event {
	t.Helper()
	e, err := b.WaitEvent(inTime(t), Both(where...))
	if err != nil {
		t.Fatalf("%v\n%s", err, b.TraceText(nil))
	}
	return e
}

func hits(t *testing.T, n *Injected, want int) {
	t.Helper()
	if got := n.Hits(); got != want {
		t.Errorf("hits: %d, want %d", got, want)
	}
	events := n.broker.Trace(Both(OfKind(EventFault), func(e Event) bool { return e.Reason == string(n.fault.Do) }))
	if len(events) != want {
		t.Errorf("%d events of the fault, want %d", len(events), want)
	}
}

// bodies are those of a queue's ready messages.
func bodies(b *Broker, queue string) string {
	var all []string
	for _, m := range b.Messages("/", queue) {
		all = append(all, string(m.Body))
	}
	return strings.Join(all, " ")
}

func closedWith(t *testing.T, closed <-chan *amqp.Error, code int, text string) {
	t.Helper()
	select {
	case err := <-closed:
		if err == nil || err.Code != code || err.Reason != text {
			t.Errorf("closed with %v, want %d %s", err, code, text)
		}
	case <-inTime(t).Done():
		t.Error("not closed")
	}
}

func TestFaultNacksTheNthPublish(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	n := inject(t, b, Fault{Do: Nack, Nth: 2, Every: 2, Times: 2, Queue: "q"})
	var got []bool
	for i := range 7 {
		ok, err := publish(t, ch, "q", fmt.Sprint(i+1)).WaitContext(inTime(t))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ok)
	}
	if fmt.Sprint(got) != "[true false true false true true true]" {
		t.Errorf("confirmed: %v", got)
	}
	if got := bodies(b, "q"); got != "1 3 5 6 7" {
		t.Errorf("stored: %s", got)
	}
	hits(t, n, 2)
	if n.Seen() != 7 {
		t.Errorf("seen: %d", n.Seen())
	}
}

func TestFaultDropsTheConnectionBeforeOrAfterThePublish(t *testing.T) {
	for _, test := range []struct {
		do     Effect
		stored string
	}{{DropBefore, "first"}, {DropAfter, "first second"}} {
		t.Run(string(test.do), func(t *testing.T) {
			b := New(t)
			c := dialNamed(t, b, "p")
			ch := confirming(t, c, "q")
			n := inject(t, b, Fault{Do: test.do, On: "basic.publish", Nth: 2})
			if ok, err := publish(t, ch, "q", "first").WaitContext(inTime(t)); !ok || err != nil {
				t.Fatal(ok, err)
			}
			closed := c.NotifyClose(make(chan *amqp.Error, 1))
			second := publish(t, ch, "q", "second")
			select {
			case err := <-closed:
				if err == nil || err.Server {
					t.Errorf("closed with %v, want an end without a word", err)
				}
			case <-inTime(t).Done():
				t.Fatal("not closed")
			}
			if ok, _ := second.WaitContext(inTime(t)); ok {
				t.Error("confirmed")
			}
			if got := bodies(b, "q"); got != test.stored {
				t.Errorf("stored: %s, want %s", got, test.stored)
			}
			hits(t, n, 1)
			await(t, b, OfKind(EventConnectionClosed))
			if left := b.Connections(); len(left) != 0 {
				t.Errorf("connections: %v", left)
			}
		})
	}
}

func TestFaultDropsTheConnectionAroundADeclare(t *testing.T) {
	for _, do := range []Effect{DropBefore, DropAfter} {
		t.Run(string(do), func(t *testing.T) {
			b := New(t)
			ch := opened(t, dialNamed(t, b, "p"))
			n := inject(t, b, Fault{Do: do, On: "queue.declare", Queue: "orders.*"})
			if _, err := ch.QueueDeclare("other", true, false, false, false, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := ch.QueueDeclare("orders.new", true, false, false, false, nil); err == nil {
				t.Error("declared")
			}
			if _, there := b.Queue("/", "orders.new"); there != (do == DropAfter) {
				t.Errorf("the queue is there: %t", there)
			}
			hits(t, n, 1)
		})
	}
}

func TestFaultDropsTheConnectionAfterAnAck(t *testing.T) {
	for _, test := range []struct {
		do   Effect
		left string
	}{{DropBefore, "1"}, {DropAfter, ""}} {
		t.Run(string(test.do), func(t *testing.T) {
			b := New(t)
			c := dialNamed(t, b, "c")
			ch := confirming(t, c, "q")
			_, _ = publish(t, ch, "q", "1").WaitContext(inTime(t))
			n := inject(t, b, Fault{Do: test.do, On: "basic.ack", Queue: "q"})
			d, _, err := ch.Get("q", false)
			if err != nil {
				t.Fatal(err)
			}
			_ = d.Ack(false)
			if err := n.Wait(inTime(t), 1); err != nil {
				t.Fatal(err)
			}
			await(t, b, OfKind(EventConnectionClosed))
			if got := bodies(b, "q"); got != test.left {
				t.Errorf("left: %q, want %q", got, test.left)
			}
		})
	}
}

func TestFaultDelaysConfirms(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	n := inject(t, b, Fault{Do: DelayConfirm, Delay: time.Minute})
	late := publish(t, ch, "q", "late")
	if ok, err := publish(t, ch, "q", "in time").WaitContext(inTime(t)); !ok || err != nil {
		t.Fatal(ok, err)
	}
	b.Advance(59 * time.Second)
	if late.Acked() {
		t.Error("confirmed before its time")
	}
	if got := bodies(b, "q"); got != "late in time" {
		t.Errorf("stored: %s", got)
	}
	b.Advance(time.Second)
	if ok, err := late.WaitContext(inTime(t)); !ok || err != nil {
		t.Error(ok, err)
	}
	hits(t, n, 1)
}

func TestFaultReordersConfirms(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	n := inject(t, b, Fault{Do: ReorderConfirms, Count: 3, Times: 4})
	var all []*amqp.DeferredConfirmation
	for i := range 5 {
		all = append(all, publish(t, ch, "q", fmt.Sprint(i+1)))
	}
	for _, d := range all {
		if ok, err := d.WaitContext(inTime(t)); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	var order []uint64
	for _, e := range b.Trace(OfKind(EventConfirmed)) {
		order = append(order, e.Tag)
	}
	if got := fmt.Sprint(order); got != "[3 2 1 4 5]" {
		t.Errorf("confirmed in the order %s", got)
	}
	hits(t, n, 4)
}

func TestFaultHoldsConfirmsUntilRemoved(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	n := inject(t, b, Fault{Do: HoldConfirm, Times: -1})
	first, second := publish(t, ch, "q", "1"), publish(t, ch, "q", "2")
	if err := n.Wait(inTime(t), 2); err != nil {
		t.Fatal(err)
	}
	b.Advance(time.Hour)
	if first.Acked() || second.Acked() {
		t.Error("confirmed")
	}
	n.Remove()
	n.Remove()
	for _, d := range []*amqp.DeferredConfirmation{first, second, publish(t, ch, "q", "3")} {
		if ok, err := d.WaitContext(inTime(t)); !ok || err != nil {
			t.Error(ok, err)
		}
	}
	if len(b.Faults()) != 0 {
		t.Error("the fault is still there")
	}
	hits(t, n, 2)
}

func TestFaultHeldConfirmOfAClosedChannelIsForgotten(t *testing.T) {
	b := New(t)
	c := dialNamed(t, b, "p")
	ch := confirming(t, c, "q")
	n := inject(t, b, Fault{Do: HoldConfirm, Times: -1})
	publish(t, ch, "q", "1")
	if err := n.Wait(inTime(t), 1); err != nil {
		t.Fatal(err)
	}
	if err := ch.Close(); err != nil {
		t.Fatal(err)
	}
	again := confirming(t, c, "q")
	n.Remove()
	if ok, err := publish(t, again, "q", "2").WaitContext(inTime(t)); !ok || err != nil {
		t.Error(ok, err)
	}
	if got := len(b.Trace(OfKind(EventConfirmed))); got != 1 {
		t.Errorf("%d confirms, want that of the second publish", got)
	}
}

func TestFaultStallsReading(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	n := inject(t, b, Fault{Do: Stall, On: "basic.publish", Connection: "p", Delay: time.Minute})
	if ok, err := publish(t, ch, "q", "1").WaitContext(inTime(t)); !ok || err != nil {
		t.Fatal(ok, err)
	}
	second := publish(t, ch, "q", "2")
	other := confirming(t, dialNamed(t, b, "other"), "q")
	if ok, err := publish(t, other, "q", "3").WaitContext(inTime(t)); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if got := bodies(b, "q"); got != "1 3" {
		t.Errorf("stored while stalled: %s", got)
	}
	b.Advance(time.Minute)
	if ok, err := second.WaitContext(inTime(t)); !ok || err != nil {
		t.Error(ok, err)
	}
	hits(t, n, 1)
}

func TestFaultStallsNowUntilRemoved(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	n := inject(t, b, Fault{Do: Stall, On: Now, Connection: "p"})
	d := publish(t, ch, "q", "1")
	other := confirming(t, dialNamed(t, b, "other"), "q")
	if ok, err := publish(t, other, "q", "2").WaitContext(inTime(t)); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if got := bodies(b, "q"); got != "2" {
		t.Errorf("stored while stalled: %s", got)
	}
	n.Remove()
	if ok, err := d.WaitContext(inTime(t)); !ok || err != nil {
		t.Error(ok, err)
	}
}

func TestFaultStallsAHandshake(t *testing.T) {
	b := New(t)
	n := inject(t, b, Fault{Do: Stall, On: OnConnect})
	done := make(chan error, 1)
	go func() {
		c, err := amqp.Dial(b.URL())
		if err == nil {
			err = c.Close()
		}
		done <- err
	}()
	if err := n.Wait(inTime(t), 1); err != nil {
		t.Fatal(err)
	}
	dialNamed(t, b, "other")
	n.Remove()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestFaultEndsAStalledConnectionWithTheBroker(t *testing.T) {
	b := New(t)
	c := dialNamed(t, b, "p")
	inject(t, b, Fault{Do: Stall, On: Now})
	closed := c.NotifyClose(make(chan *amqp.Error, 1))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
	case <-inTime(t).Done():
		t.Error("the connection outlives the broker")
	}
}

func TestFaultClosesTheChannelWithACode(t *testing.T) {
	b := New(t)
	c := dialNamed(t, b, "p")
	ch := confirming(t, c, "q")
	n := inject(t, b, Fault{Do: CloseChannel, On: "basic.publish", Exchange: DefaultExchange, Code: 406, Text: "PRECONDITION_FAILED - so there"})
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	publish(t, ch, "q", "1")
	closedWith(t, closed, 406, "PRECONDITION_FAILED - so there")
	if got := bodies(b, "q"); got != "" {
		t.Errorf("stored: %s", got)
	}
	if e := await(t, b, OfKind(EventChannelClosed)); e.Code != 406 || e.Reason != "broker" {
		t.Errorf("event: %s", e)
	}
	hits(t, n, 1)
	opened(t, c)
}

func TestFaultClosesAConsumersChannelNow(t *testing.T) {
	b := New(t)
	c := dialNamed(t, b, "c")
	ch, other := confirming(t, c, "q"), opened(t, c)
	if _, err := ch.Consume("q", "", false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	n := inject(t, b, Fault{Do: CloseChannel, On: Now, Queue: "q", Code: 404})
	closedWith(t, closed, 404, "NOT_FOUND - injected fault")
	if _, err := other.QueueDeclare("q2", false, false, false, false, nil); err != nil {
		t.Error(err)
	}
	hits(t, n, 1)
}

func TestFaultClosesTheConnectionWithACode(t *testing.T) {
	for _, on := range []string{"queue.declare", Now} {
		t.Run(on, func(t *testing.T) {
			b := New(t)
			c := dialNamed(t, b, "p")
			ch := opened(t, c)
			closed := c.NotifyClose(make(chan *amqp.Error, 1))
			n := inject(t, b, Fault{Do: CloseConnection, On: on, Code: 320, Text: "CONNECTION_FORCED - maintenance"})
			if on != Now {
				_, _ = ch.QueueDeclare("q", false, false, false, false, nil)
			}
			closedWith(t, closed, 320, "CONNECTION_FORCED - maintenance")
			if _, there := b.Queue("/", "q"); there {
				t.Error("declared")
			}
			hits(t, n, 1)
		})
	}
}

func TestFaultRaisesAnAlarm(t *testing.T) {
	b := New(t)
	c := dialNamed(t, b, "p")
	ch := confirming(t, c, "q")
	blocked := c.NotifyBlocked(make(chan amqp.Blocking, 2))
	n := inject(t, b, Fault{Do: RaiseAlarm, On: "basic.publish", Nth: 2, Delay: time.Minute})
	var last *amqp.DeferredConfirmation
	for i := range 3 { // it is the publish after the alarm that blocks
		last = publish(t, ch, "q", fmt.Sprint(i))
	}
	for _, want := range []bool{true, false} {
		select {
		case e := <-blocked:
			if e.Active != want {
				t.Errorf("blocked: %+v", e)
			}
		case <-inTime(t).Done():
			t.Fatal("no word of the alarm")
		}
		b.Advance(time.Minute)
	}
	if ok, err := last.WaitContext(inTime(t)); !ok || err != nil {
		t.Error(ok, err)
	}
	hits(t, n, 1)
	if got := len(b.Trace(OfKind(EventAlarmRaised, EventAlarmCleared))); got != 2 {
		t.Errorf("%d events of alarms", got)
	}
}

func TestFaultDeletesAQueueUnderAConsumer(t *testing.T) {
	for _, on := range []string{Now, "basic.deliver", "basic.publish", "basic.ack"} {
		t.Run(on, func(t *testing.T) {
			b := New(t)
			c := dialNamed(t, b, "c")
			ch := confirming(t, c, "q")
			deliveries, err := ch.Consume("q", "me", false, false, false, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			cancelled := ch.NotifyCancel(make(chan string, 1))
			n := inject(t, b, Fault{Do: DeleteQueue, On: on, Queue: "q"})
			if on != Now {
				publish(t, ch, "q", "1")
			}
			if on == "basic.ack" {
				d := <-deliveries
				_ = d.Ack(false)
			}
			select {
			case tag := <-cancelled:
				if tag != "me" {
					t.Errorf("cancelled: %s", tag)
				}
			case <-inTime(t).Done():
				t.Fatal("not cancelled")
			}
			for range deliveries { // it ends
			}
			if _, there := b.Queue("/", "q"); there {
				t.Error("the queue is there")
			}
			hits(t, n, 1)
		})
	}
}

func TestFaultCancelsConsumers(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "c"), "q")
	deliveries, err := ch.Consume("q", "me", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	publish(t, ch, "q", "1")
	d := <-deliveries
	n := inject(t, b, Fault{Do: CancelConsumers, Queue: "q"})
	for range deliveries { // it ends
	}
	publish(t, ch, "q", "2")
	if err := d.Ack(false); err != nil {
		t.Error(err)
	}
	await(t, b, OfKind(EventAcked))
	q, there := b.Queue("/", "q")
	if !there || q.Consumers != 0 || q.Ready != 1 || q.Unacked != 0 {
		t.Errorf("queue: %+v", q)
	}
	hits(t, n, 1)
}

// The consumers are gone from their queue and nobody is told: the channel goes on,
// acks what it has, keeps its tag and can be closed.
func TestFaultForgetsConsumers(t *testing.T) {
	for _, kind := range []string{"classic", "quorum"} {
		t.Run(kind, func(t *testing.T) {
			b := New(t)
			conn := dialNamed(t, b, "c")
			ch := confirming(t, conn, "q")
			if _, err := ch.QueueDeclare("mine", true, false, false, false, amqp.Table{"x-queue-type": kind}); err != nil {
				t.Fatal(err)
			}
			deliveries, err := ch.Consume("mine", "me", false, false, false, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			cancelled := ch.NotifyCancel(make(chan string, 1))
			publish(t, ch, "mine", "1")
			publish(t, ch, "mine", "2")
			first, second := <-deliveries, <-deliveries
			n := inject(t, b, Fault{Do: ForgetConsumers, Queue: "mine"})
			publish(t, ch, "mine", "3")
			if err := first.Ack(false); err != nil {
				t.Error(err)
			}
			await(t, b, OfKind(EventAcked))
			q, there := b.Queue("/", "mine")
			if !there || q.Consumers != 0 || q.Ready != 1 || q.Unacked != 1 || len(b.Consumers("/")) != 0 {
				t.Errorf("queue: %+v", q)
			}
			other, err := conn.Channel()
			if err != nil {
				t.Fatal(err)
			}
			again, err := other.Consume("mine", "other", true, false, false, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			if d := <-again; string(d.Body) != "3" {
				t.Errorf("another consumer got %s", d.Body)
			}
			select {
			case d, open := <-deliveries:
				t.Errorf("the forgotten consumer got %s (open: %v)", d.Body, open)
			case tag := <-cancelled:
				t.Errorf("%s was told", tag)
			default:
			}
			if err := ch.Close(); err != nil {
				t.Error(err)
			}
			if d := <-again; d.MessageId != second.MessageId || string(d.Body) != "2" || !d.Redelivered {
				t.Errorf("came back: %s", d.Body)
			}
			hits(t, n, 1)
		})
	}
}

func TestFaultAtADelivery(t *testing.T) {
	for _, do := range []Effect{DropBefore, CloseConnection, CloseChannel} {
		t.Run(string(do), func(t *testing.T) {
			b := New(t)
			ch := confirming(t, dialNamed(t, b, "c"), "q")
			closed := ch.NotifyClose(make(chan *amqp.Error, 1))
			n := inject(t, b, Fault{Do: do, On: "basic.deliver", Nth: 2})
			if _, err := ch.Consume("q", "", false, false, false, false, nil); err != nil {
				t.Fatal(err)
			}
			publish(t, ch, "q", "1")
			publish(t, ch, "q", "2")
			select {
			case <-closed:
			case <-inTime(t).Done():
				t.Fatal("not closed")
			}
			hits(t, n, 1)
			await(t, b, OfKind(EventRequeued), func(e Event) bool { return e.MessageID == "2" })
			for _, m := range b.Messages("/", "q") {
				if !m.Redelivered {
					t.Errorf("%s is not redelivered", m.Body)
				}
			}
		})
	}
}

func TestFaultRefusesConnections(t *testing.T) {
	b := New(t)
	dialNamed(t, b, "before")
	n := inject(t, b, Fault{Do: RefuseConnection, Times: 2})
	for range 2 {
		if _, err := tryDial(t, b, "refused"); err == nil {
			t.Error("connected")
		}
	}
	dialNamed(t, b, "after")
	hits(t, n, 2)
	if got := len(b.Connections()); got != 2 {
		t.Errorf("%d connections", got)
	}
}

func TestFaultRefusesLogins(t *testing.T) {
	b := New(t)
	n := inject(t, b, Fault{Do: RefuseLogin})
	_, err := tryDial(t, b, "refused")
	if e := (&amqp.Error{}); !errors.As(err, &e) || e.Code != 403 {
		t.Errorf("login: %v", err)
	}
	dialNamed(t, b, "after")
	hits(t, n, 1)
	await(t, b, OfKind(EventConnectionRefused))
}

func TestFaultsAreLookedForInOrder(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	hidden := inject(t, b, Fault{Do: HoldConfirm, Name: "passes"})
	nack := inject(t, b, Fault{Do: Nack})
	never := inject(t, b, Fault{Do: DropAfter, On: "basic.publish", Nth: 2})
	publish(t, ch, "q", "1")
	if err := nack.Wait(inTime(t), 1); err != nil {
		t.Fatal(err)
	}
	if hidden.Hits() != 1 || never.Seen() != 0 {
		t.Errorf("hits %d, seen %d", hidden.Hits(), never.Seen())
	}
	if got := len(b.Faults()); got != 3 {
		t.Errorf("%d faults", got)
	}
}

func TestFaultWaitEnds(t *testing.T) {
	b := New(t)
	n := inject(t, b, Fault{Do: Nack})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	done := make(chan error)
	go func() { done <- n.Wait(t.Context(), 1) }()
	n.Remove()
	if err := <-done; err == nil {
		t.Error("no error after Remove")
	}
}

func TestFaultRefused(t *testing.T) {
	b := New(t)
	for name, f := range map[string]Fault{
		"Fault.Do":         {},
		"Fault.On":         {Do: Nack, On: "queue.declare"},
		"Fault.On ":        {Do: DropBefore, On: "queue.declare-ok"},
		"Fault.On  ":       {Do: CloseChannel, On: OnConnect},
		"Fault.On   ":      {Do: CloseChannel, On: "connection.open"},
		"Fault.On    ":     {Do: DropAfter, On: Now},
		"Fault.Queue":      {Do: DeleteQueue, On: Now},
		"Fault.Queue ":     {Do: DeleteQueue, Queue: "[a"},
		"Fault.Nth":        {Do: Nack, Nth: -1},
		"Fault.Every":      {Do: Nack, Every: -1},
		"Fault.Delay":      {Do: DelayConfirm},
		"Fault.Count":      {Do: ReorderConfirms, Count: 1},
		"Fault.Resource":   {Do: RaiseAlarm, Resource: "cpu"},
		"Fault.Text":       {Do: CloseChannel, Text: strings.Repeat("x", 256)},
		"Fault.Connection": {Do: Nack, Connection: "["},
	} {
		_, err := b.Inject(f)
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(name)) {
			t.Errorf("%+v: %v", f, err)
		}
	}
	if len(b.Faults()) != 0 {
		t.Error("a refused fault is there")
	}
}

// TestFaultsInABubble: with a running clock in testing/synctest, delays take
// the bubble's time, and no time at all.
func TestFaultsInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := Config{Trace: 100}.Start()
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		dial := func(network, addr string) (net.Conn, error) { return b.Dial(t.Context(), network, addr) }
		c, err := amqp.DialConfig(b.PipeURL(), amqp.Config{Dial: dial, Heartbeat: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ch := confirming(t, c, "q")
		for _, f := range []Fault{{Do: DelayConfirm, Delay: time.Minute}, {Do: Stall, On: "basic.publish", Delay: time.Minute, Nth: 2}} {
			n := inject(t, b, f)
			start := time.Now()
			for range f.withDefaults().Nth {
				publish(t, ch, "q", "1")
			}
			if ok, err := publish(t, ch, "q", "last").WaitContext(t.Context()); !ok || err != nil {
				t.Error(ok, err)
			}
			if f.Do == Stall && time.Since(start) != time.Minute {
				t.Errorf("%s took %s", f.Do, time.Since(start))
			}
			if _, err := b.WaitEvent(t.Context(), Both(OfKind(EventConfirmed), func(e Event) bool { return e.Tag == 1 })); err != nil {
				t.Error(err)
			}
			if time.Since(start) != time.Minute {
				t.Errorf("%s took %s", f.Do, time.Since(start))
			}
			hits(t, n, 1)
		}
	})
}

func TestFaultAtAnyMethod(t *testing.T) {
	b := New(t)
	n := inject(t, b, Fault{Do: CloseConnection, Code: 320, Nth: 4})
	c := dialNamed(t, b, "p") // connection.open
	ch := opened(t, c)        // channel.open
	closed := c.NotifyClose(make(chan *amqp.Error, 1))
	if _, err := ch.QueueDeclare("q", false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	publish(t, ch, "q", "1")
	closedWith(t, closed, 320, "CONNECTION_FORCED - injected fault")
	if e := await(t, b, OfKind(EventFault)); e.Text != "basic.publish" {
		t.Errorf("event: %s", e)
	}
	if got := bodies(b, "q"); got != "" {
		t.Errorf("stored: %s", got)
	}
	hits(t, n, 1)
}

// TestFaultsDoNotTouchOthers: each of the filters keeps a fault away.
func TestFaultsDoNotTouchOthers(t *testing.T) {
	b := Config{VHosts: []string{"/", "other"}}.New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "orders/new")
	for _, f := range []Fault{
		{Connection: "q*"}, {Connection: "2"}, {VHost: "oth*"}, {Exchange: "?*"}, {Key: "orders"}, {Queue: "orders/old"}, {Exchange: "x"},
	} {
		f.Do = Nack
		n := inject(t, b, f)
		if ok, err := publish(t, ch, "orders/new", "1").WaitContext(inTime(t)); !ok || err != nil || n.Seen() != 0 {
			t.Errorf("%+v: %t, %v, seen %d", f, ok, err, n.Seen())
		}
		n.Remove()
	}
	for _, f := range []Fault{
		{Connection: "p*"}, {Connection: "1"}, {VHost: "/"}, {Exchange: DefaultExchange}, {Key: "orders*"}, {Queue: "*/new"}, {Queue: "orders/[a-z]ew"},
	} {
		f.Do = Nack
		n := inject(t, b, f)
		if ok, err := publish(t, ch, "orders/new", "1").WaitContext(inTime(t)); ok || err != nil || n.Hits() != 1 {
			t.Errorf("%+v: %t, %v", f, ok, err)
		}
		n.Remove()
	}
}
