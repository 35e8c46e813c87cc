package retry

import (
	"fmt"
	"sync"
	"time"
)

// Budget bounds how much of a consumer's work may be retries, so that an outage
// of what the handlers call does not become a storm of them: when it is spent,
// a message that fails is buried at once, with reason "budget", to be replayed
// once the outage is over. Without a Budget an outage parks each message
// MaxRetries times.
//
// At any moment the retries of the last Window may be as many as MinPerSecond
// allows, and Share of the first attempts in the same time. Each parked copy is
// one, and so is each immediate retry. Immediate retries may use half of the
// budget, so that they are left out before anything is buried for it. A delivery
// that is postponed is no first attempt.
//
// The zero value is useful. A Budget belongs to this process and is not known to
// others. Give the same one to several policies, by its pointer, for them to
// share it: best one for each service that handlers call. It is safe for
// concurrent use; its fields must not be changed once it is used.
type Budget struct {
	// Share is the part of the first attempts that may be retried, in addition
	// to MinPerSecond. 0 means 0.2; negative means none. At most 1000.
	Share float64
	// MinPerSecond is how many retries per second are allowed, however little
	// there is to do. 0 means 10; negative means none.
	MinPerSecond float64
	// Window is the time that is looked back on, to a tenth of it. 0 means 10 s;
	// at least 1 s.
	Window time.Duration

	mu      sync.Mutex
	began   time.Time
	slots   [budgetSlots]budgetSlot
	current int64 // the slot that now falls into, counted from began
	toldAt  time.Time
}

// The defaults are those that Finagle and Linkerd have long had.
const (
	budgetShare        = 0.2
	budgetMinPerSecond = 10
	budgetWindow       = 10 * time.Second
	budgetSlots        = 10
)

// budgetSlot counts during a tenth of the window.
type budgetSlot struct{ firsts, retries int }

func (b *Budget) limits() (share, perSecond float64, window time.Duration) {
	share, perSecond, window = b.Share, b.MinPerSecond, b.Window
	if share == 0 {
		share = budgetShare
	}
	if perSecond == 0 {
		perSecond = budgetMinPerSecond
	}
	if window == 0 {
		window = budgetWindow
	}
	return max(share, 0), max(perSecond, 0), max(window, time.Second) // less is refused by Validate, which Next does not call
}

func (b *Budget) fault() (field, problem, fix string) {
	switch {
	case b.Share != b.Share || b.Share > 1000:
		return "Share", fmt.Sprintf("is %v", b.Share), "use a part of the first attempts, such as 0.2, or 0 for that default"
	case b.MinPerSecond != b.MinPerSecond || b.MinPerSecond > 1e9:
		return "MinPerSecond", fmt.Sprintf("is %v", b.MinPerSecond), "use retries per second, such as 10, or 0 for that default"
	case b.Window != 0 && b.Window < time.Second:
		return "Window", fmt.Sprintf("is %v", b.Window), "use at least 1 s, or 0 for 10 s"
	}
	return "", "", ""
}

// earn notes a first attempt.
func (b *Budget) earn(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, _, window := b.limits()
	b.slot(now, window).firsts++
}

// take spends one retry. When there is none left, tell is true once per window,
// for the log. Without a budget there is always one.
func (b *Budget) take(now time.Time) (ok, tell bool) {
	if b == nil {
		return true, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spend(now, 1) {
		return true, false
	}
	_, _, window := b.limits()
	if tell = b.toldAt.IsZero() || now.Sub(b.toldAt) >= window; tell {
		b.toldAt = now
	}
	return false, tell
}

// takeAtOnce spends an immediate retry. They have half of the budget: a message
// that they do not help must find something left, for a retry that may. Nothing is
// told of, so that take is.
func (b *Budget) takeAtOnce(now time.Time) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spend(now, 0.5)
}

// spend counts a retry, if that part of the budget has room for it.
func (b *Budget) spend(now time.Time, part float64) bool {
	share, perSecond, window := b.limits()
	slot := b.slot(now, window)
	var firsts, retries int
	for _, s := range b.slots {
		firsts += s.firsts
		retries += s.retries
	}
	const rounding = 1e-9 // 0.29 * 100 is a little less than 29
	if float64(retries+1) > part*(share*float64(firsts)+perSecond*window.Seconds())+rounding {
		return false
	}
	slot.retries++
	return true
}

// slot is the slot of now. Those that have left the window are emptied.
func (b *Budget) slot(now time.Time, window time.Duration) *budgetSlot {
	if b.began.IsZero() {
		b.began = now
	}
	n := int64(now.Sub(b.began) / (window / budgetSlots))
	if n-b.current >= budgetSlots {
		b.slots, b.current = [budgetSlots]budgetSlot{}, n
	}
	for b.current < n { // a caller that is late counts into the slot of the others
		b.current++
		b.slots[b.current%budgetSlots] = budgetSlot{}
	}
	return &b.slots[b.current%budgetSlots]
}
