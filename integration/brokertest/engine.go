package brokertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
)

const (
	labelOwner = "hareline.brokertest.owner" // host/pid of the test process: who may remove the container
	official   = "rabbitmq:4-management"
	localRepo  = "hareline/rabbitmq"
)

var localVersions = []string{"3.10", "4.0", "4.3"} // what scripts/images.sh builds

// engine is the Docker engine, and who we are to it.
type engine struct {
	client *testcontainers.DockerClient
	owner  string
}

func openEngine() (*engine, error) {
	if err := setTestcontainersEnv(); err != nil {
		return nil, err
	}
	log.SetDefault(quiet{})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := newDockerClient(ctx)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("own host's name: %w", err)
	}
	return &engine{client: c, owner: host + "/" + strconv.Itoa(os.Getpid())}, nil
}

// quiet drops what testcontainers says of every container: its failures come back as errors.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

func newDockerClient(ctx context.Context) (c *testcontainers.DockerClient, err error) {
	const hint = "no Docker engine answers: run `make test`, which installs and starts one, or start yours, or set DOCKER_HOST"
	defer func() { // testcontainers panics where it finds no engine at all
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: %v", hint, r)
		}
	}()
	if c, err = testcontainers.NewDockerClientWithOpts(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", hint, err)
	}
	if _, err = c.Ping(ctx, client.PingOptions{}); err != nil {
		return nil, fmt.Errorf("%s: %w", hint, err)
	}
	return c, nil
}

// setTestcontainersEnv lets testcontainers work where the tests run inside a container or a sandbox themselves: it
// would dial the bridge's gateway, where our ports (published on 127.0.0.1 alone) do not answer. Its reaper needs an
// image from a registry; ours (see reaper) needs none.
func setTestcontainersEnv() error {
	env := map[string]string{"TESTCONTAINERS_RYUK_DISABLED": "true"}
	if host := os.Getenv("DOCKER_HOST"); host == "" || strings.HasPrefix(host, "unix://") {
		env["TESTCONTAINERS_HOST_OVERRIDE"] = loopback
	}
	for name, value := range env {
		if os.Getenv(name) != "" {
			continue
		}
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// askedImages are those that the environment names; nil: none.
func askedImages() ([]string, error) {
	if list := os.Getenv("HARELINE_RABBITMQ_IMAGES"); list != "" {
		return imageList(list)
	}
	if one := os.Getenv("RABBITMQ_IMAGE"); one != "" {
		return []string{one}, nil
	}
	return nil, nil
}

// images are those that the engine has.
func (e *engine) images() ([]string, error) {
	var found, missing []string
	for _, version := range localVersions {
		image := localRepo + ":" + version
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		_, err := e.client.ImageInspect(ctx, image)
		cancel()
		switch {
		case err == nil:
			found = append(found, image)
		case errdefs.IsNotFound(err):
			missing = append(missing, image)
		default:
			return nil, fmt.Errorf("look for image %s: %w", image, err)
		}
	}
	if len(found) == 0 {
		found = []string{official}
	}
	if len(missing) > 0 {
		fmt.Fprintf(os.Stderr, "brokertest: no %s here (scripts/images.sh builds them); testing on %s alone\n",
			strings.Join(missing, ", "), strings.Join(found, ", "))
	}
	return found, nil
}

func imageList(list string) ([]string, error) {
	var images []string
	for image := range strings.SplitSeq(list, ",") {
		if image = strings.TrimSpace(image); image != "" {
			images = append(images, image)
		}
	}
	if len(images) == 0 {
		return nil, fmt.Errorf("HARELINE_RABBITMQ_IMAGES=%q names no image: unset it or name some, with commas between", list)
	}
	return images, nil
}

// versionName is an image's tag: "hareline/rabbitmq:4.0" is "4.0". An embedded broker keeps its name, for there may be an
// image of its version too: "amqptest:4.0" is "amqptest-4.0".
func versionName(image string) string {
	if isEmbedded(image) {
		return strings.ReplaceAll(image, ":", "-")
	}
	base := path.Base(image)
	if _, tag, ok := strings.Cut(base, ":"); ok {
		return tag
	}
	return base
}

// removeOrphans removes the containers of test processes of this host that are no more: both the process and its
// reaper were killed.
func (e *engine) removeOrphans() error {
	host, _, _ := strings.Cut(e.owner, "/")
	return e.removeContainers(labelOwner, func(owner string) bool {
		h, pid, _ := strings.Cut(owner, "/")
		n, err := strconv.Atoi(pid)
		return err == nil && h == host && !alive(n)
	})
}

func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	return err == nil && p.Signal(syscall.Signal(0)) == nil
}

// removeContainers removes every container with the label whose value is to go, with its volumes.
func (e *engine) removeContainers(label string, gone func(value string) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	list, err := e.client.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", label)})
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	var errs []error
	for _, c := range list.Items {
		if !gone(c.Labels[label]) {
			continue
		}
		if err := e.removeContainer(ctx, c.ID); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (e *engine) removeContainer(ctx context.Context, id string) error {
	_, err := e.client.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) { // conflict: being removed already
		return fmt.Errorf("remove container %.12s: %w", id, err)
	}
	return nil
}
