package amqptest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func testPipe() (near, far net.Conn) {
	return newPipe(&net.TCPAddr{Port: 1}, &net.TCPAddr{Port: 2})
}

func TestPipeBuffers(t *testing.T) {
	near, far := testPipe()
	if near.LocalAddr().String() != ":1" || near.RemoteAddr().String() != ":2" || far.LocalAddr().String() != ":2" {
		t.Error("addresses")
	}
	if n, err := near.Write([]byte("hello")); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	// What was written is read even after a close.
	_ = near.Close()
	got, err := io.ReadAll(far)
	if string(got) != "hello" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := far.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write to a closed peer: %v", err)
	}
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	if _, err := near.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
}

func TestPipeCarriesMoreThanItHolds(t *testing.T) {
	near, far := testPipe()
	sent := bytes.Repeat([]byte("0123456789abcdef"), pipeBuffer/4)
	go func() {
		for rest := sent; len(rest) > 0; {
			n := min(len(rest), 70_001)
			_, _ = near.Write(rest[:n])
			rest = rest[n:]
		}
		_ = near.Close()
	}()
	got, err := io.ReadAll(far)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes, %v", len(got), len(sent), err)
	}
}

func TestPipeDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := testPipe()
		defer near.Close()
		defer far.Close()
		before := time.Now()
		_ = near.SetDeadline(before.Add(time.Second))
		_, err := near.Read(make([]byte, 1))
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(before) != time.Second {
			t.Errorf("read: %v after %s", err, time.Since(before))
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Error("it is no timeout")
		}
		_ = near.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := near.Write(make([]byte, pipeBuffer+1))
		if n != pipeBuffer || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %d, %v", n, err)
		}
		_ = near.SetDeadline(time.Time{})
		go func() { _, _ = far.Write([]byte("x")) }()
		if n, err := near.Read(make([]byte, 2)); n != 1 || err != nil {
			t.Errorf("without a deadline: %d, %v", n, err)
		}
		// A deadline that is moved to the past ends a read under way.
		time.AfterFunc(time.Second, func() { _ = near.SetReadDeadline(time.Now()) })
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v", err)
		}
	})
}
