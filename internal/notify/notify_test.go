package notify

import (
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Of what waits while the hook is busy, the last one is left.
func TestReplace(t *testing.T) {
	var got []int
	begun, block := make(chan struct{}, 2), make(chan struct{})
	q := New(func(n int) { begun <- struct{}{}; <-block; got = append(got, n) })
	q.Replace(1)
	<-begun
	for n := range 1000 {
		q.Replace(n)
	}
	close(block)
	q.Close()
	<-q.Done()
	if !slices.Equal(got, []int{1, 999}) {
		t.Fatalf("got %v", got)
	}
	q.Replace(1)
}

func TestOrderIsKeptAndNothingDropped(t *testing.T) {
	var got, want []int
	block := make(chan struct{})
	q := New(func(n int) { <-block; got = append(got, n) })
	for n := range 1000 { // none of them waits for the hook
		q.Tell(n)
		want = append(want, n)
	}
	close(block)
	q.Close()
	<-q.Done()
	if !slices.Equal(got, want) {
		t.Fatalf("got %d values", len(got))
	}
	q.Tell(1) // no panic, no effect
}

func TestNoHook(t *testing.T) {
	q := New[int](nil)
	q.Tell(1)
	q.Close()
	<-q.Done()
}
