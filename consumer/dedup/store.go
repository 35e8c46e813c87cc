package dedup

import (
	"context"
	"maps"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// State is what a [Store] knows of a key.
type State uint8

// The states of a key. Without an entry, or with a lease that is over, it is Fresh.
const (
	Fresh State = iota // nobody had it: now the caller does
	Busy               // somebody has it
	Done               // it was handled
)

// Store keeps what was handled. A shared one (Redis, a table) lets several
// processes drop one another's duplicates; for each method one atomic command
// will do, such as SET NX PX in Redis. Methods may be called by several
// goroutines at once, and block at most until ctx ends.
type Store interface {
	// Begin claims a key that is Fresh for owner, for that long.
	Begin(ctx context.Context, key, owner string, lease time.Duration) (State, error)
	// Finish makes a key Done, whoever has it: its message was handled.
	Finish(ctx context.Context, key, owner string) error
	// Release makes a key Fresh that is Busy with this owner.
	Release(ctx context.Context, key, owner string) error
}

// Memory makes a store in memory that remembers the last n messages that were
// handled, 100,000 for n below 1, of one process while it runs. An entry takes
// about 200 bytes and its key.
func Memory(n int) Store {
	if n < 1 {
		n = 100_000
	}
	done, _ := lru.New[string, struct{}](n) // its error is for n below 1
	return &memory{done: done, busy: map[string]claim{}, sweepAt: sweepMin}
}

// memory keeps claims apart from what is done: a flood of the one must not push
// out the other.
type memory struct {
	mu   sync.Mutex
	done *lru.Cache[string, struct{}]
	busy map[string]claim
	// sweepAt is how many claims make it look for those that are over, which
	// nobody may ask for again.
	sweepAt int
}

const sweepMin = 1024

type claim struct {
	owner string
	until time.Time
}

func (m *memory) Begin(_ context.Context, key, owner string, lease time.Duration) (State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.done.Get(key); ok {
		return Done, nil
	}
	now := time.Now()
	if c, ok := m.busy[key]; ok && c.until.After(now) {
		return Busy, nil
	}
	if len(m.busy) >= m.sweepAt {
		maps.DeleteFunc(m.busy, func(_ string, c claim) bool { return !c.until.After(now) })
		m.sweepAt = max(sweepMin, 2*len(m.busy))
	}
	m.busy[key] = claim{owner: owner, until: now.Add(lease)}
	return Fresh, nil
}

func (m *memory) Finish(_ context.Context, key, _ string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.busy, key)
	m.done.Add(key, struct{}{})
	return nil
}

func (m *memory) Release(_ context.Context, key, owner string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.busy[key].owner == owner {
		delete(m.busy, key)
	}
	return nil
}
