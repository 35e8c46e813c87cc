// Package brokertest gives integration tests real RabbitMQ brokers in containers, one container a version and test
// process, one virtual host a test, so that tests share a broker and never meet. The same tests run on amqptest's brokers,
// in the test process, where an image's name asks for that.
//
//	func TestMain(m *testing.M) { brokertest.Main(m) }
//
//	func TestOrders(t *testing.T) {
//		brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
//			// b.URL is a virtual host of this test's own
//		})
//	}
//
// The images are those of HARELINE_RABBITMQ_IMAGES (a list with commas) or RABBITMQ_IMAGE (one); without either, the
// images that scripts/images.sh builds, as far as the engine has them, else the official rabbitmq:4-management.
// "amqptest:3.10", "amqptest:4.0" and "amqptest:4.3" are no images but embedded brokers, which need no Docker engine.
// Nothing here skips: without a Docker engine a test on an image fails and says what to do.
package brokertest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

// Main runs a package's tests from its TestMain and ends the process with their exit code. It removes the containers
// when the tests are over, also after a panic or a kill (a second process watches), and fails the run when goroutines
// are left.
func Main(m *testing.M) {
	if owner := os.Getenv(reaperEnv); owner != "" {
		os.Exit(reap(owner))
	}
	brokers.main = true
	before := goleak.IgnoreCurrent()
	code := m.Run()
	if err := brokers.close(); err != nil {
		fmt.Fprintln(os.Stderr, "brokertest:", err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := goleak.Find(before); err != nil {
			fmt.Fprintln(os.Stderr, "brokertest: the tests passed, but left goroutines:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// Versions names the broker versions that Each runs, in order: the tags of the images, or the names of embedded brokers
// with a dash, such as "amqptest-4.0". It ends the test when no Docker engine answers to tell which images there are.
func Versions(t testing.TB) []string {
	t.Helper()
	images := mustImages(t)
	names := make([]string, len(images))
	for i, image := range images {
		names[i] = versionName(image)
	}
	return names
}

// Each runs f once for every broker version, as a subtest of that name, against a virtual host of its own in a broker
// that the process's tests share. The versions run in parallel, so f must not call t.Setenv.
func Each(t *testing.T, f func(t *testing.T, b *Broker)) {
	t.Helper()
	for _, version := range Versions(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			f(t, Shared(t, version))
		})
	}
}

// Shared gives the test a virtual host of its own in the process's broker of that version (see Versions), which is
// started when first asked for. The virtual host goes when the test ends.
func Shared(t testing.TB, version string) *Broker {
	t.Helper()
	n, err := brokers.shared(imageOf(t, version))
	if err != nil {
		t.Fatalf("brokertest: %v", err)
	}
	return newBroker(t, n, true)
}

// Fresh starts a broker of that version for this test alone: for tests that kill, stop or alarm the broker. It takes
// some seconds. The container goes when the test ends. The version is one of Versions, or the Version of a shared Broker.
func Fresh(t testing.TB, version string) *Broker {
	t.Helper()
	return fresh(t, version, nil)
}

func fresh(t testing.TB, version string, secure *TLS) *Broker {
	t.Helper()
	n, err := brokers.start(imageOf(t, version), secure)
	if err != nil {
		t.Fatalf("brokertest: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("brokertest: end of the broker's log:\n%s", n.tail(40))
		}
		if err := n.remove(); err != nil {
			t.Logf("brokertest: %v", err)
		}
	})
	return newBroker(t, n, false)
}

// EachFresh is Each with a broker of its own for every subtest (see Fresh).
func EachFresh(t *testing.T, f func(t *testing.T, b *Broker)) {
	t.Helper()
	for _, version := range Versions(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			f(t, Fresh(t, version))
		})
	}
}

func mustImages(t testing.TB) []string {
	t.Helper()
	images, err := brokers.images()
	if err != nil {
		t.Fatalf("brokertest: %v", err)
	}
	return images
}

func imageOf(t testing.TB, version string) string {
	t.Helper()
	images := mustImages(t)
	for _, image := range images {
		if versionName(image) == version {
			return image
		}
	}
	if image := brokers.running(version); image != "" {
		return image
	}
	t.Fatalf("brokertest: no image of version %q among %s", version, strings.Join(images, ", "))
	return ""
}

// brokers is the one piece of state that a process's tests share: starting a broker costs seconds.
var brokers = &registry{nodes: map[string]*startup{}}

// registry starts brokers and the reaper that ends them. Its methods may be called concurrently.
type registry struct {
	mu     sync.Mutex
	main   bool // Main runs: the reaper, a second process of this binary, needs it
	engine *engine
	list   []string
	reaper *reaper
	nodes  map[string]*startup
}

type startup struct {
	once  sync.Once
	ready atomic.Bool // node may be read without once
	node  node
	err   error
}

func (r *registry) open() (*engine, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.engine != nil {
		return r.engine, nil
	}
	if !r.main {
		return nil, errors.New("this package needs: func TestMain(m *testing.M) { brokertest.Main(m) }")
	}
	e, err := openEngine()
	if err != nil {
		return nil, err
	}
	if r.reaper, err = startReaper(e.owner); err != nil {
		return nil, err
	}
	if err := e.removeOrphans(); err != nil {
		fmt.Fprintln(os.Stderr, "brokertest: containers of a killed run may be left:", err)
	}
	r.engine = e
	return e, nil
}

func (r *registry) images() ([]string, error) {
	if list, err := askedImages(); list != nil || err != nil {
		return list, err
	}
	e, err := r.open()
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.list == nil {
		r.list, err = e.images()
	}
	return r.list, err
}

func (r *registry) start(image string, secure *TLS) (node, error) {
	if isEmbedded(image) {
		return startEmbedded(image, secure)
	}
	e, err := r.open()
	if err != nil {
		return nil, err
	}
	return startContainer(e, image, secure)
}

func (r *registry) shared(image string) (node, error) {
	r.mu.Lock()
	s, ok := r.nodes[image]
	if !ok {
		s = &startup{}
		r.nodes[image] = s
	}
	r.mu.Unlock()
	s.once.Do(func() {
		s.node, s.err = r.start(image, nil)
		s.ready.Store(s.err == nil)
	})
	return s.node, s.err
}

// running is the image of a shared broker whose server says that it is of that version.
func (r *registry) running(version string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for image, s := range r.nodes {
		if s.ready.Load() && s.node.where().version == version {
			return image
		}
	}
	return ""
}

func (r *registry) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, s := range r.nodes {
		if s.ready.Load() {
			errs = append(errs, s.node.remove())
		}
	}
	if r.engine != nil {
		errs = append(errs, r.reaper.close(), r.engine.client.Close())
	}
	return errors.Join(errs...)
}
