package wire

import (
	"bytes"
	"encoding/binary"
)

// Ids of the methods of class connection.
const (
	MethodConnectionStart          = 10
	MethodConnectionStartOk        = 11
	MethodConnectionSecure         = 20
	MethodConnectionSecureOk       = 21
	MethodConnectionTune           = 30
	MethodConnectionTuneOk         = 31
	MethodConnectionOpen           = 40
	MethodConnectionOpenOk         = 41
	MethodConnectionClose          = 50
	MethodConnectionCloseOk        = 51
	MethodConnectionBlocked        = 60
	MethodConnectionUnblocked      = 61
	MethodConnectionUpdateSecret   = 70
	MethodConnectionUpdateSecretOk = 71
)

var connectionMethods = map[uint32]methodInfo{
	methodKey(ClassConnection, MethodConnectionStart):          info[ConnectionStart]("connection.start"),
	methodKey(ClassConnection, MethodConnectionStartOk):        info[ConnectionStartOk]("connection.start_ok"),
	methodKey(ClassConnection, MethodConnectionSecure):         info[ConnectionSecure]("connection.secure"),
	methodKey(ClassConnection, MethodConnectionSecureOk):       info[ConnectionSecureOk]("connection.secure_ok"),
	methodKey(ClassConnection, MethodConnectionTune):           info[ConnectionTune]("connection.tune"),
	methodKey(ClassConnection, MethodConnectionTuneOk):         info[ConnectionTuneOk]("connection.tune_ok"),
	methodKey(ClassConnection, MethodConnectionOpen):           info[ConnectionOpen]("connection.open"),
	methodKey(ClassConnection, MethodConnectionOpenOk):         info[ConnectionOpenOk]("connection.open_ok"),
	methodKey(ClassConnection, MethodConnectionClose):          info[ConnectionClose]("connection.close"),
	methodKey(ClassConnection, MethodConnectionCloseOk):        info[ConnectionCloseOk]("connection.close_ok"),
	methodKey(ClassConnection, MethodConnectionBlocked):        info[ConnectionBlocked]("connection.blocked"),
	methodKey(ClassConnection, MethodConnectionUnblocked):      info[ConnectionUnblocked]("connection.unblocked"),
	methodKey(ClassConnection, MethodConnectionUpdateSecret):   info[ConnectionUpdateSecret]("connection.update_secret"),
	methodKey(ClassConnection, MethodConnectionUpdateSecretOk): info[ConnectionUpdateSecretOk]("connection.update_secret_ok"),
}

// ConnectionStart opens the handshake. Mechanisms and Locales are lists with spaces between.
type ConnectionStart struct {
	VersionMajor, VersionMinor uint8
	ServerProperties           Table
	Mechanisms, Locales        string
}

// ID is 10, 10.
func (*ConnectionStart) ID() (class, method uint16) { return ClassConnection, MethodConnectionStart }

func (m *ConnectionStart) decode(f *fields) {
	m.VersionMajor = f.octet()
	m.VersionMinor = f.octet()
	m.ServerProperties = f.table()
	m.Mechanisms = f.longstr()
	m.Locales = f.longstr()
}

func (m *ConnectionStart) append(dst []byte) []byte {
	dst = append(dst, m.VersionMajor)
	dst = append(dst, m.VersionMinor)
	dst = AppendTable(dst, m.ServerProperties)
	dst = appendLongstr(dst, m.Mechanisms)
	return appendLongstr(dst, m.Locales)
}

// ConnectionStartOk answers connection.start.
type ConnectionStartOk struct {
	ClientProperties Table
	Mechanism        string
	Response         []byte
	Locale           string
}

// ID is 10, 11.
func (*ConnectionStartOk) ID() (class, method uint16) {
	return ClassConnection, MethodConnectionStartOk
}

func (m *ConnectionStartOk) decode(f *fields) {
	m.ClientProperties = f.table()
	m.Mechanism = f.shortstr()
	m.Response = bytes.Clone(f.longbytes())
	m.Locale = f.shortstr()
}

func (m *ConnectionStartOk) append(dst []byte) []byte {
	dst = AppendTable(dst, m.ClientProperties)
	dst = appendShortstr(dst, m.Mechanism)
	dst = appendLongstr(dst, m.Response)
	return appendShortstr(dst, m.Locale)
}

// ConnectionSecure asks for one more round of authentication.
type ConnectionSecure struct {
	Challenge []byte
}

// ID is 10, 20.
func (*ConnectionSecure) ID() (class, method uint16) { return ClassConnection, MethodConnectionSecure }

func (m *ConnectionSecure) decode(f *fields) {
	m.Challenge = bytes.Clone(f.longbytes())
}

func (m *ConnectionSecure) append(dst []byte) []byte {
	return appendLongstr(dst, m.Challenge)
}

// ConnectionSecureOk answers connection.secure.
type ConnectionSecureOk struct {
	Response []byte
}

// ID is 10, 21.
func (*ConnectionSecureOk) ID() (class, method uint16) {
	return ClassConnection, MethodConnectionSecureOk
}

func (m *ConnectionSecureOk) decode(f *fields) {
	m.Response = bytes.Clone(f.longbytes())
}

func (m *ConnectionSecureOk) append(dst []byte) []byte {
	return appendLongstr(dst, m.Response)
}

// ConnectionTune proposes limits: frame_max in octets, heartbeat in seconds, 0 is none.
type ConnectionTune struct {
	ChannelMax uint16
	FrameMax   uint32
	Heartbeat  uint16
}

// ID is 10, 30.
func (*ConnectionTune) ID() (class, method uint16) { return ClassConnection, MethodConnectionTune }

func (m *ConnectionTune) decode(f *fields) {
	m.ChannelMax = f.word()
	m.FrameMax = f.long()
	m.Heartbeat = f.word()
}

func (m *ConnectionTune) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, m.ChannelMax)
	dst = binary.BigEndian.AppendUint32(dst, m.FrameMax)
	return binary.BigEndian.AppendUint16(dst, m.Heartbeat)
}

// ConnectionTuneOk settles the limits, see [ConnectionTune].
type ConnectionTuneOk struct {
	ChannelMax uint16
	FrameMax   uint32
	Heartbeat  uint16
}

// ID is 10, 31.
func (*ConnectionTuneOk) ID() (class, method uint16) { return ClassConnection, MethodConnectionTuneOk }

func (m *ConnectionTuneOk) decode(f *fields) {
	m.ChannelMax = f.word()
	m.FrameMax = f.long()
	m.Heartbeat = f.word()
}

func (m *ConnectionTuneOk) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, m.ChannelMax)
	dst = binary.BigEndian.AppendUint32(dst, m.FrameMax)
	return binary.BigEndian.AppendUint16(dst, m.Heartbeat)
}

// ConnectionOpen opens a virtual host.
type ConnectionOpen struct {
	VirtualHost string
}

// ID is 10, 40.
func (*ConnectionOpen) ID() (class, method uint16) { return ClassConnection, MethodConnectionOpen }

func (m *ConnectionOpen) decode(f *fields) {
	m.VirtualHost = f.shortstr()
	f.shortstr()
	f.bits() // insist
}

func (m *ConnectionOpen) append(dst []byte) []byte {
	dst = appendShortstr(dst, m.VirtualHost)
	dst = append(dst, 0)
	return append(dst, 0)
}

// ConnectionOpenOk answers connection.open.
type ConnectionOpenOk struct{}

// ID is 10, 41.
func (*ConnectionOpenOk) ID() (class, method uint16) { return ClassConnection, MethodConnectionOpenOk }

func (*ConnectionOpenOk) decode(f *fields) {
	f.shortstr()
}

func (*ConnectionOpenOk) append(dst []byte) []byte {
	return append(dst, 0)
}

// ConnectionClose ends the connection. ClassID and MethodID name the method that caused it, or are 0.
type ConnectionClose struct {
	ReplyCode         uint16
	ReplyText         string
	ClassID, MethodID uint16
}

// ID is 10, 50.
func (*ConnectionClose) ID() (class, method uint16) { return ClassConnection, MethodConnectionClose }

func (m *ConnectionClose) decode(f *fields) {
	m.ReplyCode = f.word()
	m.ReplyText = f.shortstr()
	m.ClassID = f.word()
	m.MethodID = f.word()
}

func (m *ConnectionClose) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, m.ReplyCode)
	dst = appendShortstr(dst, m.ReplyText)
	dst = binary.BigEndian.AppendUint16(dst, m.ClassID)
	return binary.BigEndian.AppendUint16(dst, m.MethodID)
}

// ConnectionCloseOk answers connection.close.
type ConnectionCloseOk struct{}

// ID is 10, 51.
func (*ConnectionCloseOk) ID() (class, method uint16) {
	return ClassConnection, MethodConnectionCloseOk
}

func (*ConnectionCloseOk) decode(*fields) {}

func (*ConnectionCloseOk) append(dst []byte) []byte { return dst }

// ConnectionBlocked says that the broker takes no more messages for now.
type ConnectionBlocked struct {
	Reason string
}

// ID is 10, 60.
func (*ConnectionBlocked) ID() (class, method uint16) {
	return ClassConnection, MethodConnectionBlocked
}

func (m *ConnectionBlocked) decode(f *fields) {
	m.Reason = f.shortstr()
}

func (m *ConnectionBlocked) append(dst []byte) []byte {
	return appendShortstr(dst, m.Reason)
}

// ConnectionUnblocked ends connection.blocked.
type ConnectionUnblocked struct{}

// ID is 10, 61.
func (*ConnectionUnblocked) ID() (class, method uint16) {
	return ClassConnection, MethodConnectionUnblocked
}

func (*ConnectionUnblocked) decode(*fields) {}

func (*ConnectionUnblocked) append(dst []byte) []byte { return dst }

// ConnectionUpdateSecret brings new credentials.
type ConnectionUpdateSecret struct {
	NewSecret []byte
	Reason    string
}

// ID is 10, 70.
func (*ConnectionUpdateSecret) ID() (class, method uint16) {
	return ClassConnection, MethodConnectionUpdateSecret
}

func (m *ConnectionUpdateSecret) decode(f *fields) {
	m.NewSecret = bytes.Clone(f.longbytes())
	m.Reason = f.shortstr()
}

func (m *ConnectionUpdateSecret) append(dst []byte) []byte {
	dst = appendLongstr(dst, m.NewSecret)
	return appendShortstr(dst, m.Reason)
}

// ConnectionUpdateSecretOk answers connection.update_secret.
type ConnectionUpdateSecretOk struct{}

// ID is 10, 71.
func (*ConnectionUpdateSecretOk) ID() (class, method uint16) {
	return ClassConnection, MethodConnectionUpdateSecretOk
}

func (*ConnectionUpdateSecretOk) decode(*fields) {}

func (*ConnectionUpdateSecretOk) append(dst []byte) []byte { return dst }
