// Package bubble is for tests alone: it runs them on embedded brokers in bubbles of
// testing/synctest, in which time passes when all wait, and has what they do there.
// What cannot be done ends the test. What starts with a test, ends with it.
package bubble

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/hareline/hareline/amqptest"
)

// Quiet is the logger of what has none of its own.
var Quiet = slog.New(slog.DiscardHandler)

// TB is what a *testing.T and a *rapid.T have in common.
type TB interface {
	Helper()
	Context() context.Context
	Cleanup(f func())
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// Versions are those that the embedded broker can be.
func Versions() []amqptest.Version {
	return []amqptest.Version{amqptest.V310, amqptest.V40, amqptest.V43}
}

// Each runs a test on a broker of each version.
func Each(t *testing.T, test func(t *testing.T, b *amqptest.Broker)) {
	t.Helper()
	EachWith(t, amqptest.Config{}, test)
}

// EachWith is Each with brokers of that configuration.
func EachWith(t *testing.T, cfg amqptest.Config, test func(t *testing.T, b *amqptest.Broker)) {
	t.Helper()
	for _, v := range Versions() {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			on(t, v, cfg, test)
		})
	}
}

// On40 is Each where the versions do not differ.
func On40(t *testing.T, test func(t *testing.T, b *amqptest.Broker)) {
	t.Helper()
	on(t, amqptest.V40, amqptest.Config{}, test)
}

func on(t *testing.T, v amqptest.Version, cfg amqptest.Config, test func(t *testing.T, b *amqptest.Broker)) {
	t.Helper()
	cfg.Version, cfg.Clock = v, amqptest.Running
	synctest.Test(t, func(t *testing.T) { test(t, cfg.New(t)) })
}
