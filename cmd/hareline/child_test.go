package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestChild(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, []string{childMark + "=1"}, "broker", "--", self)
	code, out := r.wait()
	if code != 0 || !strings.Contains(out, "got it back; management at http://guest:guest@127.0.0.1:") {
		t.Errorf("exit code %d, stdout %q, stderr:\n%s", code, out, &r.stderr)
	}
	if r.stderr.Len() > 0 {
		t.Errorf("hareline talks into the command's output: %q", &r.stderr)
	}
}

func TestChildExitCodes(t *testing.T) {
	unrunnable := writeFile(t, "plain.txt", "no program", 0o600)
	for _, c := range []struct {
		name    string
		command []string
		code    int
	}{
		{"its own", []string{"sh", "-c", "exit 7"}, 7},
		{"its own, like one of ours", []string{"sh", "-c", "exit 2"}, 2},
		{"by a signal", []string{"sh", "-c", "kill -TERM $$"}, 128 + 15},
		{"not found", []string{"no-such-command-here"}, 127},
		{"no such file", []string{"/no/such/file"}, 127},
		{"cannot be run", []string{unrunnable}, 126},
		{"flags are its own", []string{"sh", "-c", `test "$1" = --version`, "sh", "--version"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, nil, append([]string{"broker", "--"}, c.command...)...)
			if code, _ := r.wait(); code != c.code {
				t.Errorf("exit code %d, want %d; stderr:\n%s", code, c.code, &r.stderr)
			}
		})
	}
}

func TestChildWithoutManagement(t *testing.T) {
	r := start(t, nil, "broker", "--management", "", "--", "sh", "-c", `echo "url=$HARELINE_MANAGEMENT_URL."`)
	if got := r.value("url"); got != "." {
		t.Errorf("HARELINE_MANAGEMENT_URL is %q, want none", got)
	}
	r.wait()
}

func TestChildGetsSignals(t *testing.T) {
	r := start(t, nil, "broker", "--", "sh", "-c", `trap 'echo told=yes; kill $!; exit 9' TERM; sleep 25 & echo up=yes; wait`)
	if r.value("up") != "yes" {
		t.Fatal("the command is not up")
	}
	r.signal(syscall.SIGTERM)
	code, out := r.wait()
	if code != 9 || !strings.Contains(out, "told=yes") {
		t.Errorf("exit code %d, stdout %q, want 9 from a command that was told; stderr:\n%s", code, out, &r.stderr)
	}
}

func TestChildSecrets(t *testing.T) {
	r := start(t, []string{"HARELINE_BROKER_USER=app", "HARELINE_BROKER_PASSWORD=secret"}, "broker", "--", "sh", "-c", `echo "url=$AMQP_URL"`)
	if got := r.value("url"); !strings.HasPrefix(got, "amqp://app:secret@127.0.0.1:") {
		t.Errorf("the command's AMQP_URL is %q", got)
	}
	r.wait()
}
