// Command clients is the load of the end-to-end suite: clients of a Kubernetes API behind a balancer.
//
//	clients load --kubeconfig F --output F   fresh connections and kept connections, until SIGTERM or --limit
//	clients hold --kubeconfig F --count N    N idle connections, until SIGTERM or --limit; with --output F those that
//	                                         are taken away are opened again at once
//	clients webhook --listen A --wait D      an admission webhook that allows each request after D; with --certificate F
//	                                         --key F
//
// It stands on the client-go of the Kubernetes tree that the suite builds. Every record carries CLOCK_MONOTONIC
// nanoseconds, which the suite shares, and is one JSON line; what the records mean is computed by the suite.
// A line `ready` on standard output says that the load runs at its full size and is answered promptly.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 0 {
		return fmt.Errorf("usage: clients load|hold|webhook ...")
	}
	flags := flag.NewFlagSet(arguments[0], flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "whose server is the balancer")
	limit := flags.Duration("limit", 2*time.Minute, "end by itself after this time")
	output := flags.String("output", "", "file for the records")
	fresh := flags.Int("fresh", 20, "load: clients that open new connections")
	rate := flags.Int("rate", 10, "load: connections a second and fresh client")
	kept := flags.Int("kept", 30, "load: clients that hold one connection with a watch and GETs")
	interval := flags.Duration("interval", 500*time.Millisecond, "load: time between two GETs of a kept client")
	creates := flags.Int("creates", 0, "load: clients that create one object after the other, see creating.go")
	count := flags.Int("count", 3000, "hold: connections")
	listen := flags.String("listen", "", "webhook: address")
	certificate := flags.String("certificate", "", "webhook: file of its serving certificate")
	key := flags.String("key", "", "webhook: file of the key")
	wait := flags.Duration("wait", 5*time.Second, "webhook: time before the answer")
	if err := flags.Parse(arguments[1:]); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if arguments[0] == "webhook" {
		return runWebhook(ctx, *listen, *certificate, *key, *wait)
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	// The suite measures what the balancer does, not how client-go paces itself.
	config.QPS = -1
	if err := raiseDescriptorLimit(); err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()

	switch arguments[0] {
	case "load":
		return runLoad(ctx, config, *output, *fresh, *rate, *kept, *interval, *creates)
	case "hold":
		return runHold(ctx, config, *count, *output)
	default:
		return fmt.Errorf("unknown command %q", arguments[0])
	}
}

func runLoad(
	ctx context.Context, config *rest.Config, output string, fresh, rate, kept int, interval time.Duration, creates int,
) error {
	recorder, err := newRecorder(output)
	if err != nil {
		return err
	}
	keptClients, err := startKeptClients(ctx, config, recorder, kept, interval)
	if err != nil {
		return err
	}
	creatingClients, err := startCreatingClients(ctx, config, recorder, creates)
	if err != nil {
		return err
	}
	freshClients, err := startFreshClients(ctx, config, recorder, fresh, time.Second/time.Duration(rate))
	if err != nil {
		return err
	}
	if keptClients.waitUntilWatching(ctx) && creatingClients.waitUntilCreated(ctx) && freshClients.waitUntilPrompt(ctx) {
		fmt.Println("ready")
	}
	freshClients.wait()
	creatingClients.wait()
	keptClients.wait()
	return recorder.close()
}

// raiseDescriptorLimit takes what the hard limit grants: a connection is a descriptor.
func raiseDescriptorLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}
