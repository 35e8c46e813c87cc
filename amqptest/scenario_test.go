package amqptest_test

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/internal/scenario"
)

// TestScenarios plays every scenario of testdata/scenarios and compares what the broker says with what RabbitMQ said,
// which testdata/recorded holds for each version. TestDifferential of the module integration proves the recorded.
func TestScenarios(t *testing.T) {
	scripts, err := scenario.Load("testdata/scenarios")
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []amqptest.Version{amqptest.V310, amqptest.V40, amqptest.V43} {
		recorded, err := scenario.LoadRecorded(filepath.Join("testdata/recorded", string(version)))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(string(version), func(t *testing.T) {
			for _, s := range scripts {
				if !s.For(string(version)) {
					continue
				}
				t.Run(strings.ReplaceAll(s.File+"/"+s.Name, " ", "_"), func(t *testing.T) {
					t.Parallel()
					want, ok := recorded.Of(s)
					if !ok {
						t.Fatal("no transcript of RabbitMQ: record it (integration, TestDifferential -update)")
					}
					synctest.Test(t, func(t *testing.T) {
						if diff := scenario.Diff(want, play(t, version, s)); diff != "" {
							t.Errorf("RabbitMQ %s (-) and amqptest (+) differ:\n%s", version, diff)
						}
					})
				})
			}
		})
	}
}

// scenarioVHost and scenarioUser are names that stand in no script, as long as those that were recorded with: RabbitMQ
// cuts long texts of errors.
const scenarioVHost, scenarioUser, scenarioPassword = "scenario-000000", "recorder", "recorder"

// play plays the script on a broker of its own, whose time stands still while the script does not wait. In the bubble,
// what the script sent has been done, and what the broker sent has arrived, before time moves.
func play(t *testing.T, version amqptest.Version, s *scenario.Script) string {
	t.Helper()
	users := map[string]amqptest.User{scenarioUser: {Password: scenarioPassword, Tags: []string{"administrator"}}}
	for _, u := range s.Users(scenarioVHost) {
		users[u.Name] = amqptest.User{Password: u.Password, Permissions: map[string]amqptest.Permissions{
			scenarioVHost: {Configure: u.Configure, Write: u.Write, Read: u.Read},
		}}
	}
	b := amqptest.Config{
		Version: version, Users: users, VHosts: []string{scenarioVHost},
		DeadLetterRetry: time.Second, // as on the brokers that were recorded
		Clock:           amqptest.Stopped, Trace: -1,
	}
	broker, err := b.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := broker.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	text, err := scenario.Run(t.Context(), s, scenario.Target{
		VHost: scenarioVHost, User: scenarioUser, Password: scenarioPassword,
		Dial: func(context.Context) (net.Conn, error) { return broker.Pipe(), nil },
		Wait: func(_ context.Context, d time.Duration) error {
			synctest.Wait()
			broker.Advance(d)
			return nil
		},
		Tick: broker.Advance,
		Settle: func(context.Context) error {
			synctest.Wait()
			return nil
		},
		Quiet:    30 * time.Millisecond,
		Patience: 5 * time.Second,
		AddUser:  func(context.Context, scenario.User) error { return nil }, // is there since the start
	})
	if err != nil {
		t.Errorf("%v", err)
	}
	return text
}
