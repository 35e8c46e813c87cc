// Package monitor watches queues over RabbitMQ's management API, and tells when one needs a
// person: messages pile up, nobody consumes, dead letters come in, a delay ladder stands, a
// replica or a whole queue is gone, the broker blocks its publishers.
//
// What it cannot see is never taken for healthy. A number that the API does not give is
// unknown: it raises nothing and clears nothing. That the API does not answer, or not as it
// should, or that a queue is gone, are alarms of their own, and while one stands, what it
// hides is not cleared.
//
// One monitor asks for each of its queues once a round. Run it in one process of a service,
// not in each.
package monitor
