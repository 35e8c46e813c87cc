package topologyfile

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"
)

// fileOf draws any File that a file can say, by reflection: a new field is drawn at
// once. A proper one, for which the values of the types of words are given, has what the
// schema wants: names, words that are constants, and nothing negative.
func fileOf(r *rapid.T, words map[string][]string) File {
	var f File
	draw{r, words != nil, words}.fill(reflect.ValueOf(&f).Elem(), formObject, "")
	return f
}

type draw struct {
	*rapid.T
	proper bool
	values map[string][]string
}

func (d draw) fill(v reflect.Value, f form, path string) {
	switch f {
	case formObject:
		for _, one := range fieldsOf(v.Type()) {
			always := one.name == "name" || d.proper && one.name == "kind"
			if withheld(path, one.name) == "" && (always || rapid.Bool().Draw(d.T, "given")) {
				d.fill(v.FieldByIndex(one.index), one.form(), join(path, one.name))
			}
		}
	case formList:
		if n := rapid.IntRange(0, 3).Draw(d.T, "length"); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				d.fill(v.Index(i), formOf(v.Type().Elem()), path+"[0]")
			}
		}
	case formOptional:
		v.Set(reflect.New(v.Type().Elem()))
		d.fill(v.Elem(), formOf(v.Type().Elem()), path)
	case formText:
		v.SetString(d.text(v.Type(), path))
	case formFlag:
		v.SetBool(rapid.Bool().Draw(d.T, "flag"))
	case formReal:
		v.SetFloat(rapid.Float64().Draw(d.T, "real"))
	case formDuration:
		v.SetInt(d.whole(math.MinInt64+1, math.MaxInt64))
	case formRetry:
		v.Set(reflect.ValueOf(longest(d.whole(math.MinInt64+1, math.MaxInt64))))
	case formTable:
		if t := d.table(2); len(t) > 0 {
			v.Set(reflect.ValueOf(t))
		}
	default:
		d.fillWhole(v)
	}
}

func (d draw) fillWhole(v reflect.Value) {
	bits := v.Type().Bits()
	if v.CanUint() {
		v.SetUint(rapid.Uint64Max(math.MaxUint64>>max(64-bits, 1)).Draw(d.T, "unsigned"))
		return
	}
	v.SetInt(d.whole(math.MinInt64>>(64-bits), math.MaxInt64>>(64-bits)))
}

// whole prefers what has units: whole seconds, mebibytes, days.
func (d draw) whole(low, high int64) int64 {
	if d.proper {
		low = 0
	}
	n := rapid.Int64Range(low, high).Draw(d.T, "whole")
	if round := rapid.SampledFrom([]int64{1, 1, 1 << 20, 1000, int64(time.Second), int64(24 * time.Hour), 1 << 30}).Draw(d.T, "unit"); n/round != 0 {
		n = n / round * round
	}
	return n
}

func (d draw) text(t reflect.Type, path string) string {
	if d.proper {
		if strings.HasSuffix(path, ".kind") {
			return rapid.SampledFrom([]string{"topic", "x-consistent-hash"}).Draw(d.T, "kind")
		}
		if t.Name() != "string" {
			return rapid.SampledFrom(d.values[t.Name()]).Draw(d.T, "word")
		}
	}
	return d.words()
}

// words are any text, and such as YAML has another meaning for.
func (d draw) words() string {
	return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "true", "on", "null", "~", "5", "1e3", "0x1f", "5m", "64MiB", "2001-01-01",
		"order.*", "#", "a: b", "- a", "<<", "*a", "&a", "!a", "a\nb", " a ", "\"", "'", "\t", "%", "@", "`", "=", "\u0085", "\u2028", "\ufeff", "\x00", "😀", "12:30:45"}),
	).Draw(d.T, "text")
}

func (d draw) table(depth int) amqp.Table {
	t := amqp.Table{}
	for range rapid.IntRange(0, 3).Draw(d.T, "entries") {
		t[d.words()] = d.free(depth)
	}
	return t
}

func (d draw) free(depth int) any {
	switch rapid.IntRange(0, 4+min(depth, 1)*2).Draw(d.T, "type") {
	case 0:
		return nil
	case 1:
		return d.words()
	case 2:
		return rapid.Bool().Draw(d.T, "flag")
	case 3:
		return rapid.Int64().Draw(d.T, "int")
	case 4:
		return rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, 1, -2, 1e21, 1e-9})).Draw(d.T, "float")
	case 5:
		return d.table(depth - 1)
	}
	list := []any{}
	for range rapid.IntRange(0, 3).Draw(d.T, "length") {
		list = append(list, d.free(depth-1))
	}
	return list
}

// read is Parse without the validation, which few drawn files pass.
func read(tb interface{ Fatal(...any) }, name string, data []byte) File {
	root, problem := load(name, data)
	if problem != nil {
		tb.Fatal(problem.Error(), "\n", string(data))
	}
	d := decoder{places: make(map[string]place)}
	f := d.file(root)
	if len(d.problems) > 0 {
		tb.Fatal(newError(name, d.problems, nil), "\n", string(data))
	}
	return f
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	for name, write := range map[string]func(File) ([]byte, error){"f.yaml": File.YAML, "f.json": File.JSON} {
		t.Run(name, rapid.MakeCheck(func(r *rapid.T) {
			f := fileOf(r, nil)
			data, err := write(f)
			if err != nil {
				r.Fatal(err)
			}
			if got := read(r, name, data); !reflect.DeepEqual(got, f) {
				r.Fatalf("wrote %#v\nread  %#v\n%s", f, got, data)
			}
		}))
	}
}
