package amqptest

import "slices"

// pluginConsistentHash is RabbitMQ's plugin with exchanges of the type
// x-consistent-hash.
const pluginConsistentHash = "rabbitmq_consistent_hash_exchange"

// plugin is whether a plugin is enabled.
func (c Config) plugin(name string) bool { return slices.Contains(c.Plugins, name) }
