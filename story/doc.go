// Package story reads and writes the headers that tell what happened to a
// message so far: how often it was tried, why it failed, where it came from.
//
//	s, err := story.Of(d, "orders", time.Now()) // d: a delivery of queue "orders"
//	s.RetryCount++
//	s.LastError = "connection refused"
//	msg, dropped := story.Copy(d, s, 0)          // publish msg, then ack d
//
// All names carry the prefix "hareline-" and no "x-": the broker rewrites
// x-headers by rules of its own, other ones on every version (H 4.3). The
// headers are versioned; every later release reads what an earlier one wrote.
//
// All functions are pure and safe for concurrent use. They never change the
// tables they are given, except [Story.Write] and [Strip], which say so.
//
// Rules cited as H n, R n and F n in comments are collected in docs/hazards.md
// of the repository.
package story
