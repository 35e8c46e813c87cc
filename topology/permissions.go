package topology

import (
	"slices"
)

// Permissions are the regular expressions of rabbitmqctl set_permissions, and of the
// management API: they match the names in question, whole, and no others. "^$" matches
// none.
type Permissions struct {
	Configure, Write, Read string
}

// Permissions are what one user needs to [Declare] t, to publish to its exchanges, to
// consume from its queues, and to retry and bury on the way. Nothing External needs to be
// configured: a topology of External entities alone tells what a program needs whose
// topology an admin declares.
//
// Not in them: topic permissions, which restrict routing keys where an admin has set any;
// configure and read on "hareline.lock." and the name of a dead-letter queue, for tools
// that look into one; and configure and read on the bus's exchange and ".replies.*", for
// requests. The default exchange goes by the name "amq.default".
//
// Source: RabbitMQ's page Access Control, and its answers (docs/hazards.md, F 8).
func (t Topology) Permissions() Permissions {
	names := make(map[string][]string) // by permission
	for _, r := range t.rights() {
		names[r.permission] = append(names[r.permission], r.name)
	}
	return Permissions{
		Configure: matchExactly(names[configure]),
		Write:     matchExactly(names[write]),
		Read:      matchExactly(names[read]),
	}
}

// The permissions by RabbitMQ's names.
const (
	configure = "configure"
	write     = "write"
	read      = "read"
)

// right is a permission on something.
type right struct {
	permission string
	resource   string // as PermissionError has it: `queue "orders"`
	name       string
}

func onQueue(permission, name string) right {
	return right{permission, Queue{Name: name}.entity(), name}
}

func onExchange(permission, name string) right {
	return right{permission, Exchange{Name: name}.entity(), name}
}

// rights are all that Permissions speaks of.
func (t Topology) rights() []right {
	var all []right
	f := t.flat()
	for _, e := range f.Exchanges {
		all = append(all, e.needs()...)
		if l, ok := ladderOf(e.Name); !e.Internal && (!ok || l.isLevel(e.Name)) {
			all = append(all, onExchange(write, e.Name))
		}
	}
	for _, q := range f.Queues {
		all = append(all, q.needs()...)
		if l, ok := ladderOf(q.Name); !ok || !l.isLevel(q.Name) {
			all = append(all, onQueue(read, q.Name))
		}
	}
	for _, b := range f.Bindings {
		all = append(all, b.needs()...)
	}
	if len(t.Ladders) > 0 {
		all = append(all, onExchange(write, DefaultExchange)) // burial
	}
	return all
}

func (l Ladder) isLevel(name string) bool { return name != l.Due() && name != l.Unclaimed() }

// needs are the rights to declare e. What is External may be looked at by whoever uses
// it (F 8).
func (e Exchange) needs() []right {
	if e.External {
		return nil
	}
	all := []right{onExchange(configure, e.Name)}
	if e.Alternate != "" {
		all = append(all, onExchange(read, e.Name), onExchange(write, e.Alternate))
	}
	return all
}

// needs are the rights to declare q.
func (q Queue) needs() []right {
	if q.External {
		return nil
	}
	all := []right{onQueue(configure, q.Name)}
	if q.DeadLetterExchange != "" {
		all = append(all, onQueue(read, q.Name), onExchange(write, q.DeadLetterExchange))
	}
	return all
}

// needs are the rights to declare b.
func (b Binding) needs() []right {
	to := onQueue(write, b.Destination)
	if b.ToExchange {
		to = onExchange(write, b.Destination)
	}
	return []right{to, onExchange(read, b.Source)}
}

// missing is the permission on a resource that was refused, where the broker (3.10)
// names the resource only: all of those that the step needs on it.
func missing(needs []right, resource string) string {
	var names []string
	for _, r := range needs {
		if r.resource == resource && !slices.Contains(names, r.permission) {
			names = append(names, r.permission)
		}
	}
	return list(names, " or ")
}
