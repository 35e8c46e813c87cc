package wire

import "encoding/binary"

// Ids of the methods of class channel.
const (
	MethodChannelOpen    = 10
	MethodChannelOpenOk  = 11
	MethodChannelFlow    = 20
	MethodChannelFlowOk  = 21
	MethodChannelClose   = 40
	MethodChannelCloseOk = 41
)

var channelMethods = map[uint32]methodInfo{
	methodKey(ClassChannel, MethodChannelOpen):    info[ChannelOpen]("channel.open"),
	methodKey(ClassChannel, MethodChannelOpenOk):  info[ChannelOpenOk]("channel.open_ok"),
	methodKey(ClassChannel, MethodChannelFlow):    info[ChannelFlow]("channel.flow"),
	methodKey(ClassChannel, MethodChannelFlowOk):  info[ChannelFlowOk]("channel.flow_ok"),
	methodKey(ClassChannel, MethodChannelClose):   info[ChannelClose]("channel.close"),
	methodKey(ClassChannel, MethodChannelCloseOk): info[ChannelCloseOk]("channel.close_ok"),
}

// ChannelOpen opens a channel.
type ChannelOpen struct{}

// ID is 20, 10.
func (*ChannelOpen) ID() (class, method uint16) { return ClassChannel, MethodChannelOpen }

func (*ChannelOpen) decode(f *fields) {
	f.shortstr()
}

func (*ChannelOpen) append(dst []byte) []byte {
	return append(dst, 0)
}

// ChannelOpenOk answers channel.open.
type ChannelOpenOk struct{}

// ID is 20, 11.
func (*ChannelOpenOk) ID() (class, method uint16) { return ClassChannel, MethodChannelOpenOk }

func (*ChannelOpenOk) decode(f *fields) {
	f.longbytes()
}

func (*ChannelOpenOk) append(dst []byte) []byte {
	return append(dst, 0, 0, 0, 0)
}

// ChannelFlow stops or resumes deliveries. RabbitMQ takes only active.
type ChannelFlow struct {
	Active bool
}

// ID is 20, 20.
func (*ChannelFlow) ID() (class, method uint16) { return ClassChannel, MethodChannelFlow }

func (m *ChannelFlow) decode(f *fields) {
	b := f.bits()
	m.Active = b.at(0)
}

func (m *ChannelFlow) append(dst []byte) []byte {
	return append(dst, bit(m.Active, 0))
}

// ChannelFlowOk answers channel.flow.
type ChannelFlowOk struct {
	Active bool
}

// ID is 20, 21.
func (*ChannelFlowOk) ID() (class, method uint16) { return ClassChannel, MethodChannelFlowOk }

func (m *ChannelFlowOk) decode(f *fields) {
	b := f.bits()
	m.Active = b.at(0)
}

func (m *ChannelFlowOk) append(dst []byte) []byte {
	return append(dst, bit(m.Active, 0))
}

// ChannelClose ends the channel. ClassID and MethodID name the method that caused it, or are 0.
type ChannelClose struct {
	ReplyCode         uint16
	ReplyText         string
	ClassID, MethodID uint16
}

// ID is 20, 40.
func (*ChannelClose) ID() (class, method uint16) { return ClassChannel, MethodChannelClose }

func (m *ChannelClose) decode(f *fields) {
	m.ReplyCode = f.word()
	m.ReplyText = f.shortstr()
	m.ClassID = f.word()
	m.MethodID = f.word()
}

func (m *ChannelClose) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, m.ReplyCode)
	dst = appendShortstr(dst, m.ReplyText)
	dst = binary.BigEndian.AppendUint16(dst, m.ClassID)
	return binary.BigEndian.AppendUint16(dst, m.MethodID)
}

// ChannelCloseOk answers channel.close.
type ChannelCloseOk struct{}

// ID is 20, 41.
func (*ChannelCloseOk) ID() (class, method uint16) { return ClassChannel, MethodChannelCloseOk }

func (*ChannelCloseOk) decode(*fields) {}

func (*ChannelCloseOk) append(dst []byte) []byte { return dst }
