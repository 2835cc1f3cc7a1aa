package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
)

// Handshakes that may be under way at once: enough to be quick, few enough not to be a storm of its own.
const holdConcurrency = 32

// runHold opens `count` connections, says `ready`, and holds them until told to stop.
func runHold(ctx context.Context, config *rest.Config, count int) error {
	// HTTP/1.1 is offered alone: an HTTP/2 server hangs up when no preface follows the handshake.
	target, err := newTarget(config, "http/1.1")
	if err != nil {
		return err
	}
	held := make([]*tls.Conn, count)
	var next, lost int64 = -1, 0
	var firstError atomic.Value
	var dialing sync.WaitGroup
	for worker := 0; worker < holdConcurrency; worker++ {
		dialing.Add(1)
		go func() {
			defer dialing.Done()
			for index := atomic.AddInt64(&next, 1); index < int64(count); index = atomic.AddInt64(&next, 1) {
				var entry record
				connection, watched, err := target.dial(ctx, &entry)
				if err != nil {
					firstError.CompareAndSwap(nil, entry.Phase+": "+entry.Error)
					return
				}
				watched.onDead.Store(func(error, bool) { atomic.AddInt64(&lost, 1) })
				held[index] = connection
				go connection.Read(make([]byte, 1)) // notices when the connection is taken away
			}
		}()
	}
	started := time.Now()
	dialing.Wait()
	if message := firstError.Load(); message != nil {
		return fmt.Errorf("a connection could not be opened: %s", message)
	}
	fmt.Printf("ready %d connections in %.1f s\n", count, time.Since(started).Seconds())
	<-ctx.Done()
	if taken := atomic.LoadInt64(&lost); taken > 0 {
		return fmt.Errorf("%d of %d connections were closed while they were held", taken, count)
	}
	for _, connection := range held {
		connection.Close()
	}
	return nil
}
