package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

// config is what the command line says.
type config struct {
	url     string
	users   int
	seed    uint64
	timeout time.Duration
	verbose bool
}

// defaultSeed is one with which, for the first three users, one event fails
// twice and one once before analytics has all three.
const defaultSeed = 51

func parse(args []string, usage io.Writer) (config, error) {
	var cfg config
	flags := flag.NewFlagSet("streaming", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.StringVar(&cfg.url, "url", os.Getenv("AMQP_URL"), "broker, amqp://user:password@host:port/vhost; default $AMQP_URL, else one in this process")
	flags.IntVar(&cfg.users, "users", 3, "how many users watch a video")
	flags.Uint64Var(&cfg.seed, "seed", defaultSeed, "which attempts of the analytics service fail")
	flags.DurationVar(&cfg.timeout, "timeout", time.Minute, "how long every event may take to be accounted for")
	flags.BoolVar(&cfg.verbose, "v", false, "show the library's log at every level")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	switch {
	case cfg.users < 1:
		return cfg, fmt.Errorf("-users is %d: give at least 1", cfg.users)
	case cfg.timeout <= 0:
		return cfg, fmt.Errorf("-timeout is %s: give more than nothing", cfg.timeout)
	case flags.NArg() > 0:
		return cfg, fmt.Errorf("unknown argument %q: there are only flags", flags.Arg(0))
	}
	return cfg, nil
}
