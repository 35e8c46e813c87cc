package amqptest

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestUnackedSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s unackedSet
		model := map[uint64]*delivery{}
		var tag uint64
		list := func(upTo uint64) []*delivery {
			var out []*delivery
			for _, tag := range slices.Sorted(maps.Keys(model)) {
				if tag <= upTo {
					out = append(out, model[tag])
				}
			}
			return out
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				tag += 1 + rapid.Uint64Range(0, 3).Draw(t, "gap")
				d := &delivery{tag: tag}
				s.add(d)
				model[tag] = d
			},
			"take one": func(t *rapid.T) {
				one := rapid.Uint64Range(0, tag+1).Draw(t, "tag")
				d := s.get(one)
				if d != model[one] {
					t.Fatalf("get %d: %v, want %v", one, d, model[one])
				}
				if d != nil {
					s.remove(d)
					delete(model, one)
				}
			},
			"take multiple, and roll back": func(t *rapid.T) {
				upTo := rapid.Uint64Range(0, tag+1).Draw(t, "tag")
				got := s.upTo(upTo)
				if want := list(upTo); !slices.Equal(got, want) {
					t.Fatalf("up to %d: %v, want %v", upTo, got, want)
				}
				back := rapid.Bool().Draw(t, "roll back")
				for _, d := range got {
					s.remove(d)
					if !back {
						delete(model, d.tag)
					}
				}
				if back {
					for _, d := range got {
						s.add(d)
					}
				}
			},
			"": func(t *rapid.T) {
				if got, want := s.all(), list(tag); !slices.Equal(got, want) {
					t.Fatalf("all: %v, want %v", got, want)
				}
				if s.len() != len(model) {
					t.Fatalf("%d, want %d", s.len(), len(model))
				}
				if len(model) == 0 && (s.oldest != nil || s.newer != nil) {
					t.Fatal("an empty set holds on to a delivery")
				}
			},
		})
	})
}

func TestUnackedSetFreesItsMemory(t *testing.T) {
	var s unackedSet
	for tag := range uint64(unackedMapKept + 1) {
		s.add(&delivery{tag: tag})
	}
	for _, d := range s.all() {
		s.remove(d)
	}
	if s.byTag != nil {
		t.Error("a drained set keeps its map")
	}
}
