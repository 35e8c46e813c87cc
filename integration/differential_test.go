package integration

import (
	"flag"
	"fmt"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/internal/scenario"
)

var (
	update      = flag.Bool("update", false, "record the transcripts of the scenarios anew")
	onlyScripts = flag.String("scripts", "", "a regular expression: play the scenarios whose FILE/NAME matches")
)

const (
	scenarios = "../amqptest/testdata/scenarios"
	recorded  = "../amqptest/testdata/recorded"

	// Scenarios mostly wait, so more of them run at once than there are cores.
	scenariosAtOnce = 6
)

// TestDifferential plays every scenario on the real brokers and, at the same time, on amqptest: both must say what is
// recorded, by which amqptest is judged without a broker. With -update it records what the real brokers say.
func TestDifferential(t *testing.T) {
	scripts, err := scenario.Load(scenarios)
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := regexp.Compile(*onlyScripts)
	if err != nil {
		t.Fatal(err)
	}
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		version := versionOf(b)
		folder := filepath.Join(recorded, version)
		known, err := scenario.LoadRecorded(folder)
		if err != nil {
			t.Fatal(err)
		}
		var todo []*scenario.Script
		for _, s := range scripts {
			if s.For(version) && wanted.MatchString(s.File+"/"+s.Name) {
				todo = append(todo, s)
			}
		}
		seen := playAll(t, b, version, todo)
		for i, s := range todo {
			if *update {
				known.Set(s, seen[i].real)
			}
			want, _ := known.Of(s)
			if diff := scenario.Diff(want, seen[i].real); diff != "" {
				t.Errorf("%s: %s: the recorded transcript (-) is not what this broker says (+):\n%s", s.File, s.Name, diff)
			}
			if diff := scenario.Diff(seen[i].real, seen[i].memory); diff != "" {
				t.Errorf("%s: %s: this broker (-) and amqptest (+) differ:\n%s", s.File, s.Name, diff)
			}
		}
		if *update {
			if err := known.Save(folder, scripts); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// versionOf is the broker's version as far as scenarios know it: "4.0".
func versionOf(b *brokertest.Broker) string {
	var major, minor int
	_, _ = fmt.Sscanf(b.Version, "%d.%d", &major, &minor)
	return fmt.Sprintf("%d.%d", major, minor)
}

// played is what one scenario was answered.
type played struct{ real, memory string }

func playAll(t *testing.T, b *brokertest.Broker, version string, scripts []*scenario.Script) []played {
	seen := make([]played, len(scripts))
	next := make(chan int)
	var players sync.WaitGroup
	for range scenariosAtOnce {
		players.Go(func() {
			for i := range next {
				seen[i] = playBoth(t, b, version, scripts[i])
			}
		})
	}
	for i := range scripts {
		next <- i
	}
	close(next)
	players.Wait()
	return seen
}

func playBoth(t *testing.T, b *brokertest.Broker, version string, s *scenario.Script) (seen played) {
	var err error
	if seen.real, err = playReal(t.Context(), b, s, surelyReal); err != nil {
		t.Errorf("%v", err)
	}
	if seen.memory, err = playMemory(t.Context(), version, s); err != nil {
		t.Errorf("amqptest: %v", err)
	}
	return seen
}
