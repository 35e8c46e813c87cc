package integration

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// below is a number from 0 to n-1, each as often as any other: rapid's own numbers are mostly small. It shrinks to 0.
func below(t *rapid.T, n int, what string) int {
	const bits = 10
	number := 0
	for _, bit := range rapid.SliceOfN(rapid.Bool(), bits, bits).Draw(t, what) {
		number *= 2
		if bit {
			number++
		}
	}
	return number * n >> bits
}

// often is true in so many of a hundred cases. It shrinks to false.
func often(t *rapid.T, percent int, what string) bool { return below(t, 100, what) >= 100-percent }

// oneOf shrinks to the first.
func oneOf[T any](t *rapid.T, what string, from ...T) T { return from[below(t, len(from), what)] }

// option is an argument or property that is there in some cases, with one of some values.
type option struct {
	percent int
	name    string
	values  []string
}

func (o option) draw(t *rapid.T) string {
	if !often(t, o.percent, o.name) {
		return ""
	}
	return " " + o.name + oneOf(t, o.name+"=", o.values...)
}

func drawAll(t *rapid.T, options []option) string {
	var b strings.Builder
	for _, o := range options {
		b.WriteString(o.draw(t))
	}
	return b.String()
}

var flagAlone = []string{""}

// Arguments of queues of either type.
var queueOptions = []option{
	{25, "x-max-length", []string{"=1", "=2", "=3", "=0"}},
	{10, "x-max-length-bytes", []string{"=6", "=12", "=20"}},
	{25, "x-overflow", []string{"=reject-publish", "=drop-head", "=reject-publish-dlx"}},
	{45, "x-dead-letter-exchange", []string{`=""`, "=x1", "=x2", "=amq.fanout", "=nowhere"}},
	{35, "x-dead-letter-routing-key", []string{"=q1", "=q2", "=q3", "=k.l"}},
	{10, "x-message-ttl", []string{"=150", "=3600000"}},
	{15, "x-single-active-consumer", []string{"=true"}},
}

var classicOptions = []option{
	{25, "x-max-priority", []string{"=2", "=10", "=1"}},
	{5, "x-queue-mode", []string{"=lazy", "=default"}},
	{8, "auto-delete", flagAlone},
	{5, "exclusive", flagAlone},
}

var quorumOptions = []option{
	{40, "x-delivery-limit", []string{"=0", "=1", "=2", "=3"}},
	{5, "x-quorum-initial-group-size", []string{"=1"}},
}

var publishOptions = []option{
	{30, "priority", []string{"=0", "=1", "=4", "=5", "=9", "=200"}},
	{30, "persistent", flagAlone},
	{15, "mandatory", flagAlone},
	{25, "headers", []string{"={a=1}", "={a=1, b=x}", "={x-y=1, c=true}", "={CC=[q2]}", "={CC=[q3, k], BCC=[q1]}", `={x-delivery-count=7}`}},
	{10, "message-id", []string{"=id"}},
	{6, "expiration", []string{"=150", "=3600000", "=x"}},
	{5, "correlation-id", []string{"=c"}},
	{5, "type", []string{"=t"}},
	{5, "timestamp", []string{"=1700000000"}},
	{5, "delivery-mode", []string{"=1"}},
}

var consumeOptions = []option{
	{20, "no-ack", flagAlone},
	{25, "x-priority", []string{"=1", "=5", "=-1"}},
	{6, "exclusive", flagAlone},
}

// queueArguments are those of a queue that may be new.
func queueArguments(t *rapid.T, kind string) string {
	args := ""
	if kind == "quorum" || !often(t, 15, "transient") {
		args = " durable"
	}
	args += " x-queue-type=" + kind + drawAll(t, queueOptions)
	if kind == "classic" {
		return args + drawAll(t, classicOptions)
	}
	return args + drawAll(t, quorumOptions)
}

func exchangeArguments(t *rapid.T) string {
	return fmt.Sprintf("%s durable", oneOf(t, "exchange type", "direct", "fanout", "topic", "headers")) + drawAll(t, []option{
		{15, "alternate-exchange", []string{"=x1", "=x2", "=amq.fanout", "=nowhere"}},
		{4, "internal", flagAlone},
		{6, "auto-delete", flagAlone},
	})
}

// bindingArguments matter to headers exchanges alone.
func bindingArguments(t *rapid.T) string {
	return oneOf(t, "binding arguments", "", "", " a=1", " x-match=any a=1 b=x", " x-match=all a=1 b=x", " x-match=any-with-x x-y=1")
}

func drawExchange(t *rapid.T) string {
	return oneOf(t, "exchange", "x1", "x1", "x1", "x2", "x2", "amq.direct", "amq.fanout", "amq.topic", "amq.headers")
}

func drawKey(t *rapid.T) string { return oneOf(t, "key", "q1", "q2", "q3", "k", "k.l", "k.l.m") }

func drawPattern(t *rapid.T) string {
	return oneOf(t, "binding key", "k", `"#"`, "k.*", "k.#", "q1", "q2", "*", "k.l")
}
