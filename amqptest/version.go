package amqptest

// Version is a RabbitMQ release series whose behavior a broker has.
type Version string

// The versions that a broker can be. Each was compared with the release named.
const (
	V310 Version = "3.10" // 3.10.8
	V40  Version = "4.0"  // 4.0.5
	V43  Version = "4.3"  // 4.3.6
)

func (v Version) known() bool { return v == V310 || v == V40 || v == V43 }

// release is what connection.start and the management API tell.
func (v Version) release() string {
	switch v {
	case V310:
		return "3.10.8"
	case V43:
		return "4.3.6"
	default:
		return "4.0.5"
	}
}

// atLeast40 and atLeast43 say since when a behavior exists.
func (v Version) atLeast40() bool { return v != V310 }
func (v Version) atLeast43() bool { return v == V43 }

func (v Version) maxMessageSize() int64 {
	if v.atLeast40() {
		return 16 << 20
	}
	return 128 << 20
}
