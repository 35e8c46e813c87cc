package topologyfile

import (
	"encoding/base64"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.yaml.in/yaml/v4"

	"github.com/hareline/hareline/topology"
)

// wanted is the form in words.
func (f form) wanted() string {
	switch f {
	case formText:
		return "text"
	case formFlag:
		return "true or false"
	case formWhole:
		return "a whole number"
	case formReal:
		return "a number"
	case formDuration, formRetry:
		return "a duration with units, such as 300ms, 5m, 1h30m or 7d"
	case formSize:
		return "a number of bytes, or a size such as 64MiB or 1GB"
	case formLimit:
		return "a whole number, or " + unlimited
	}
	return "something else"
}

// scalar reads one value.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, f form, path string) {
	switch f {
	case formText:
		d.text(n, v, path)
	case formFlag:
		if n.ShortTag() != "!!bool" {
			d.mismatch(n, path, f.wanted())
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case formReal:
		d.real(n, v, path)
	case formDuration, formRetry:
		d.duration(n, v, f, path)
	case formSize:
		d.size(n, v, path)
	case formLimit:
		if n.ShortTag() == "!!str" && n.Value == unlimited {
			v.SetInt(topology.Unlimited)
			return
		}
		d.whole(n, v, f, path)
	default:
		d.whole(n, v, f, path)
	}
}

func (d *decoder) text(n *yaml.Node, v reflect.Value, path string) {
	switch n.ShortTag() {
	case "!!str":
		v.SetString(n.Value)
	case "!!int", "!!float", "!!bool", "!!timestamp":
		d.problem(n, path, "is "+describe(n)+", not text", "put it in quotes: "+strconv.Quote(n.Value))
	default:
		d.mismatch(n, path, formText.wanted())
	}
}

func (d *decoder) real(n *yaml.Node, v reflect.Value, path string) {
	var x float64
	tag := n.ShortTag()
	if tag != "!!int" && tag != "!!float" || n.Decode(&x) != nil || v.OverflowFloat(x) {
		d.mismatch(n, path, formReal.wanted())
		return
	}
	v.SetFloat(x)
}

func (d *decoder) size(n *yaml.Node, v reflect.Value, path string) {
	if n.ShortTag() != "!!str" {
		d.whole(n, v, formSize, path)
		return
	}
	size, err := parseSize(n.Value)
	if err != nil {
		d.problem(n, path, describe(n)+" "+err.Error(), "write "+formSize.wanted())
		return
	}
	v.SetInt(size)
}

func (d *decoder) duration(n *yaml.Node, v reflect.Value, f form, path string) {
	var length time.Duration
	switch ms, err := strconv.ParseInt(n.Value, 10, 64); {
	case n.ShortTag() == "!!int" && err == nil && ms != 0:
		fix := "write " + f.wanted()
		if ms > 0 && ms < math.MaxInt64/int64(time.Millisecond) {
			fix = fmt.Sprintf("write %s if milliseconds are meant, as RabbitMQ means them", formatDuration(time.Duration(ms)*time.Millisecond))
		}
		d.problem(n, path, describe(n)+" has no unit", fix)
		return
	case n.ShortTag() == "!!int" && err == nil:
	case n.ShortTag() != "!!str":
		d.mismatch(n, path, f.wanted())
		return
	default:
		if length, err = parseDuration(n.Value); err != nil {
			d.problem(n, path, describe(n)+" "+err.Error(), "write "+f.wanted())
			return
		}
	}
	if f == formRetry {
		v.Set(reflect.ValueOf(longest(length)))
		return
	}
	v.SetInt(int64(length))
}

// whole reads an integer of any Go type.
func (d *decoder) whole(n *yaml.Node, v reflect.Value, f form, path string) {
	if n.ShortTag() != "!!int" {
		d.mismatch(n, path, f.wanted())
		return
	}
	var i int64
	if v.CanUint() {
		var u uint64
		if n.Decode(&u) == nil && !v.OverflowUint(u) {
			v.SetUint(u)
			return
		}
	} else if n.Decode(&i) == nil && !v.OverflowInt(i) {
		v.SetInt(i)
		return
	}
	low, high := integerRange(v.Type())
	d.problem(n, path, describe(n)+" is out of range", fmt.Sprintf("write one from %s to %s", low, high))
}

// integerRange is the least and the greatest value of an integer type.
func integerRange(t reflect.Type) (low, high string) {
	bits := t.Bits()
	if reflect.Zero(t).CanUint() {
		return "0", strconv.FormatUint(math.MaxUint64>>(64-bits), 10)
	}
	return strconv.FormatInt(math.MinInt64>>(64-bits), 10), strconv.FormatInt(math.MaxInt64>>(64-bits), 10)
}

// table reads arguments.
func (d *decoder) table(n *yaml.Node, path string) amqp.Table {
	t := make(amqp.Table)
	for _, p := range d.pairs(n, path) {
		at := join(path, p.name)
		d.places[at] = place{p.key.Line, p.key.Column}
		t[p.name] = d.free(p.value, at)
	}
	return t
}

// free reads a value whose type is told by the file alone.
func (d *decoder) free(n *yaml.Node, path string) any {
	d.depth++
	defer func() { d.depth-- }()
	if n = d.enter(n, path); n == nil {
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		return d.table(n, path)
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, one := range n.Content {
			list[i] = d.free(one, fmt.Sprintf("%s[%d]", path, i))
		}
		return list
	}
	return d.freeScalar(n, path)
}

func (d *decoder) freeScalar(n *yaml.Node, path string) any {
	var err error
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!str":
		return n.Value
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int":
		var i int64
		if err = n.Decode(&i); err == nil {
			return i
		}
	case "!!float":
		var x float64
		// A whole number beyond 64 bits would lose its last digits as a float.
		if err = n.Decode(&x); err == nil && strings.Trim(n.Value, "+-0123456789_") != "" {
			return x
		}
	case "!!timestamp":
		var t time.Time
		if err = n.Decode(&t); err == nil {
			return t
		}
	case "!!binary":
		var b []byte
		if b, err = base64.StdEncoding.DecodeString(n.Value); err == nil {
			return b
		}
	}
	d.problem(n, path, describe(n)+" is nothing that an argument can be", "write text, true or false, or a number of at most 64 bits")
	return nil
}
