package amqptest

// TB is what New needs of a *testing.T, *testing.B or *testing.F.
type TB interface {
	Helper()
	Cleanup(do func())
	Failed() bool
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// endWith closes the broker when the test is over. Of a test that failed, the
// log gets what the broker was like then.
func (b *Broker) endWith(t TB) {
	t.Cleanup(func() {
		t.Helper()
		if t.Failed() {
			t.Logf("the broker at the end of the test:\n%s", b.Dump())
		}
		if err := b.Close(); err != nil {
			t.Logf("amqptest: close the broker: %v", err)
		}
	})
}
