package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// process is what a command sees of the process it runs in.
type process struct {
	stdin          *os.File
	stdout, stderr io.Writer
	getenv         func(string) string
	environ        func() []string
	exit           func(int) // ends the process at once
}

const (
	exitFailed      = 1
	exitUsage       = 2
	exitCannotRun   = 126
	exitNotFound    = 127
	exitSignalFirst = 128 // plus the signal's number
)

// exitError ends the process with a code of its own.
type exitError struct {
	code int
	err  error // nil: nothing is to be said
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage marks an error as one of how the command was called.
func usage(err error) error { return &exitError{code: exitUsage, err: err} }

// run runs the command that args name and returns the process's exit code.
func (p process) run(ctx context.Context, args []string) int {
	root := p.rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var exit *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if exit.err != nil {
			fmt.Fprintln(p.stderr, "hareline:", exit.err)
		}
		return exit.code
	default:
		fmt.Fprintln(p.stderr, "hareline:", err)
		return exitFailed
	}
}

func (p process) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "hareline",
		Short:         "Reliable delivery on RabbitMQ",
		Version:       version(),
		SilenceErrors: true, // run says them
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(fmt.Errorf("unknown command %q: see hareline help", args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(fmt.Errorf("%w: see %s --help", err, cmd.CommandPath()))
	})
	root.AddCommand(p.brokerCommand())
	return root
}

// version is that of the module, as far as the build knows it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
