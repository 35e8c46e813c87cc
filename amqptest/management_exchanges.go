package amqptest

import (
	"cmp"
	"net/http"

	"github.com/hareline/hareline/internal/wire"
)

func exchangeRoutes() []apiRoute {
	return []apiRoute{
		{"exchanges", anyone, onGet((*apiCall).listExchanges)},
		{"exchanges/{vhost}", ofVHost, onGet((*apiCall).listExchanges)},
		{"exchanges/{vhost}/{exchange}", ofVHost, onGet((*apiCall).showExchange).and(http.MethodPut, (*apiCall).putExchange).
			and(http.MethodDelete, (*apiCall).deleteExchange)},
		{"exchanges/{vhost}/{exchange}/publish", ofVHost, onPost((*apiCall).publishMessage)},
		{"exchanges/{vhost}/{exchange}/bindings/source", ofVHost, onGet((*apiCall).bindingsFrom)},
		{"exchanges/{vhost}/{exchange}/bindings/destination", ofVHost, onGet((*apiCall).bindingsTo)},
	}
}

func (c *apiCall) listExchanges() apiReply {
	vhosts, there := c.vhosts()
	if !there {
		return notFoundReply()
	}
	var all []object
	for _, vh := range vhosts {
		for _, x := range vh.exchangesInOrder() {
			all = append(all, c.exchangeJSON(x))
		}
	}
	return c.list(all)
}

// exchangeName is that of the path; the default exchange is called amq.default
// here.
func (c *apiCall) exchangeName() string {
	name := cmp.Or(c.words["exchange"], c.words["source"])
	if name == "amq.default" {
		return ""
	}
	return name
}

// exchange is that of the path; nil: there is none.
func (c *apiCall) exchange() *exchange {
	vh := c.vhost()
	if vh == nil {
		return nil
	}
	return vh.exchanges[c.exchangeName()]
}

func (c *apiCall) showExchange() apiReply {
	x := c.exchange()
	if x == nil {
		return notFoundReply()
	}
	o := c.exchangeJSON(x)
	o["incoming"], o["outgoing"] = []object{}, []object{}
	return c.one(o)
}

func (c *apiCall) exchangeJSON(x *exchange) object {
	o := object{
		"name": x.name, "vhost": x.vhost.name, "type": x.kind, "durable": x.durable, "auto_delete": x.autoDelete,
		"internal": x.internal, "arguments": tableJSON(x.args),
	}
	if x.in > 0 || x.out > 0 {
		stats := make(object)
		r := &c.b.mgmt.rates
		r.count(stats, "publish_in", x.in, func(s *sample) uint64 { return s.exchanges[x].in })
		r.count(stats, "publish_out", x.out, func(s *sample) uint64 { return s.exchanges[x].out })
		o["message_stats"] = stats
	}
	return o
}

func (c *apiCall) putExchange() apiReply {
	body, refused := c.decode()
	if refused != nil {
		return *refused
	}
	m, refused := exchangeOf(body, c.exchangeName())
	if refused != nil {
		return *refused
	}
	vh := c.vhost()
	if vh == nil {
		return apiError(http.StatusNotFound, "not_found", "vhost_not_found")
	}
	isNew := c.exchange() == nil
	if refused := c.operate(vh, m); refused != nil {
		return *refused
	}
	return createdReply(isNew)
}

// exchangeOf reads an exchange that is to be declared. Without a type it is a
// direct one.
func exchangeOf(body object, name string) (*wire.ExchangeDeclare, *apiReply) {
	flags, refused := bools(body, "durable", "auto_delete", "internal")
	if refused != nil {
		return nil, refused
	}
	args, err := tableOf(body["arguments"])
	if err != nil {
		reply := badRequest(err.Error())
		return nil, &reply
	}
	return &wire.ExchangeDeclare{
		Exchange: name, Type: cmp.Or(stringOf(body["type"]), kindDirect), Durable: flags["durable"],
		AutoDelete: flags["auto_delete"], Internal: flags["internal"], Arguments: args,
	}, nil
}

func (c *apiCall) deleteExchange() apiReply {
	x := c.exchange()
	if x == nil {
		return notFoundReply()
	}
	m := &wire.ExchangeDelete{Exchange: x.name, IfUnused: c.query("if-unused") == "true"}
	if refused := c.operate(x.vhost, m); refused != nil {
		return *refused
	}
	return noContent()
}
