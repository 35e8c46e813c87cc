package topologyfile

import (
	"reflect"
	"strings"
	"time"
	"unicode"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/topology"
)

// form is how a Go value is written in a file. Reading, writing and the schema all go
// by it, and by the types of package topology themselves: a field added there is in
// the format at once.
type form uint8

const (
	formNone     form = iota // cannot be written
	formText                 // string
	formFlag                 // bool
	formWhole                // integer
	formReal                 // float
	formDuration             // 5m
	formSize                 // 64MiB, or a number of bytes
	formLimit                // integer, or "unlimited"
	formRetry                // a duration, for WorkConfig.Retry
	formTable                // amqp.Table
	formObject               // struct
	formList                 // slice
	formOptional             // pointer: absent is nil
)

// field is one field of a struct, and its name in a file.
type field struct {
	name   string // max_bytes
	goName string // MaxBytes
	index  []int  // for reflect's FieldByIndex
	typ    reflect.Type
}

// fieldsOf are the fields of a struct in their order, those of embedded structs among
// them.
func fieldsOf(t reflect.Type) []field {
	var all []field
	for _, f := range reflect.VisibleFields(t) {
		if !f.IsExported() || f.Anonymous {
			continue
		}
		name := snake(f.Name)
		if f.Type == reflect.TypeFor[interface{ Longest() time.Duration }]() {
			name = "longest_" + name
		}
		all = append(all, field{name, f.Name, f.Index, f.Type})
	}
	return all
}

// form of the field. Sizes and limits are told from other integers by their names.
func (f field) form() form {
	integer := f.typ.Kind() == reflect.Int64
	switch {
	case integer && f.typ != reflect.TypeFor[time.Duration]() && strings.HasSuffix(f.goName, "Bytes"):
		return formSize
	case integer && f.goName == "DeliveryLimit":
		return formLimit
	}
	return formOf(f.typ)
}

func formOf(t reflect.Type) form {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return formDuration
	case reflect.TypeFor[amqp.Table]():
		return formTable
	case reflect.TypeFor[interface{ Longest() time.Duration }]():
		return formRetry
	}
	switch t.Kind() {
	case reflect.String:
		return formText
	case reflect.Bool:
		return formFlag
	case reflect.Float32, reflect.Float64:
		return formReal
	case reflect.Struct:
		return formObject
	case reflect.Slice:
		return formList
	case reflect.Pointer:
		return formOptional
	}
	if v := reflect.New(t).Elem(); v.CanInt() || v.CanUint() {
		return formWhole
	}
	return formNone
}

// snake is a Go name, or what somebody may have written for it, in snake_case:
// MaxBytes and max-bytes are max_bytes, TTL is ttl.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, c := range runes {
		switch {
		case c == '-' || c == ' ':
			b.WriteByte('_')
			continue
		case i > 0 && unicode.IsUpper(c) && wordBegins(runes, i):
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// wordBegins reports whether a new word begins at the capital runes[i]: after a small
// letter or digit, or at the last capital of an abbreviation before a word.
func wordBegins(runes []rune, i int) bool {
	before := runes[i-1]
	return unicode.IsLower(before) || unicode.IsDigit(before) ||
		unicode.IsUpper(before) && i+1 < len(runes) && unicode.IsLower(runes[i+1])
}

// longest stands for a retry policy in WorkConfig.Retry: all that is asked of one
// there is its longest delay.
type longest time.Duration

func (l longest) Longest() time.Duration { return time.Duration(l) }

// constants are the names that package topology has for what a file says in words.
func constants() map[string]string {
	return map[string]string{
		"Quorum":          string(topology.Quorum),
		"Classic":         string(topology.Classic),
		"Stream":          string(topology.Stream),
		"RejectPublish":   string(topology.RejectPublish),
		"DropHead":        string(topology.DropHead),
		"AtLeastOnce":     string(topology.AtLeastOnce),
		"AtMostOnce":      string(topology.AtMostOnce),
		"ClientLocal":     string(topology.ClientLocal),
		"Balanced":        string(topology.Balanced),
		"RetryFailed":     string(topology.RetryFailed),
		"RetryReturned":   string(topology.RetryReturned),
		"RetryAll":        string(topology.RetryAll),
		"DefaultExchange": topology.DefaultExchange,
		"Unlimited":       unlimited,
	}
}
