package wire

import (
	"encoding/binary"
	"time"
)

// Flags of the properties of class basic, in the order of the wire.
const (
	FlagContentType     uint16 = 0x8000
	FlagContentEncoding uint16 = 0x4000
	FlagHeaders         uint16 = 0x2000
	FlagDeliveryMode    uint16 = 0x1000
	FlagPriority        uint16 = 0x0800
	FlagCorrelationID   uint16 = 0x0400
	FlagReplyTo         uint16 = 0x0200
	FlagExpiration      uint16 = 0x0100
	FlagMessageID       uint16 = 0x0080
	FlagTimestamp       uint16 = 0x0040
	FlagType            uint16 = 0x0020
	FlagUserID          uint16 = 0x0010
	FlagAppID           uint16 = 0x0008
	FlagClusterID       uint16 = 0x0004

	flagsAll uint16 = 0xFFFC
)

// Properties are the properties of class basic. Flags say which are present: one
// that is present may be empty, and one that is not is not written, whatever its
// field holds.
type Properties struct {
	Flags uint16 // as on the wire; the lowest two bits are ignored, as by RabbitMQ

	ContentType     string
	ContentEncoding string
	Headers         Table
	DeliveryMode    uint8
	Priority        uint8
	CorrelationID   string
	ReplyTo         string
	Expiration      string
	MessageID       string
	Timestamp       time.Time // whole seconds, UTC
	Type            string
	UserID          string
	AppID           string
	ClusterID       string
}

// Has says whether all the properties of the flags are present.
func (p *Properties) Has(flags uint16) bool { return p.Flags&flags == flags }

// Set makes the properties of the flags present. The caller fills the fields.
func (p *Properties) Set(flags uint16) { p.Flags |= flags }

// Clear makes the properties of the flags absent. The fields keep their values.
func (p *Properties) Clear(flags uint16) { p.Flags &^= flags }

// SetHeaders sets the headers; a nil table makes them absent.
func (p *Properties) SetHeaders(t Table) {
	p.Headers = t
	if t == nil {
		p.Clear(FlagHeaders)
		return
	}
	p.Set(FlagHeaders)
}

// shortstr is a property that is a short string, with its flag.
type shortstr struct {
	flag  uint16
	value *string
}

// before and after are the short strings before and behind the properties of
// other types. Between them lie headers, delivery mode and priority.
func (p *Properties) before() [2]shortstr {
	return [...]shortstr{{FlagContentType, &p.ContentType}, {FlagContentEncoding, &p.ContentEncoding}}
}

func (p *Properties) between() [4]shortstr {
	return [...]shortstr{
		{FlagCorrelationID, &p.CorrelationID}, {FlagReplyTo, &p.ReplyTo},
		{FlagExpiration, &p.Expiration}, {FlagMessageID, &p.MessageID},
	}
}

func (p *Properties) after() [4]shortstr {
	return [...]shortstr{{FlagType, &p.Type}, {FlagUserID, &p.UserID}, {FlagAppID, &p.AppID}, {FlagClusterID, &p.ClusterID}}
}

// DecodeProperties decodes properties from their flags on to the end of b. The
// error is an [*Error] 541 (INTERNAL_ERROR), as RabbitMQ answers to properties
// that end too early or too late, or have headers that [DecodeTable] refuses.
// The strings share one allocation.
func DecodeProperties(b []byte) (Properties, error) {
	if len(b) < 2 {
		return Properties{}, malformed("properties: no flags")
	}
	p := Properties{Flags: binary.BigEndian.Uint16(b)}
	if p.Flags&flagsAll == 0 && len(b) == 2 {
		return p, nil
	}
	d := propertyDecoder{s: string(b[2:]), flags: p.Flags}
	for _, f := range p.before() {
		d.shortstr(f)
	}
	d.headers(&p)
	if d.has(FlagDeliveryMode, 1) {
		p.DeliveryMode = d.take(1)[0]
	}
	if d.has(FlagPriority, 1) {
		p.Priority = d.take(1)[0]
	}
	for _, f := range p.between() {
		d.shortstr(f)
	}
	if d.has(FlagTimestamp, 8) {
		p.Timestamp = seconds(u64(d.take(8)))
	}
	for _, f := range p.after() {
		d.shortstr(f)
	}
	if d.err == nil && d.s != "" {
		d.err = malformed("properties: %d octets too many", len(d.s))
	}
	if d.err != nil {
		return Properties{}, d.err
	}
	return p, nil
}

// propertyDecoder reads properties in order, up to the first error.
type propertyDecoder struct {
	s     string
	flags uint16
	err   error
}

// has says whether the property is present; it must have n octets then.
func (d *propertyDecoder) has(flag uint16, n uint64) bool {
	if d.err != nil || d.flags&flag == 0 {
		return false
	}
	if uint64(len(d.s)) < n {
		d.err = malformed("properties: the one of flag %#04x is cut", flag)
		return false
	}
	return true
}

func (d *propertyDecoder) take(n int) string {
	s := d.s[:n]
	d.s = d.s[n:]
	return s
}

func (d *propertyDecoder) shortstr(f shortstr) {
	if d.has(f.flag, 1) && d.has(f.flag, 1+uint64(d.s[0])) {
		*f.value = d.take(1 + int(d.s[0]))[1:]
	}
}

func (d *propertyDecoder) headers(p *Properties) {
	if d.has(FlagHeaders, 4) && d.has(FlagHeaders, 4+uint64(u32(d.s))) {
		p.Headers, d.err = decodeTable(d.take(4 + int(u32(d.s)))[4:], 0)
	}
}

// AppendProperties appends the properties that p's flags name, the flags first.
// Strings over 255 octets are cut, at the end of a character where they are UTF-8.
func AppendProperties(dst []byte, p *Properties) []byte {
	dst = binary.BigEndian.AppendUint16(dst, p.Flags&flagsAll)
	for _, f := range p.before() {
		dst = p.appendShortstr(dst, f)
	}
	if p.Has(FlagHeaders) {
		dst = AppendTable(dst, p.Headers)
	}
	if p.Has(FlagDeliveryMode) {
		dst = append(dst, p.DeliveryMode)
	}
	if p.Has(FlagPriority) {
		dst = append(dst, p.Priority)
	}
	for _, f := range p.between() {
		dst = p.appendShortstr(dst, f)
	}
	if p.Has(FlagTimestamp) {
		dst = binary.BigEndian.AppendUint64(dst, uint64(p.Timestamp.Unix()))
	}
	for _, f := range p.after() {
		dst = p.appendShortstr(dst, f)
	}
	return dst
}

func (p *Properties) appendShortstr(dst []byte, f shortstr) []byte {
	if !p.Has(f.flag) {
		return dst
	}
	return appendShortstr(dst, *f.value)
}
