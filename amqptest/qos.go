package amqptest

import "github.com/hareline/hareline/internal/wire"

func (ch *channel) basicQos(m *wire.BasicQos) *amqpError {
	if m.PrefetchSize != 0 {
		return hardError(codeNotImplemented, "prefetch_size!=0 (%d)", m.PrefetchSize)
	}
	// 4.3 knows no limit for whole channels any more: it takes it for one of
	// each consumer.
	if m.Global && !ch.conn.broker.cfg.Version.atLeast43() {
		ch.limit = int(m.PrefetchCount)
	} else {
		ch.prefetch, ch.limit = int(m.PrefetchCount), 0
	}
	ch.reply(false, &wire.BasicQosOk{})
	ch.unblock()
	return nil
}

// unblock has the queues look again at the channel's consumers, which its limit
// may have held up.
func (ch *channel) unblock() {
	for _, c := range ch.consumersInOrder() {
		if c.queue.kind == classic {
			c.queue.wake()
		}
	}
}
