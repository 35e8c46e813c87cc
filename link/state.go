package link

import "time"

// Role tells the two connections of a [Link] apart.
type Role uint8

// The two roles. Declaring goes over the Consuming connection: an alarm blocks
// the other one (H 9.1).
const (
	Publishing Role = iota
	Consuming
)

func (r Role) String() string {
	if r == Publishing {
		return "publishing"
	}
	return "consuming"
}

// Status is the state of one connection.
type Status string

// The states of a connection. Blocked and Unblocked are the broker's
// connection.blocked and connection.unblocked.
const (
	Connected    Status = "connected"
	Disconnected Status = "disconnected"
	Blocked      Status = "blocked"
	Unblocked    Status = "unblocked"
	Closed       Status = "closed"
)

// State is one change of one connection, as told to Config.OnState.
type State struct {
	Role   Role
	Status Status
	// Server is host:port/vhost; empty when no server is known.
	Server string
	// Reason is the broker's text when blocked.
	Reason string
	// Err is the cause when disconnected.
	Err error
	// At is when the link saw it.
	At time.Time
}
