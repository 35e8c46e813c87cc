package wire

// Ids of the methods of class tx.
const (
	MethodTxSelect     = 10
	MethodTxSelectOk   = 11
	MethodTxCommit     = 20
	MethodTxCommitOk   = 21
	MethodTxRollback   = 30
	MethodTxRollbackOk = 31
)

var txMethods = map[uint32]methodInfo{
	methodKey(ClassTx, MethodTxSelect):     info[TxSelect]("tx.select"),
	methodKey(ClassTx, MethodTxSelectOk):   info[TxSelectOk]("tx.select_ok"),
	methodKey(ClassTx, MethodTxCommit):     info[TxCommit]("tx.commit"),
	methodKey(ClassTx, MethodTxCommitOk):   info[TxCommitOk]("tx.commit_ok"),
	methodKey(ClassTx, MethodTxRollback):   info[TxRollback]("tx.rollback"),
	methodKey(ClassTx, MethodTxRollbackOk): info[TxRollbackOk]("tx.rollback_ok"),
}

// TxSelect puts the channel in transaction mode.
type TxSelect struct{}

// ID is 90, 10.
func (*TxSelect) ID() (class, method uint16) { return ClassTx, MethodTxSelect }

func (*TxSelect) decode(*fields) {}

func (*TxSelect) append(dst []byte) []byte { return dst }

// TxSelectOk answers tx.select.
type TxSelectOk struct{}

// ID is 90, 11.
func (*TxSelectOk) ID() (class, method uint16) { return ClassTx, MethodTxSelectOk }

func (*TxSelectOk) decode(*fields) {}

func (*TxSelectOk) append(dst []byte) []byte { return dst }

// TxCommit commits.
type TxCommit struct{}

// ID is 90, 20.
func (*TxCommit) ID() (class, method uint16) { return ClassTx, MethodTxCommit }

func (*TxCommit) decode(*fields) {}

func (*TxCommit) append(dst []byte) []byte { return dst }

// TxCommitOk answers tx.commit.
type TxCommitOk struct{}

// ID is 90, 21.
func (*TxCommitOk) ID() (class, method uint16) { return ClassTx, MethodTxCommitOk }

func (*TxCommitOk) decode(*fields) {}

func (*TxCommitOk) append(dst []byte) []byte { return dst }

// TxRollback rolls back.
type TxRollback struct{}

// ID is 90, 30.
func (*TxRollback) ID() (class, method uint16) { return ClassTx, MethodTxRollback }

func (*TxRollback) decode(*fields) {}

func (*TxRollback) append(dst []byte) []byte { return dst }

// TxRollbackOk answers tx.rollback.
type TxRollbackOk struct{}

// ID is 90, 31.
func (*TxRollbackOk) ID() (class, method uint16) { return ClassTx, MethodTxRollbackOk }

func (*TxRollbackOk) decode(*fields) {}

func (*TxRollbackOk) append(dst []byte) []byte { return dst }
