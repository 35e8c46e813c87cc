package integration

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
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

// TestDifferential plays every scenario on the real brokers, and so proves that the recorded transcripts, by which
// amqptest is judged without a broker, are the truth. With -update it records them.
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
		seen := playAll(t, b, todo)
		for i, s := range todo {
			if *update {
				known.Set(s, seen[i])
				continue
			}
			want, _ := known.Of(s)
			if diff := scenario.Diff(want, seen[i]); diff != "" {
				t.Errorf("%s: %s: the recorded transcript (-) is not what this broker says (+):\n%s", s.File, s.Name, diff)
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

func playAll(t *testing.T, b *brokertest.Broker, scripts []*scenario.Script) []string {
	seen := make([]string, len(scripts))
	next := make(chan int)
	var players sync.WaitGroup
	for range scenariosAtOnce {
		players.Go(func() {
			for i := range next {
				text, err := playReal(t.Context(), b, scripts[i])
				if err != nil {
					t.Errorf("%v", err)
				}
				seen[i] = text
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

var scenarioVHosts atomic.Int64

// playReal plays one scenario in a virtual host of its own.
func playReal(ctx context.Context, b *brokertest.Broker, s *scenario.Script) (text string, err error) {
	api := b.API()
	name := fmt.Sprintf("scenario-%06d", scenarioVHosts.Add(1))
	user, password := api.Credentials()
	if err := api.Do(ctx, http.MethodPut, "/vhosts/"+name, map[string]any{}, nil); err != nil {
		return "", err
	}
	var users []string
	defer func() {
		for _, path := range append(users, "/vhosts/"+name) {
			if e := api.Do(context.WithoutCancel(ctx), http.MethodDelete, path, nil, nil); err == nil {
				err = e
			}
		}
	}()
	allow := func(user string, p brokertest.Permissions) error {
		return api.Do(ctx, http.MethodPut, "/permissions/"+name+"/"+url.PathEscape(user), p, nil)
	}
	if err := allow(user, brokertest.Permissions{Configure: ".*", Write: ".*", Read: ".*"}); err != nil {
		return "", err
	}
	address, err := url.Parse(b.URL)
	if err != nil {
		return "", err
	}
	return scenario.Run(ctx, s, scenario.Target{
		VHost: name, User: user, Password: password,
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address.Host)
		},
		AddUser: func(ctx context.Context, u scenario.User) error {
			path := "/users/" + url.PathEscape(u.Name)
			users = append(users, path)
			if err := api.Do(ctx, http.MethodPut, path, map[string]any{"password": u.Password, "tags": ""}, nil); err != nil {
				return err
			}
			return allow(u.Name, brokertest.Permissions{Configure: u.Configure, Write: u.Write, Read: u.Read})
		},
	})
}
