package confirm

import (
	"strconv"
	"time"
)

// Expiration gives d as amqp.Publishing.Expiration wants it: how long a message may lie
// in each queue before the broker drops or dead-letters it, in milliseconds,
// rounded up. As everywhere here, 0 is none, for ever; a negative d, as of a
// deadline that has passed, is "0": only a consumer that is waiting gets it.
func Expiration(d time.Duration) string {
	switch {
	case d == 0:
		return ""
	case d < 0:
		return "0"
	}
	return strconv.FormatInt(int64((d-1)/time.Millisecond)+1, 10)
}
