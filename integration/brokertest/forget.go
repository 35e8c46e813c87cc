package brokertest

import (
	"strings"
	"testing"

	"github.com/hareline/hareline/amqptest"
)

// ForgetConsumers has the broker forget the consumers of a queue of the test without a word to their clients: what the
// queue does for basic.cancel, without the channel.
func (b *Broker) ForgetConsumers(t testing.TB, queue string) {
	t.Helper()
	if n, ok := b.node.(*embeddedNode); ok {
		if _, err := n.broker.Inject(amqptest.Fault{Do: amqptest.ForgetConsumers, VHost: b.VHost, Queue: queue}); err != nil {
			t.Fatalf("brokertest: %v", err)
		}
		return
	}
	cancel := `{basic_cancel, element(1, C), element(2, C), undefined, <<"nobody">>}`
	if b.AtLeast(4, 1) {
		cancel = `{stop_consumer, #{pid => element(1, C), consumer_tag => element(2, C), user => <<"nobody">>}}`
	}
	b.Ctl(t, "eval", strings.NewReplacer("VHOST", b.VHost, "QUEUE", queue, "CANCEL", cancel).Replace(`
		{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"VHOST">>, queue, <<"QUEUE">>)),
		[case amqqueue:get_type(Q) of
			rabbit_classic_queue ->
				gen_server2:call(amqqueue:get_pid(Q), CANCEL);
			rabbit_quorum_queue ->
				ra:process_command(amqqueue:get_pid(Q), rabbit_fifo:make_checkout({element(2, C), element(1, C)}, cancel, #{}))
		end || C <- rabbit_amqqueue:consumers(Q)].`))
}
