package brokertest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// reaperEnv turns a test binary into the reaper of the owner that it names.
const reaperEnv = "HARELINE_BROKERTEST_REAPER"

// reaper is a second process of the same test binary that holds the read end of a pipe. However the test process ends,
// also by a panic, a timeout or a SIGKILL, the pipe closes, and the reaper removes that process's containers.
type reaper struct {
	cmd    *exec.Cmd
	pipe   io.Closer
	stderr *bytes.Buffer
}

func startReaper(owner string) (*reaper, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start the reaper: %w", err)
	}
	r := &reaper{cmd: exec.Command(self), stderr: &bytes.Buffer{}}
	r.cmd.Env = append(os.Environ(), reaperEnv+"="+owner)
	r.cmd.Stderr = r.stderr
	r.cmd.WaitDelay = 5 * time.Second
	pipe, err := r.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the reaper: %w", err)
	}
	r.pipe = pipe
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the reaper: %w", err)
	}
	return r, nil
}

// close has the containers removed and waits for that.
func (r *reaper) close() error {
	err := errors.Join(r.pipe.Close(), r.cmd.Wait())
	if err != nil {
		return fmt.Errorf("remove the containers: %w: %s", err, strings.TrimSpace(r.stderr.String()))
	}
	return nil
}

// reap is the reaper's whole life.
func reap(owner string) int {
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP) // a Ctrl-C reaches the whole group
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "brokertest: reaper:", err)
	}
	e, err := openEngine()
	if err == nil {
		defer func() { _ = e.client.Close() }()
		err = e.removeContainers(labelOwner, func(o string) bool { return o == owner })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "brokertest: reaper:", err)
		return 1
	}
	return 0
}
