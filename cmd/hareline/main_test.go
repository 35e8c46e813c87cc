package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// binary is the command, built.
var binary string

// childMark in the environment makes this test's binary the command behind --.
const childMark = "HARELINE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childMark) != "" {
		os.Exit(child())
	}
	dir, err := os.MkdirTemp("", "hareline")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "hareline")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// child publishes a message to the broker that it was given, and gets it.
func child() int {
	if err := roundTrip(os.Getenv("AMQP_URL")); err != nil {
		fmt.Println(err)
		return 3
	}
	fmt.Println("got it back; management at", os.Getenv("HARELINE_MANAGEMENT_URL"))
	return 0
}

// roundTrip publishes a message and gets it back.
func roundTrip(url string) error {
	c, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	defer c.Close()
	ch, err := c.Channel()
	if err != nil {
		return err
	}
	if _, err := ch.QueueDeclare("q", true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
		return err
	}
	if err := ch.Confirm(false); err != nil {
		return err
	}
	confirm, err := ch.PublishWithDeferredConfirm("", "q", true, false, amqp.Publishing{Body: []byte("hello")})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if acked, err := confirm.WaitContext(ctx); err != nil || !acked {
		return fmt.Errorf("acked %t, %w", acked, err)
	}
	d, there, err := ch.Get("q", true)
	if err != nil || !there || string(d.Body) != "hello" {
		return fmt.Errorf("got %q, %t, %w", d.Body, there, err)
	}
	return nil
}

// running is a hareline that was started.
type running struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout *bufio.Scanner
	stderr bytes.Buffer
}

// start runs the command. The environment has no variables of this process's
// that it reads.
func start(t *testing.T, env []string, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	r := &running{t: t, cmd: exec.CommandContext(ctx, binary, args...)}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "HARELINE_") && !strings.HasPrefix(v, "AMQP_URL=") {
			r.cmd.Env = append(r.cmd.Env, v)
		}
	}
	r.cmd.Env = append(r.cmd.Env, env...)
	r.cmd.Stderr = &r.stderr
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.stdout = bufio.NewScanner(out)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

// value waits for a line of name=value.
func (r *running) value(name string) string {
	r.t.Helper()
	for r.stdout.Scan() {
		if v, ok := strings.CutPrefix(r.stdout.Text(), name+"="); ok {
			return v
		}
	}
	_ = r.cmd.Wait()
	r.t.Fatalf("no %s on stdout; stderr:\n%s", name, &r.stderr)
	return ""
}

// wait returns the exit code and the rest of stdout.
func (r *running) wait() (code int, stdout string) {
	r.t.Helper()
	var out strings.Builder
	for r.stdout.Scan() {
		fmt.Fprintln(&out, r.stdout.Text())
	}
	err := r.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	return r.cmd.ProcessState.ExitCode(), out.String()
}

func (r *running) signal(s syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// free are the flags of a broker on free ports.
var free = []string{"broker", "--addr", "127.0.0.1:0", "--management", "127.0.0.1:0"}

func writeFile(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
