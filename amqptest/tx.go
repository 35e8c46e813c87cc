package amqptest

import "github.com/hareline/hareline/internal/wire"

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

// txCommit publishes, then settles. Messages that a queue refuses fail the
// commit, though all else was done.
func (ch *channel) txCommit() *amqpError {
	if ch.tx == nil {
		return notTransactional()
	}
	tx := ch.tx
	for i := range tx.publications {
		if e := ch.deliver(&tx.publications[i]); e != nil {
			return e
		}
	}
	ch.commitSettles()
	ch.tx = &transaction{}
	if tx.failed {
		return softError(codePreconditionFailed, "partial tx completion")
	}
	ch.reply(false, &wire.TxCommitOk{})
	return nil
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
