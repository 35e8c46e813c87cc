package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/hareline/hareline/amqptest"
)

const (
	defaultAddr       = "127.0.0.1:5672"
	defaultManagement = "127.0.0.1:15672"
	freePort          = "127.0.0.1:0"
	// traceKept is how many events the broker keeps for those who print them,
	// and for what --dump-on-exit shows.
	traceKept = 10_000
)

// brokerFlags are those of hareline broker.
type brokerFlags struct {
	addr, management string
	version          string
	usersFile        string
	definitions      string
	tlsCert, tlsKey  string
	vhosts           []string
	trace            bool
	dumpOnExit       bool
}

const brokerHelp = `An AMQP 0-9-1 broker that behaves as a RabbitMQ of the version asked for, in the
memory of this process. Nothing is stored: what it holds ends with it.

Without a command it runs until SIGINT or SIGTERM and prints, on stdout, where
it is:

  AMQP_URL=amqp://guest:guest@127.0.0.1:5672/
  HARELINE_MANAGEMENT_URL=http://guest:guest@127.0.0.1:15672

With a command behind --, it listens on free ports (unless --addr and
--management say where), runs the command with these two in its environment,
and ends with the command's exit code.

Users. Without any word about them there is guest, with password guest, and
both addresses have to be of the loopback. HARELINE_BROKER_USER and
HARELINE_BROKER_PASSWORD name an administrator; --users names a file with lines
of user:password or user:password:tag,tag. No password is a flag: other users
of the machine can read those. Only guest's is printed.

Exit codes: 0 ended by a signal; 1 failed; 2 wrong flags or environment; behind
--, that of the command, 128+n if signal n ended it, 127 if it was not found,
126 if it cannot be run. A second signal ends it at once, with 128+n.`

func (p process) brokerCommand() *cobra.Command {
	var f brokerFlags
	cmd := &cobra.Command{
		Use:   "broker [flags] [-- command args...]",
		Short: "Run a RabbitMQ-compatible broker in memory",
		Long:  brokerHelp,
		Example: `  hareline broker
  hareline broker --version 3.10 --trace
  hareline broker -- go test ./...
  HARELINE_BROKER_USER=app HARELINE_BROKER_PASSWORD="$secret" hareline broker --addr :5672 --management ''`,
		Args: func(cmd *cobra.Command, args []string) error {
			if at := cmd.ArgsLenAtDash(); at > 0 || at < 0 && len(args) > 0 {
				return usage(fmt.Errorf("unknown argument %q: put a command behind --", args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				if !cmd.Flags().Changed("addr") {
					f.addr = freePort
				}
				if !cmd.Flags().Changed("management") {
					f.management = freePort
				}
			}
			return p.broker(cmd.Context(), f, args)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.addr, "addr", defaultAddr, "where to listen for AMQP; port 0 is a free one")
	flags.StringVar(&f.management, "management", defaultManagement, "where to listen for the management HTTP API; '' is nowhere")
	flags.StringVar(&f.version, "version", string(amqptest.V40), "RabbitMQ to behave as: 3.10, 4.0 or 4.3")
	flags.StringVar(&f.usersFile, "users", "", "file with lines of user:password[:tag,tag]")
	flags.StringVar(&f.definitions, "definitions", "", "file that a RabbitMQ exported (rabbitmqctl export_definitions): make what it says")
	flags.StringVar(&f.tlsCert, "tls-cert", "", "PEM file with the certificate: speak TLS (amqps)")
	flags.StringVar(&f.tlsKey, "tls-key", "", "PEM file with the certificate's key")
	flags.StringSliceVar(&f.vhosts, "vhost", []string{"/"}, "virtual host; may be given more than once, the first is in AMQP_URL")
	flags.BoolVar(&f.trace, "trace", false, "print what happens, on stderr")
	flags.BoolVar(&f.dumpOnExit, "dump-on-exit", false, "print the broker's whole state in the end, on stderr")
	return cmd
}

// broker runs a broker until a signal, or for as long as command runs.
func (p process) broker(ctx context.Context, f brokerFlags, command []string) error {
	cfg, own, err := p.config(f)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

	b, err := cfg.Start()
	if err != nil {
		return err
	}
	err = p.serve(ctx, b, f, own, command, signals)
	closing := make(chan struct{})
	defer close(closing)
	go p.giveUp(signals, closing)
	if f.dumpOnExit {
		fmt.Fprint(p.stderr, b.Dump())
	}
	return errors.Join(err, b.Close())
}

// giveUp ends the process at once when a signal comes before closing is done.
func (p process) giveUp(signals <-chan os.Signal, closing <-chan struct{}) {
	select {
	case s := <-signals:
		p.exit(exitSignalFirst + signalNumber(s))
	case <-closing:
	}
}

// config is what flags and environment say. own: the users are not the default.
func (p process) config(f brokerFlags) (cfg amqptest.Config, own bool, err error) {
	cfg.Version = amqptest.Version(f.version)
	if known := []amqptest.Version{amqptest.V310, amqptest.V40, amqptest.V43}; !slices.Contains(known, cfg.Version) {
		return cfg, false, usage(fmt.Errorf("--version is %q: give 3.10, 4.0 or 4.3", f.version))
	}
	if slices.Contains(f.vhosts, "") || len(f.vhosts) == 0 {
		return cfg, false, usage(errors.New("--vhost is empty: give a name"))
	}
	cfg.VHosts, cfg.Addr = f.vhosts, f.addr
	if f.trace || f.dumpOnExit {
		cfg.Trace = traceKept
	}
	if cfg.Users, err = p.users(f.usersFile); err != nil {
		return cfg, false, err
	}
	own = len(cfg.Users) > 0
	if !own {
		for flag, addr := range map[string]string{"--addr": f.addr, "--management": f.management} {
			if addr != "" && !loopback(addr) {
				return cfg, false, usage(fmt.Errorf("%s is %q, which others can reach, and guest's password is known to everybody: "+
					"name a user in HARELINE_BROKER_USER and HARELINE_BROKER_PASSWORD, or in a file (--users)", flag, addr))
			}
		}
	}
	cfg.TLS, err = f.tls()
	return cfg, own, err
}

func (f brokerFlags) tls() (*tls.Config, error) {
	if f.tlsCert == "" && f.tlsKey == "" {
		return nil, nil
	}
	if f.tlsCert == "" || f.tlsKey == "" {
		return nil, usage(errors.New("--tls-cert and --tls-key belong together: give both"))
	}
	pair, err := tls.LoadX509KeyPair(f.tlsCert, f.tlsKey)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert and --tls-key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}, nil
}

// loopback tells whether only this machine can reach addr.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
