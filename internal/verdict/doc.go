// Package verdict holds what the consumer core understands of the error a
// handler chain returns, and how a copy of a delivery that is on its way to
// another queue becomes such an error.
//
// Five kinds of error mean something to the core: a [Pending] one (a copy is
// under way: free the worker, settle later), an [Again] one (a copy is not
// stored for now: call it with backoff), a [Reject] one (no time mends it), a
// [Postponed] one (not handled yet: hand it to the chain again later) and
// everything else (give the delivery back). They are told apart by tiny
// interfaces, so that the packages which return them need not import the one
// which reads them.
//
// Rules cited as H n, R n and F n in comments are collected in docs/hazards.md
// of the repository.
package verdict
