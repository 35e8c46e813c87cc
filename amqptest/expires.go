package amqptest

import "time"

// quorumTick is how often a quorum queue looks whether it has been unused for
// too long.
const quorumTick = 5 * time.Second

// touch notes a declaration of the queue. It keeps a classic queue from
// expiring, and not a quorum queue.
func (q *queue) touch() {
	if q.kind == classic {
		q.used()
	}
}

// used notes that somebody used the queue.
func (q *queue) used() { q.lastUsed = q.now() }

// unused notes that the queue has lost a consumer.
func (q *queue) unused() {
	q.used()
	q.watchExpiry()
}

// watchExpiry starts the timer of x-expires, unless it is running.
func (q *queue) watchExpiry() {
	if q.opts.expires <= 0 || q.deleted || q.expiry != nil || q.kind == stream {
		return
	}
	q.expiry = q.broker().clock.at(q.expiresUnused(), q.expireUnused)
}

// expiresUnused is when the queue goes, if nobody uses it before.
func (q *queue) expiresUnused() time.Time {
	due := q.lastUsed.Add(q.opts.expires)
	if q.kind == quorum {
		ticks := due.Sub(q.started)/quorumTick + 1
		due = q.started.Add(ticks * quorumTick)
	}
	return due
}

// restartExpiry is what a restart of the broker does: for a classic queue it
// counts as use; a quorum queue looks at intervals that begin anew.
func (q *queue) restartExpiry() {
	q.touch()
	q.started = q.now()
	q.expiry.stop()
	q.expiry = nil
	q.watchExpiry()
}

func (q *queue) expireUnused() {
	q.expiry = nil
	switch {
	case q.deleted || len(q.consumers)+len(q.lingering) > 0:
		// The last consumer starts the time anew when it goes.
	case q.now().Before(q.expiresUnused()):
		q.watchExpiry()
	default:
		q.deleteSelf("expired")
	}
}
