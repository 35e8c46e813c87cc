package amqptest

// Exchanges are the exchanges of a virtual host, or of all if vhost is "".
func (b *Broker) Exchanges(vhost string) []ExchangeInfo {
	b.lock()
	defer b.unlock()
	var all []ExchangeInfo
	for _, vh := range b.vhostsNamed(vhost) {
		for _, x := range vh.exchangesInOrder() {
			all = append(all, x.info())
		}
	}
	return all
}

// Exchange is one exchange; false: there is none of that name.
func (b *Broker) Exchange(vhost, name string) (ExchangeInfo, bool) {
	b.lock()
	defer b.unlock()
	vh := b.vhosts[vhost]
	if vh == nil || vh.exchanges[name] == nil {
		return ExchangeInfo{}, false
	}
	return vh.exchanges[name].info(), true
}

func (x *exchange) info() ExchangeInfo {
	return ExchangeInfo{
		VHost: x.vhost.name, Name: x.name, Type: x.kind, Durable: x.durable, AutoDelete: x.autoDelete, Internal: x.internal,
		Arguments: plainTable(x.args), In: x.in, Out: x.out,
	}
}

// Bindings are the bindings of a virtual host, or of all if vhost is "", by
// their source, in the order in which they were made. Those by which the
// default exchange leads to every queue come first.
func (b *Broker) Bindings(vhost string) []BindingInfo {
	b.lock()
	defer b.unlock()
	var all []BindingInfo
	for _, vh := range b.vhostsNamed(vhost) {
		for _, q := range vh.queuesInOrder() {
			all = append(all, BindingInfo{
				VHost: vh.name, Destination: q.name, DestinationType: "queue", RoutingKey: q.name, Arguments: map[string]any{},
			})
		}
		for _, x := range vh.exchangesInOrder() {
			for _, to := range x.bindings {
				all = append(all, to.info())
			}
		}
	}
	return all
}

func (to *binding) info() BindingInfo {
	info := BindingInfo{
		VHost: to.source.vhost.name, Source: to.source.name, RoutingKey: to.key, Arguments: plainTable(to.args),
		DestinationType: "queue",
	}
	if to.exchange != nil {
		info.Destination, info.DestinationType = to.exchange.name, "exchange"
	} else {
		info.Destination = to.queue.name
	}
	return info
}
