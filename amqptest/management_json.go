package amqptest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/hareline/hareline/internal/wire"
)

// tableJSON is a field table as the management API shows it.
func tableJSON(t wire.Table) object {
	o := make(object, len(t))
	for i := len(t) - 1; i >= 0; i-- { // of a key that is there twice, the first counts
		o[t[i].Key] = valueJSON(t[i].Value)
	}
	return o
}

func valueJSON(v any) any {
	switch v := v.(type) {
	case nil:
		return "undefined"
	case string:
		return textJSON(v)
	case []byte:
		return textJSON(string(v))
	case time.Time:
		return v.Unix()
	case float32:
		return float64(v)
	case wire.Decimal:
		return float64(v.Value) / math.Pow10(int(v.Scale))
	case wire.Table:
		return tableJSON(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = valueJSON(v[i])
		}
		return list
	}
	return v
}

// textJSON is a text, which need not be UTF-8.
func textJSON(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return "Not UTF-8, base64 is: " + base64.StdEncoding.EncodeToString([]byte(s))
}

// tableOf makes a field table of a JSON object: integers are int64, other
// numbers float64, null is void.
func tableOf(v any) (wire.Table, error) {
	if v == nil {
		return nil, nil
	}
	o, isObject := v.(object)
	if !isObject {
		if list, isList := v.([]any); isList && len(list) == 0 {
			return nil, nil // as RabbitMQ, which writes empty objects like that
		}
		return nil, errors.New("not_a_json_object")
	}
	t := make(wire.Table, 0, len(o))
	for _, key := range slices.Sorted(maps.Keys(o)) {
		value, err := fieldOf(o[key])
		if err != nil {
			return nil, err
		}
		t = append(t, wire.Field{Key: key, Value: value})
	}
	return t, nil
}

func fieldOf(v any) (any, error) {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		f, err := v.Float64()
		if err != nil {
			return nil, fmt.Errorf("number %s: %w", v, err)
		}
		return f, nil
	case map[string]any:
		return tableOf(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			value, err := fieldOf(v[i])
			if err != nil {
				return nil, err
			}
			list[i] = value
		}
		return list, nil
	}
	return v, nil // nil, bool, string
}

// boolOf reads a field that is true or false, or one of these words.
func boolOf(body object, key string) (bool, *apiReply) {
	switch v := body[key].(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	case string:
		if v == "true" || v == "false" {
			return v == "true", nil
		}
	}
	reply := badRequest([]any{"not_boolean", body[key]})
	return false, &reply
}

// bools reads fields that are true or false.
func bools(body object, keys ...string) (map[string]bool, *apiReply) {
	all := make(map[string]bool)
	for _, key := range keys {
		v, refused := boolOf(body, key)
		if refused != nil {
			return nil, refused
		}
		all[key] = v
	}
	return all, nil
}

// intOf reads a number, which may be written as a text.
func intOf(v any) (int64, bool) {
	switch v := v.(type) {
	case json.Number:
		n, err := v.Int64()
		return n, err == nil
	case string:
		n, err := json.Number(v).Int64()
		return n, err == nil
	}
	return 0, false
}

// stringOf is a text, or "".
func stringOf(v any) string {
	s, _ := v.(string)
	return s
}
