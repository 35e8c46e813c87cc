package amqptest

// unackedSet holds a channel's deliveries that wait for their ack, by tag and
// in the order of their tags. Adding and taking one is O(1), wherever it is.
// The zero value is empty.
type unackedSet struct {
	byTag         map[uint64]*delivery
	oldest, newer *delivery // first and last of the list
	most          int       // that were there since the map was made
}

func (s *unackedSet) len() int { return len(s.byTag) }

// add puts a delivery in. It goes to its place by tag: the end, unless a
// transaction was rolled back.
func (s *unackedSet) add(d *delivery) {
	if s.byTag == nil {
		s.byTag = make(map[uint64]*delivery)
	}
	s.byTag[d.tag] = d
	s.most = max(s.most, len(s.byTag))
	before := s.newer
	for before != nil && before.tag > d.tag {
		before = before.prev
	}
	d.prev = before
	if before == nil {
		d.next, s.oldest = s.oldest, d
	} else {
		d.next, before.next = before.next, d
	}
	if d.next == nil {
		s.newer = d
	} else {
		d.next.prev = d
	}
}

func (s *unackedSet) get(tag uint64) *delivery { return s.byTag[tag] }

func (s *unackedSet) remove(d *delivery) {
	delete(s.byTag, d.tag)
	if d.prev == nil {
		s.oldest = d.next
	} else {
		d.prev.next = d.next
	}
	if d.next == nil {
		s.newer = d.prev
	} else {
		d.next.prev = d.prev
	}
	d.prev, d.next = nil, nil
	// A map never shrinks.
	if len(s.byTag) == 0 && s.most > unackedMapKept {
		s.byTag, s.most = nil, 0
	}
}

const unackedMapKept = 4096

// upTo lists the deliveries with tags up to and with tag, oldest first.
func (s *unackedSet) upTo(tag uint64) []*delivery {
	var out []*delivery
	for d := s.oldest; d != nil && d.tag <= tag; d = d.next {
		out = append(out, d)
	}
	return out
}

// all lists the deliveries, oldest first.
func (s *unackedSet) all() []*delivery {
	if s.len() == 0 {
		return nil
	}
	out := make([]*delivery, 0, s.len())
	for d := s.oldest; d != nil; d = d.next {
		out = append(out, d)
	}
	return out
}
