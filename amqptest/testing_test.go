package amqptest

import (
	"fmt"
	"strings"
	"testing"
)

// watchedTest is a test of which the end is looked at.
type watchedTest struct {
	failed   bool
	log      strings.Builder
	cleanups []func()
}

func (r *watchedTest) Helper()           {}
func (r *watchedTest) Cleanup(do func()) { r.cleanups = append(r.cleanups, do) }
func (r *watchedTest) Failed() bool      { return r.failed }
func (r *watchedTest) Logf(format string, args ...any) {
	fmt.Fprintf(&r.log, format+"\n", args...)
}

func (r *watchedTest) Fatalf(format string, args ...any) {
	r.failed = true
	r.Logf(format, args...)
}

func (r *watchedTest) end() {
	for _, do := range r.cleanups {
		do()
	}
}

func TestNewLogsTheBrokerOfATestThatFails(t *testing.T) {
	for _, failed := range []bool{false, true} {
		r := &watchedTest{}
		b := New(r)
		ch := confirming(t, dialNamed(t, b, "p"), "the queue")
		_, _ = publish(t, ch, "the queue", "lost?").WaitContext(inTime(t))
		r.failed = failed
		r.end()
		if got := strings.Contains(r.log.String(), `queue "the queue", classic: 1 ready`); got != failed {
			t.Errorf("failed %t: %s", failed, r.log.String())
		}
		if _, err := b.Inject(Fault{Do: Nack}); err == nil {
			t.Error("the broker is not closed")
		}
	}
}

func TestNewRefusesAConfigThatIsWrong(t *testing.T) {
	r := &watchedTest{}
	Config{Version: "2.8"}.New(r)
	if !r.failed || !strings.Contains(r.log.String(), "Config.Version") {
		t.Error(r.log.String())
	}
	r.end()
}
