package topologyfile

import (
	"fmt"
	"os"
	"strings"

	"github.com/hareline/hareline/topology"
)

// File is what a topology file says. The zero value is empty and valid. Values are
// plain data.
type File struct {
	// Work queues: each with its dead-letter queue and its place on a delay ladder.
	WorkQueues []WorkQueue
	// Exchanges, declared or external.
	Exchanges []topology.Exchange
	// Queues that are no work queues.
	Queues []topology.Queue
	// Bindings from exchanges to queues or to other exchanges. Those of a work queue may
	// stand there.
	Bindings []topology.Binding
	// Delay ladders, beyond those that work queues bring with them.
	Ladders []topology.Ladder
}

// WorkQueue is one work queue: the arguments of [topology.WorkQueue].
type WorkQueue struct {
	Name string // of the queue
	topology.WorkConfig
}

// Read reads the file at path: see [Parse].
func Read(path string) (File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return File{}, fmt.Errorf("topologyfile: %w", err)
	}
	return Parse(path, data)
}

// Parse reads a topology file and validates what it says. The name is for errors, and
// one that ends in .json makes it JSON instead of YAML. It does no I/O.
//
// The error is an *[Error] with all problems. When the file reads well and only the
// topology is invalid, errors.As finds the *[topology.ValidationError] in it, and the
// File is what the file says; else the File is empty.
func Parse(name string, data []byte) (File, error) {
	root, problem := load(name, data)
	if problem != nil {
		return File{}, newError(name, []Problem{*problem}, nil)
	}
	d := decoder{places: make(map[string]place)}
	f := d.file(root)
	if len(d.problems) > 0 {
		return File{}, newError(name, d.problems, nil)
	}
	if err := f.Topology().Validate(); err != nil {
		return f, newError(name, newAtlas(f, d.places).problems(err), err)
	}
	return f, nil
}

// Topology is all of the file as one topology.
func (f File) Topology() topology.Topology {
	t := topology.Topology{
		Exchanges: f.Exchanges,
		Queues:    f.Queues,
		Bindings:  f.Bindings,
		Ladders:   f.Ladders,
	}
	for _, w := range f.WorkQueues {
		t = t.Merge(topology.WorkQueue(w.Name, w.WorkConfig).Topology)
	}
	return t.Merge()
}

// Work is the work queue of that name, for the middleware of packages retry and dlq.
// The error is for a name the file does not have.
func (f File) Work(name string) (topology.Work, error) {
	names := make([]string, len(f.WorkQueues))
	for i, w := range f.WorkQueues {
		if w.Name == name {
			return topology.WorkQueue(w.Name, w.WorkConfig), nil
		}
		names[i] = w.Name
	}
	has := "it has none"
	if len(names) > 0 {
		has = "it has " + strings.Join(names, ", ")
	}
	return topology.Work{}, fmt.Errorf("topologyfile: the file has no work queue %q%s; %s; add it to work_queues",
		name, didYouMean(name, names), has)
}
