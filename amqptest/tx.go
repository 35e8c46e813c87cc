package amqptest

import (
	"slices"

	"github.com/hareline/hareline/internal/wire"
)

// transaction holds what waits for tx.commit: publishes here, acks in
// channel.settling.
type transaction struct {
	publications []publication
	failed       bool // a queue refused one
}

func (ch *channel) txSelect() *amqpError {
	if ch.confirming {
		return softError(codePreconditionFailed, "cannot switch from confirm to tx mode")
	}
	if ch.tx == nil {
		ch.tx = &transaction{}
	}
	ch.reply(false, &wire.TxSelectOk{})
	return nil
}

// txCommit puts what was published into the queues that it was for at that
// time, then settles. Messages that a queue refuses fail the commit, though all
// else was done. A connection that a fault cuts at one of them is over: the rest
// is not done.
func (ch *channel) txCommit() *amqpError {
	if ch.tx == nil {
		return notTransactional()
	}
	tx := ch.tx
	if e := ch.commitPublishes(tx); e != nil || ch.conn.gone {
		return e
	}
	// RabbitMQ answers when queues have what was published to them. Where that
	// is nothing, it answers before queues hear of the acks, and so before what
	// these make room for.
	early := !slices.ContainsFunc(tx.publications, func(p publication) bool { return len(p.routed) > 0 })
	if early {
		ch.reply(false, &wire.TxCommitOk{})
	}
	ch.commitSettles()
	ch.tx = &transaction{}
	if tx.failed {
		return softError(codePreconditionFailed, "partial tx completion")
	}
	if !early {
		ch.reply(false, &wire.TxCommitOk{})
	}
	return nil
}

// commitPublishes publishes what waited for the commit. What the channel is
// delivered of it comes after what it gets returned.
func (ch *channel) commitPublishes(tx *transaction) *amqpError {
	ch.conn.committing = ch.id
	defer ch.conn.sendCommitted()
	for i := range tx.publications {
		p := &tx.publications[i]
		queues, e := ch.stillRouted(tx, p)
		if e != nil {
			return e
		}
		if e := ch.deliver(p, queues); e != nil || ch.conn.gone {
			return e
		}
		for _, q := range queues {
			q.deliverScheduled() // before the next one comes
		}
	}
	return nil
}

// stillRouted are the queues for a publication that is committed. 3.10 knows
// them by their names; since 4.0 what was for a classic queue that is no more
// counts as refused, and 4.3 fails if there is none of that name.
func (ch *channel) stillRouted(tx *transaction, p *publication) ([]*queue, *amqpError) {
	v, vh := ch.version(), ch.conn.vhost
	var queues []*queue
	for _, q := range p.routed {
		now := vh.queues[q.name]
		switch {
		case q.deleted && v.atLeast43() && now == nil:
			return nil, hardError(codeResourceError, "failed to deliver message: {not_found,\n"+
				"                               {resource,<<\"%s\">>,queue,<<\"%s\">>}}", vh.name, q.name)
		case v.atLeast40():
			tx.failed = tx.failed || q.deleted && q.kind == classic
			queues = append(queues, q)
		case now != nil:
			queues = append(queues, now)
		}
	}
	return queues, nil
}

func (ch *channel) txRollback() *amqpError {
	if ch.tx == nil {
		return notTransactional()
	}
	ch.rollbackSettles()
	ch.tx = &transaction{}
	ch.reply(false, &wire.TxRollbackOk{})
	return nil
}

func notTransactional() *amqpError {
	return softError(codePreconditionFailed, "channel is not transactional")
}
