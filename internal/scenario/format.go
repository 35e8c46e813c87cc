package scenario

import (
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hareline/hareline/internal/wire"
)

// lines are the event's lines in a transcript.
func (e *event) lines() []string {
	if e.method == nil {
		return []string{e.text}
	}
	first := methodText(e.method)
	if !hasContent(e.method) {
		return []string{first}
	}
	return append([]string{first + " body=" + bodyText(e.body)}, propertyLines(&e.properties)...)
}

// longest is the longest body that is written out.
const longest = 80

func bodyText(b []byte) string {
	if len(b) <= longest && utf8.Valid(b) {
		return strconv.Quote(string(b))
	}
	return fmt.Sprintf("<%d bytes, crc32 %08x>", len(b), crc32.ChecksumIEEE(b))
}

func flag(on bool, name string) string {
	if on {
		return " " + name
	}
	return ""
}

// methodText is the method in the words of a script. Methods without fields worth showing are their name.
func methodText(m wire.Method) string {
	for _, text := range []func(wire.Method) string{basicText, queueText, controlText} {
		if s := text(m); s != "" {
			return s
		}
	}
	class, method := m.ID()
	return nameOf(class, method)
}

func basicText(m wire.Method) string {
	switch m := m.(type) {
	case *wire.BasicDeliver:
		return fmt.Sprintf("basic.deliver %s %d%s exchange=%q key=%q",
			m.ConsumerTag, m.DeliveryTag, flag(m.Redelivered, "redelivered"), m.Exchange, m.RoutingKey)
	case *wire.BasicGetOk:
		return fmt.Sprintf("basic.get-ok %d%s exchange=%q key=%q messages=%d",
			m.DeliveryTag, flag(m.Redelivered, "redelivered"), m.Exchange, m.RoutingKey, m.MessageCount)
	case *wire.BasicReturn:
		return fmt.Sprintf("basic.return %d %s exchange=%q key=%q", m.ReplyCode, m.ReplyText, m.Exchange, m.RoutingKey)
	case *wire.BasicAck:
		return fmt.Sprintf("basic.ack %d%s", m.DeliveryTag, flag(m.Multiple, "multiple"))
	case *wire.BasicNack:
		return fmt.Sprintf("basic.nack %d%s%s", m.DeliveryTag, flag(m.Multiple, "multiple"), flag(m.Requeue, "requeue"))
	case *wire.BasicConsumeOk:
		return "basic.consume-ok " + m.ConsumerTag
	case *wire.BasicCancelOk:
		return "basic.cancel-ok " + m.ConsumerTag
	case *wire.BasicCancel:
		return "basic.cancel " + m.ConsumerTag + flag(m.NoWait, "nowait")
	}
	return ""
}

func queueText(m wire.Method) string {
	switch m := m.(type) {
	case *wire.QueueDeclareOk:
		return fmt.Sprintf("queue.declare-ok %s messages=%d consumers=%d", m.Queue, m.MessageCount, m.ConsumerCount)
	case *wire.QueuePurgeOk:
		return fmt.Sprintf("queue.purge-ok messages=%d", m.MessageCount)
	case *wire.QueueDeleteOk:
		return fmt.Sprintf("queue.delete-ok messages=%d", m.MessageCount)
	}
	return ""
}

// controlText is for the classes connection and channel.
func controlText(m wire.Method) string {
	switch m := m.(type) {
	case *wire.ChannelClose:
		return "channel.close " + closeText(m.ReplyCode, m.ReplyText, m.ClassID, m.MethodID)
	case *wire.ConnectionClose:
		return "connection.close " + closeText(m.ReplyCode, m.ReplyText, m.ClassID, m.MethodID)
	case *wire.ChannelFlow:
		return fmt.Sprintf("channel.flow active=%v", m.Active)
	case *wire.ChannelFlowOk:
		return fmt.Sprintf("channel.flow-ok active=%v", m.Active)
	case *wire.ConnectionTune:
		return fmt.Sprintf("connection.tune channel-max=%d frame-max=%d heartbeat=%d", m.ChannelMax, m.FrameMax, m.Heartbeat)
	case *wire.ConnectionStart:
		return startText(m)
	case *wire.ConnectionBlocked:
		return "connection.blocked " + m.Reason
	}
	return ""
}

func closeText(code uint16, text string, class, method uint16) string {
	return fmt.Sprintf("%d %s (%s)", code, text, nameOf(class, method))
}

// nameOf is the method's name, in words with dashes; its numbers where it has none.
func nameOf(class, method uint16) string {
	if class == 0 && method == 0 {
		return "0.0"
	}
	name := strings.ReplaceAll(wire.MethodName(class, method), "_", "-")
	if name == "" {
		return fmt.Sprintf("%d.%d", class, method)
	}
	return name
}

// startText leaves out what names the broker's product, platform and node.
func startText(m *wire.ConnectionStart) string {
	var b strings.Builder
	mechanisms := strings.Fields(m.Mechanisms)
	slices.Sort(mechanisms)
	fmt.Fprintf(&b, "connection.start %d-%d mechanisms=%s locales=%s", m.VersionMajor, m.VersionMinor, strings.Join(mechanisms, ","), m.Locales)
	if v, ok := m.ServerProperties.Get("capabilities"); ok {
		for _, line := range flatten("capabilities", v) {
			b.WriteString(" " + line)
		}
	}
	return b.String()
}

func propertyLines(p *wire.Properties) []string {
	var simple []string
	add := func(flag uint16, format string, v any) {
		if p.Has(flag) {
			simple = append(simple, fmt.Sprintf(format, v))
		}
	}
	add(wire.FlagContentType, "content-type=%q", p.ContentType)
	add(wire.FlagContentEncoding, "content-encoding=%q", p.ContentEncoding)
	add(wire.FlagDeliveryMode, "delivery-mode=%d", p.DeliveryMode)
	add(wire.FlagPriority, "priority=%d", p.Priority)
	add(wire.FlagCorrelationID, "correlation-id=%q", p.CorrelationID)
	add(wire.FlagReplyTo, "reply-to=%q", p.ReplyTo)
	add(wire.FlagExpiration, "expiration=%q", p.Expiration)
	add(wire.FlagMessageID, "message-id=%q", p.MessageID)
	add(wire.FlagTimestamp, "timestamp=%d", p.Timestamp.Unix())
	add(wire.FlagType, "type=%q", p.Type)
	add(wire.FlagUserID, "user-id=%q", p.UserID)
	add(wire.FlagAppID, "app-id=%q", p.AppID)
	add(wire.FlagClusterID, "cluster-id=%q", p.ClusterID)
	var lines []string
	if len(simple) > 0 {
		lines = append(lines, "    "+strings.Join(simple, " "))
	}
	if !p.Has(wire.FlagHeaders) {
		return lines
	}
	if len(p.Headers) == 0 {
		return append(lines, "    headers={}")
	}
	for _, line := range flatten("", p.Headers) {
		lines = append(lines, "    header "+line)
	}
	return lines
}

// flatten writes a value as lines PATH=TYPE:VALUE. Tables come in the alphabet's order of their keys: the broker
// promises none.
func flatten(path string, v any) []string {
	switch v := v.(type) {
	case wire.Table:
		if len(v) == 0 {
			return []string{path + "={}"}
		}
		if path != "" {
			path += "."
		}
		sorted := slices.Clone(v)
		slices.SortStableFunc(sorted, func(a, b wire.Field) int { return strings.Compare(a.Key, b.Key) })
		var lines []string
		for _, f := range sorted {
			lines = append(lines, flatten(path+f.Key, f.Value)...)
		}
		return lines
	case []any:
		if len(v) == 0 {
			return []string{path + "=[]"}
		}
		var lines []string
		for i, item := range v {
			lines = append(lines, flatten(fmt.Sprintf("%s[%d]", path, i), item)...)
		}
		return lines
	case time.Time:
		if strings.HasPrefix(path, "x-death[") {
			return []string{path + "=time:<time>"}
		}
	}
	return []string{path + "=" + valueText(v)}
}

func valueText(v any) string {
	switch v := v.(type) {
	case nil:
		return "void"
	case bool:
		return strconv.FormatBool(v)
	case string:
		return "string:" + stringText(v)
	case []byte:
		return "bytes:" + hex.EncodeToString(v)
	case time.Time:
		return fmt.Sprintf("time:%d", v.Unix())
	case wire.Decimal:
		return fmt.Sprintf("decimal:%d,%d", v.Scale, v.Value)
	case float32:
		return fmt.Sprintf("float:%v", v)
	case float64:
		return fmt.Sprintf("double:%v", v)
	}
	return numberText(v)
}

func stringText(s string) string {
	if len(s) > longest {
		return fmt.Sprintf("<%d bytes, crc32 %08x>", len(s), crc32.ChecksumIEEE([]byte(s)))
	}
	return strconv.Quote(s)
}

func numberText(v any) string {
	switch v.(type) {
	case int8:
		return fmt.Sprintf("byte:%d", v)
	case uint8:
		return fmt.Sprintf("ubyte:%d", v)
	case int16:
		return fmt.Sprintf("short:%d", v)
	case uint16:
		return fmt.Sprintf("ushort:%d", v)
	case int32:
		return fmt.Sprintf("int:%d", v)
	case uint32:
		return fmt.Sprintf("uint:%d", v)
	case int64:
		return fmt.Sprintf("long:%d", v)
	}
	return fmt.Sprintf("%T:%v", v, v)
}
