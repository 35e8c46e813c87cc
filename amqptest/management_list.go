package amqptest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// list answers with a list as the query wants it: sorted, filtered and paged,
// and of each object the columns named.
func (c *apiCall) list(all []object) apiReply {
	if by := c.query("sort"); by != "" {
		slices.SortStableFunc(all, func(a, b object) int {
			order := compareJSON(valueAt(a, by), valueAt(b, by))
			if c.query("sort_reverse") == "true" {
				return -order
			}
			return order
		})
	}
	if all == nil {
		all = []object{}
	}
	if c.r.URL.Query().Has("page") {
		return c.page(all)
	}
	return okReply(c.columnsOf(all))
}

// one answers with one object, of which the query may name columns.
func (c *apiCall) one(o object) apiReply {
	if columns := c.columns(); columns != nil {
		return okReply(project(o, columns))
	}
	return okReply(o)
}

const (
	defaultPageSize = 100
	maxPageSize     = 500
)

// page answers with one page of a list.
func (c *apiCall) page(all []object) apiReply {
	number, err := strconv.Atoi(c.query("page"))
	size, sizeErr := defaultPageSize, error(nil)
	said := "undefined"
	if s := c.query("page_size"); s != "" {
		size, sizeErr = strconv.Atoi(s)
		said = s
	}
	if err != nil || sizeErr != nil {
		return badRequest("Pagination parameters are invalid")
	}
	if number < 1 || size < 1 || size > maxPageSize {
		return apiError(http.StatusBadRequest, "invalid_pagination_parameters",
			fmt.Sprintf("Invalid pagination parameters: page number %d, page size %s", number, said))
	}
	total := len(all)
	all, failed := c.filter(all)
	if failed != nil {
		return *failed
	}
	pages := max(1, (len(all)+size-1)/size)
	if number > pages {
		return apiError(http.StatusBadRequest, "page_out_of_range",
			fmt.Sprintf("Page out of range, page: %d page size: %d, len: %d", number, size, len(all)))
	}
	items := all[(number-1)*size : min(number*size, len(all))]
	return okReply(object{
		"total_count": total, "filtered_count": len(all), "item_count": len(items),
		"page": number, "page_size": size, "page_count": pages, "items": c.columnsOf(items),
	})
}

// filter keeps what has the query's name in its own, or matches it.
func (c *apiCall) filter(all []object) ([]object, *apiReply) {
	name := c.query("name")
	if name == "" {
		return all, nil
	}
	fits := func(s string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(name)) }
	if c.query("use_regex") == "true" {
		re, err := regexp.Compile("(?i)" + name)
		if err != nil {
			reply := badRequest("invalid regular expression: " + err.Error())
			return nil, &reply
		}
		fits = re.MatchString
	}
	return slices.DeleteFunc(slices.Clone(all), func(o object) bool {
		s, _ := o["name"].(string)
		return !fits(s)
	}), nil
}

// columns are the fields that the query wants; nil: all.
func (c *apiCall) columns() []string {
	s := c.query("columns")
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func (c *apiCall) columnsOf(all []object) []object {
	columns := c.columns()
	if columns == nil {
		return all
	}
	out := make([]object, len(all))
	for i, o := range all {
		out[i] = project(o, columns)
	}
	return out
}

// project leaves the columns of an object: fields, or fields of fields, with
// dots between.
func project(o object, columns []string) object {
	out := make(object)
	for _, column := range columns {
		name, rest, nested := strings.Cut(column, ".")
		v, there := o[name]
		if !there {
			continue
		}
		inner, isObject := v.(object)
		if !nested || !isObject {
			out[name] = v
			continue
		}
		part := project(inner, []string{rest})
		if before, isObject := out[name].(object); isObject {
			for k, v := range part {
				before[k] = v
			}
			continue
		}
		if len(part) > 0 {
			out[name] = part
		}
	}
	return out
}

// valueAt is a field, or a field of a field; nil: there is none.
func valueAt(o object, path string) any {
	name, rest, nested := strings.Cut(path, ".")
	v := o[name]
	if !nested {
		return v
	}
	inner, _ := v.(object)
	return valueAt(inner, rest)
}

// compareJSON orders numbers before texts before all else.
func compareJSON(a, b any) int {
	x, xIsNumber := jsonNumber(a)
	y, yIsNumber := jsonNumber(b)
	switch {
	case xIsNumber && yIsNumber:
		return cmp.Compare(x, y)
	case xIsNumber:
		return -1
	case yIsNumber:
		return 1
	}
	s, sIsText := a.(string)
	t, tIsText := b.(string)
	switch {
	case sIsText && tIsText:
		return cmp.Compare(s, t)
	case sIsText:
		return -1
	case tIsText:
		return 1
	}
	return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
}

// jsonNumber is a value as JSON would have it, if it is a number.
func jsonNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	case float64:
		return v, true
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case uint16:
		return float64(v), true
	case uint32:
		return float64(v), true
	}
	return 0, false
}
