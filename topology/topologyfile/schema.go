package topologyfile

import (
	_ "embed"
	"reflect"
	"slices"
)

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema (draft 7) of the format, for editors and for checks in
// other languages. It is a copy, of the file schema.json of this package. The schema
// holds names, types and units; what one field has to do with another only
// [Parse] knows.
func Schema() []byte { return slices.Clone(schema) }

// entityTypes are the structs of the format.
func entityTypes() []reflect.Type {
	var all []reflect.Type
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		switch formOf(t) {
		case formList, formOptional:
			walk(t.Elem())
		case formObject:
			if slices.Contains(all, t) {
				return
			}
			all = append(all, t)
			for _, f := range fieldsOf(t) {
				walk(f.typ)
			}
		}
	}
	walk(reflect.TypeFor[File]())
	return all
}
