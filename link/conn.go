package link

import (
	"net"
	"time"
)

// deadlineConn gives every write a deadline, so that a peer that stops reading
// ends the write instead of holding the client's locks for ever (H 9.3).
type deadlineConn struct {
	net.Conn
	timeout time.Duration
}

func (c *deadlineConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
