package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/term"
)

// child runs the command with the broker's addresses in its environment. Its
// error carries the exit code that the process is to have.
func (p process) child(command []string, at addresses, signals <-chan os.Signal) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(p.environ(), at.environment(false)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.stdin, p.stdout, p.stderr
	if err := cmd.Start(); err != nil {
		code := exitCannotRun
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			code = exitNotFound
		}
		return &exitError{code: code, err: fmt.Errorf("run %q: %w", command[0], err)}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			if s != os.Interrupt || !p.terminal() {
				_ = cmd.Process.Signal(s) // it may have ended just now
			}
		case err := <-ended:
			return outcome(command[0], cmd.ProcessState, err)
		}
	}
}

// terminal tells whether a Ctrl-C reaches the command by itself, too: a
// terminal sends it to the whole group of processes.
func (p process) terminal() bool { return p.stdin != nil && term.IsTerminal(int(p.stdin.Fd())) }

// outcome is how a command ended.
func outcome(name string, state *os.ProcessState, err error) error {
	var exit *exec.ExitError
	if err == nil {
		return nil
	}
	if !errors.As(err, &exit) {
		return fmt.Errorf("run %q: %w", name, err)
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return &exitError{code: exitSignalFirst + signalNumber(status.Signal()), err: fmt.Errorf("%s: %v", name, status.Signal())}
	}
	return &exitError{code: state.ExitCode()}
}

func signalNumber(s os.Signal) int {
	if n, ok := s.(syscall.Signal); ok {
		return int(n)
	}
	return 0
}
