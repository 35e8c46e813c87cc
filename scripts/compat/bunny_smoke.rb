# What a program with Bunny does, on the broker at AMQP_URL. Prints one line a check and exits 1 if one failed.
require "bunny"
require "securerandom"

$failed = false

def check(name)
  connection = Bunny.new(ENV.fetch("AMQP_URL").delete_suffix("/"), automatically_recover: false).start
  yield connection.create_channel
  puts "PASS #{name}"
rescue StandardError => e
  $failed = true
  puts "FAIL #{name} #{e.inspect}"
ensure
  connection&.close
end

def equal(got, want)
  raise "got #{got.inspect}, want #{want.inspect}" unless got == want
end

%w[classic quorum].each do |type|
  check(type) do |ch|
    q = ch.queue("compat.#{SecureRandom.uuid}", durable: true, arguments: { "x-queue-type" => type })
    ch.confirm_select
    100.times { |i| q.publish(i.to_s, persistent: true) }
    equal(ch.wait_for_confirms, true)
    ch.prefetch(10)
    got = Queue.new
    q.subscribe(manual_ack: true) { |info, _, body| got << body.to_i; ch.ack(info.delivery_tag) }
    equal(Timeout.timeout(10) { Array.new(100) { got.pop } }, (0...100).to_a)
    q.delete
  end
end

check("return") do |ch|
  got = Queue.new
  x = ch.default_exchange
  x.on_return { |info, _, _| got << info.reply_code }
  x.publish("", routing_key: "compat.nowhere", mandatory: true)
  equal(Timeout.timeout(10) { got.pop }, 312)
end

check("406") do |ch|
  q = ch.queue("compat.#{SecureRandom.uuid}", exclusive: true)
  begin
    ch.queue_declare(q.name, exclusive: true, arguments: { "x-message-ttl" => 5 })
    raise "no error"
  rescue Bunny::PreconditionFailed => e
    equal(e.message[/inequivalent arg 'x-message-ttl'/], "inequivalent arg 'x-message-ttl'")
  end
end

check("headers exchange") do |ch|
  q = ch.queue("", exclusive: true)
  x = ch.headers("compat.#{SecureRandom.uuid}", auto_delete: true)
  q.bind(x, arguments: { "x-match" => "all", "kind" => "a", "n" => 1 })
  x.publish("no", headers: { "kind" => "a" })
  x.publish("yes", headers: { "kind" => "a", "n" => 1 })
  equal(q.pop[2], "yes")
  equal(q.pop, [nil, nil, nil])
end

check("cancel notification") do |ch|
  q = ch.queue("compat.#{SecureRandom.uuid}")
  got = Queue.new
  consumer = Bunny::Consumer.new(ch, q)
  consumer.on_cancellation { got << :cancelled }
  q.subscribe_with(consumer)
  q.delete
  equal(Timeout.timeout(10) { got.pop }, :cancelled)
end

exit($failed ? 1 : 0)
