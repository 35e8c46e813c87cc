// Command hareline is the command line of Hareline.
//
//	hareline broker                      an in-memory RabbitMQ, until Ctrl-C
//	hareline broker -- command args...   the same for as long as command runs, with AMQP_URL set
//
// hareline help says the rest. Exit codes:
//
//	0    all went well; a broker was ended by SIGINT or SIGTERM
//	1    it failed: the address is taken, a certificate cannot be read
//	2    wrong flags, arguments or environment
//	126  the command behind -- cannot be run
//	127  the command behind -- was not found
//	128+n  a second signal n came while a broker was ending, or signal n ended the command
//
// and otherwise the exit code of the command behind --.
package main

import (
	"context"
	"os"
)

func main() {
	p := process{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		getenv: os.Getenv, environ: os.Environ, exit: os.Exit,
	}
	os.Exit(p.run(context.Background(), os.Args[1:]))
}
