package amqptest

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hareline/hareline/internal/wire"
)

func bindingRoutes() []apiRoute {
	return []apiRoute{
		{"bindings", anyone, onGet((*apiCall).listBindings)},
		{"bindings/{vhost}", ofVHost, onGet((*apiCall).listBindings)},
		{"bindings/{vhost}/e/{source}/{kind}/{destination}", ofVHost, onGet((*apiCall).bindingsBetween).and(http.MethodPost, (*apiCall).postBinding)},
		{"bindings/{vhost}/e/{source}/{kind}/{destination}/{key}", ofVHost, onGet((*apiCall).showBinding).and(http.MethodDelete, (*apiCall).deleteBinding)},
	}
}

// bindings are those of virtual hosts that where accepts: with those of the
// default exchange, which leads to each queue by its name.
func bindings(vhosts []*vhost, where func(BindingInfo) bool) []apiBinding {
	var all []apiBinding
	for _, vh := range vhosts {
		for _, q := range vh.queuesInOrder() {
			all = append(all, apiBinding{BindingInfo{
				VHost: vh.name, Destination: q.name, DestinationType: "queue", RoutingKey: q.name,
			}, nil})
		}
		for _, x := range vh.exchangesInOrder() {
			for _, b := range x.bindings {
				all = append(all, apiBinding{b.api(), b.args})
			}
		}
	}
	return slices.DeleteFunc(all, func(b apiBinding) bool { return !where(b.BindingInfo) })
}

// apiBinding is a binding with its arguments as they are.
type apiBinding struct {
	BindingInfo
	args wire.Table
}

func (b *binding) api() BindingInfo {
	info := BindingInfo{VHost: b.source.vhost.name, Source: b.source.name, RoutingKey: b.key, DestinationType: "queue"}
	if b.queue != nil {
		info.Destination = b.queue.name
		return info
	}
	info.Destination, info.DestinationType = b.exchange.name, "exchange"
	return info
}

func (b apiBinding) json() object {
	return object{
		"source": b.Source, "vhost": b.VHost, "destination": b.Destination, "destination_type": b.DestinationType,
		"routing_key": b.RoutingKey, "arguments": tableJSON(b.args), "properties_key": propertiesKey(b.RoutingKey, b.args),
	}
}

func bindingsJSON(all []apiBinding) []object {
	out := make([]object, 0, len(all))
	for _, b := range all {
		out = append(out, b.json())
	}
	return out
}

// propertiesKey names a binding among those between the same two: its key and,
// if it has arguments, a hash of them.
func propertiesKey(key string, args wire.Table) string {
	quoted := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "~", "%7E") }
	switch {
	case len(args) > 0:
		hash := termHash{}
		hash.top(erlangTerm(args.Sorted()))
		var sum [4]byte
		binary.BigEndian.PutUint32(sum[:], hash.sum)
		return quoted(key) + "~" + quoted(base64.RawURLEncoding.EncodeToString(sum[:]))
	case key == "":
		return "~"
	}
	return quoted(key)
}

func (c *apiCall) listBindings() apiReply {
	vhosts, there := c.vhosts()
	if !there {
		return notFoundReply()
	}
	return c.list(bindingsJSON(bindings(vhosts, func(BindingInfo) bool { return true })))
}

func (c *apiCall) queueBindings() apiReply {
	q := c.queue()
	if q == nil {
		return notFoundReply()
	}
	return c.list(bindingsJSON(bindings([]*vhost{q.vhost}, func(b BindingInfo) bool {
		return b.DestinationType == "queue" && b.Destination == q.name
	})))
}

func (c *apiCall) bindingsFrom() apiReply {
	x := c.exchange()
	if x == nil {
		return notFoundReply()
	}
	return c.list(bindingsJSON(bindings([]*vhost{x.vhost}, func(b BindingInfo) bool { return b.Source == x.name })))
}

func (c *apiCall) bindingsTo() apiReply {
	x := c.exchange()
	if x == nil {
		return notFoundReply()
	}
	return c.list(bindingsJSON(bindings([]*vhost{x.vhost}, func(b BindingInfo) bool {
		return b.DestinationType == "exchange" && b.Destination == x.name
	})))
}

// destinationType is that of the path: e stands for exchange, q for queue.
func (c *apiCall) destinationType() string {
	if c.words["kind"] == "e" {
		return "exchange"
	}
	return "queue"
}

// between are the bindings of the path.
func (c *apiCall) between() []apiBinding {
	source, kind, destination := c.exchangeName(), c.destinationType(), c.words["destination"]
	return bindings([]*vhost{c.vhost()}, func(b BindingInfo) bool {
		return b.Source == source && b.DestinationType == kind && b.Destination == destination
	})
}

func (c *apiCall) bindingsBetween() apiReply {
	if c.vhost() == nil || c.exchange() == nil {
		return notFoundReply()
	}
	return c.list(bindingsJSON(c.between()))
}

// binding is that of the path; nil: there is none.
func (c *apiCall) binding() *apiBinding {
	if c.vhost() == nil {
		return nil
	}
	for _, b := range c.between() {
		if unquoted(propertiesKey(b.RoutingKey, b.args)) == unquoted(c.words["key"]) {
			return &b
		}
	}
	return nil
}

// unquoted: RabbitMQ takes a properties key escaped once or twice.
func unquoted(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

func (c *apiCall) showBinding() apiReply {
	b := c.binding()
	if b == nil {
		return notFoundReply()
	}
	return c.one(b.json())
}

func (c *apiCall) postBinding() apiReply {
	body, refused := c.decode()
	if refused != nil {
		return *refused
	}
	vh := c.vhost()
	if vh == nil {
		return notFoundReply()
	}
	args, err := tableOf(body["arguments"])
	if err != nil {
		return badRequest(err.Error())
	}
	key := stringOf(body["routing_key"])
	if refused := c.operate(vh, bindMethod(c.exchangeName(), c.destinationType(), c.words["destination"], key, args)); refused != nil {
		return *refused
	}
	at := url.PathEscape(c.words["destination"]) + "/" + url.PathEscape(propertiesKey(key, args))
	return apiReply{status: http.StatusCreated, location: at}
}

func bindMethod(source, kind, destination, key string, args wire.Table) wire.Method {
	if kind == "exchange" {
		return &wire.ExchangeBind{Destination: destination, Source: source, RoutingKey: key, Arguments: args}
	}
	return &wire.QueueBind{Queue: destination, Exchange: source, RoutingKey: key, Arguments: args}
}

func (c *apiCall) deleteBinding() apiReply {
	b := c.binding()
	if b == nil {
		return notFoundReply()
	}
	var m wire.Method = &wire.QueueUnbind{Queue: b.Destination, Exchange: b.Source, RoutingKey: b.RoutingKey, Arguments: b.args}
	if b.DestinationType == "exchange" {
		m = &wire.ExchangeUnbind{Destination: b.Destination, Source: b.Source, RoutingKey: b.RoutingKey, Arguments: b.args}
	}
	if refused := c.operate(c.vhost(), m); refused != nil {
		return *refused
	}
	return noContent()
}
