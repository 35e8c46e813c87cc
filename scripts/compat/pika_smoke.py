"""What a program with pika does, on the broker at AMQP_URL. Prints one line a check and exits 1 if one failed."""
import os
import sys
import uuid

import pika

parameters = pika.URLParameters(os.environ["AMQP_URL"])


def equal(got, want):
    if got != want:
        raise AssertionError(f"got {got!r}, want {want!r}")


def consume(queue_type):
    def check(channel):
        queue = f"compat.{uuid.uuid4()}"
        channel.queue_declare(queue, durable=True, arguments={"x-queue-type": queue_type})
        channel.confirm_delivery()
        for i in range(100):
            channel.basic_publish("", queue, str(i).encode(), pika.BasicProperties(delivery_mode=2), mandatory=True)
        channel.basic_qos(prefetch_count=10)
        got = []
        for method, _, body in channel.consume(queue, inactivity_timeout=10):
            if method is None:
                break
            got.append(int(body))
            channel.basic_ack(method.delivery_tag)
            if len(got) == 100:
                break
        channel.cancel()
        equal(got, list(range(100)))
        equal(channel.queue_delete(queue).method.message_count, 0)
    return check


def returned(channel):
    channel.confirm_delivery()
    try:
        channel.basic_publish("amq.direct", "nowhere", b"", mandatory=True)
    except pika.exceptions.UnroutableError as e:
        equal(e.messages[0].method.reply_code, 312)
    else:
        raise AssertionError("no return")


def missing(channel):
    try:
        channel.queue_declare("compat.missing", passive=True)
    except pika.exceptions.ChannelClosedByBroker as e:
        equal(e.args, (404, "NOT_FOUND - no queue 'compat.missing' in vhost '/'"))
    else:
        raise AssertionError("no error")


def expired(channel):
    target = channel.queue_declare("", exclusive=True).method.queue
    arguments = {"x-message-ttl": 0, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": target}
    queue = channel.queue_declare("", exclusive=True, arguments=arguments).method.queue
    channel.basic_publish("", queue, b"late", pika.BasicProperties(headers={"n": 1, "nested": {"list": [1, "two", None]}}))
    for method, properties, body in channel.consume(target, auto_ack=True, inactivity_timeout=10):
        equal(body, b"late")
        equal(properties.headers["nested"], {"list": [1, "two", None]})
        equal([(d["queue"], d["reason"], d["count"]) for d in properties.headers["x-death"]], [(queue, "expired", 1)])
        break
    channel.cancel()


def transaction(channel):
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.tx_select()
    channel.basic_publish("", queue, b"rolled back")
    channel.tx_rollback()
    channel.basic_publish("", queue, b"committed")
    channel.tx_commit()
    equal(channel.basic_get(queue, auto_ack=True)[2], b"committed")
    channel.tx_commit()


failed = 0
checks = {"classic": consume("classic"), "quorum": consume("quorum"), "return": returned, "404": missing, "dead letter": expired, "tx": transaction}
for name, check in checks.items():
    connection = pika.BlockingConnection(parameters)
    try:
        check(connection.channel())
        print("PASS", name)
    except Exception as e:
        failed += 1
        print("FAIL", name, repr(e))
    finally:
        connection.close()
sys.exit(1 if failed else 0)
