package confirm

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/link"
)

// peer plays a broker that does what neither RabbitMQ nor amqptest ever does:
// the channel of its first publish answers nothing more, not even
// channel.close, while the connection and its other channels go on. What a
// broker may do is tested on amqptest.
type peer struct {
	silent atomic.Uint32 // the channel that says nothing more
}

func (p *peer) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	out, gone := make(chan []byte, 1000), make(chan struct{})
	go func() {
		for {
			select {
			case b := <-out:
				if _, err := server.Write(b); err != nil {
					return
				}
			case <-gone:
				return
			}
		}
	}()
	go func() {
		defer close(gone)
		defer server.Close()
		p.serve(server, out)
	}()
	return client, nil
}

func (p *peer) serve(conn io.Reader, out chan<- []byte) {
	send := func(channel uint16, m []byte) {
		b := binary.BigEndian.AppendUint16([]byte{1}, channel)
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(m))), m...)
		out <- append(b, 0xCE)
	}
	if _, err := io.ReadFull(conn, make([]byte, 8)); err != nil {
		return
	}
	send(0, []byte("\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x05en_US"))
	tags := map[uint16]uint64{}
	for {
		head := make([]byte, 7)
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		payload := make([]byte, binary.BigEndian.Uint32(head[3:])+1)
		if _, err := io.ReadFull(conn, payload); err != nil {
			return
		}
		channel := binary.BigEndian.Uint16(head[1:])
		if head[0] != 1 {
			continue // a header or a body; the messages of these tests need no more
		}
		switch binary.BigEndian.Uint32(payload) {
		case 10<<16 | 11: // start-ok
			send(0, []byte("\x00\x0a\x00\x1e\x07\xff\x00\x02\x00\x00\x00\x00"))
		case 10<<16 | 40: // open
			send(0, []byte("\x00\x0a\x00\x29\x00"))
		case 10<<16 | 50: // close
			send(0, []byte("\x00\x0a\x00\x33"))
		case 20<<16 | 10: // channel.open
			tags[channel] = 0
			send(channel, []byte("\x00\x14\x00\x0b\x00\x00\x00\x00"))
		case 20<<16 | 40: // channel.close
			if p.silent.Load() != uint32(channel) {
				send(channel, []byte("\x00\x14\x00\x29"))
			}
		case 85<<16 | 10: // confirm.select
			send(channel, []byte("\x00\x55\x00\x0b"))
		case 60<<16 | 40: // publish
			tags[channel]++
			p.silent.CompareAndSwap(0, uint32(channel))
			if p.silent.Load() != uint32(channel) {
				send(channel, append(binary.BigEndian.AppendUint64([]byte("\x00\x3c\x00\x50"), tags[channel]), 0))
			}
		}
	}
}

// A channel that answers nothing, not even channel.close, is replaced. (Not
// in a synctest bubble: the client waits for a mutex, which stops its clock.)
func TestSilentChannelIsReplaced(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	l, err := link.Open(t.Context(), link.Config{URLs: []string{"amqp://app:sesame@broker/?heartbeat=0"}, Dial: (&peer{}).dial, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(t.Context(), l, Config{ConfirmTimeout: 100 * time.Millisecond, Window: 10, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = p.Close(ctx)
		_ = l.Close(ctx)
	}()
	var last *Receipt
	for range 10 {
		last = p.Send(t.Context(), "", "q", amqp.Publishing{})
	}
	<-last.Done() // unknown
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.Publish(ctx, "", "q", amqp.Publishing{}); err != nil {
		t.Errorf("10 s later, ConfirmTimeout being 0.1 s: %v", err)
	}
	if n := runtime.NumGoroutine() - before; n > 5 {
		t.Errorf("%d goroutines more", n)
	}
}
