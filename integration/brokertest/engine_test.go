package brokertest

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestVersionName(t *testing.T) {
	for image, want := range map[string]string{
		"hareline/rabbitmq:4.0":        "4.0",
		"rabbitmq:4-management":        "4-management",
		"registry.test:5000/rabbit/mq": "mq",
		"registry.test:5000/mq:3":      "3",
		"amqptest:4.0":                 "amqptest-4.0",
	} {
		if got := versionName(image); got != want {
			t.Errorf("%s: %q, want %q", image, got, want)
		}
	}
}

func TestImageList(t *testing.T) {
	got, err := imageList(" a:1, b:2,,")
	if err != nil || !slices.Equal(got, []string{"a:1", "b:2"}) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := imageList(" , "); err == nil {
		t.Error("an empty list was taken")
	}
}

func TestVHostNameNeedsNoEscape(t *testing.T) {
	got := vhostName("TestA/4.0/"+strings.Repeat("x", 100), 7)
	if !strings.HasPrefix(got, "7-TestA-4-0-xx") || len(got) > 70 {
		t.Errorf("got %q", got)
	}
}

func TestAtLeast(t *testing.T) {
	b := &Broker{Version: "4.0.5"}
	for _, c := range []struct {
		major, minor int
		want         bool
	}{{3, 10, true}, {4, 0, true}, {4, 1, false}, {5, 0, false}} {
		if got := b.AtLeast(c.major, c.minor); got != c.want {
			t.Errorf("AtLeast(%d, %d) of 4.0.5: %v", c.major, c.minor, got)
		}
	}
}

func TestAlive(t *testing.T) {
	if !alive(os.Getpid()) {
		t.Error("this process counts as gone")
	}
}
