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

// holder keeps idle connections open.
type holder struct {
	target *target
	// recorder is set when connections that are taken away are opened again, each at once, as a herd of kubelets does.
	recorder *recorder
	lost     int64
	mutex    sync.Mutex
	held     []*tls.Conn
	// returning are the clients without a connection, for which one is being opened.
	returning sync.WaitGroup
}

// runHold opens `count` connections, says `ready`, and holds them until told to stop. With `output` the clients of those
// that are taken away meanwhile open new ones at once and write down how long that took; without, that is an error.
func runHold(ctx context.Context, config *rest.Config, count int, output string) error {
	// HTTP/1.1 is offered alone: an HTTP/2 server hangs up when no preface follows the handshake.
	target, err := newTarget(config, "http/1.1")
	if err != nil {
		return err
	}
	holder := &holder{target: target, held: make([]*tls.Conn, count)}
	if output != "" {
		if holder.recorder, err = newRecorder(output); err != nil {
			return err
		}
	}
	var next int64 = -1
	var firstError atomic.Value
	var dialing sync.WaitGroup
	started := time.Now()
	for worker := 0; worker < holdConcurrency; worker++ {
		dialing.Add(1)
		go func() {
			defer dialing.Done()
			for index := atomic.AddInt64(&next, 1); index < int64(count); index = atomic.AddInt64(&next, 1) {
				var entry record
				if err := holder.open(ctx, int(index), &entry); err != nil {
					firstError.CompareAndSwap(nil, entry.Phase+": "+entry.Error)
					return
				}
			}
		}()
	}
	dialing.Wait()
	if message := firstError.Load(); message != nil {
		return fmt.Errorf("a connection could not be opened: %s", message)
	}
	fmt.Printf("ready %d connections in %.1f s\n", count, time.Since(started).Seconds())
	<-ctx.Done()
	taken := atomic.LoadInt64(&holder.lost)
	if holder.recorder != nil {
		holder.returning.Wait()
		if err := holder.recorder.close(); err != nil {
			return err
		}
	} else if taken > 0 {
		return fmt.Errorf("%d of %d connections were closed while they were held", taken, count)
	}
	holder.mutex.Lock()
	defer holder.mutex.Unlock()
	for _, connection := range holder.held {
		connection.Close()
	}
	return nil
}

// open opens the connection of a client and watches over it.
func (h *holder) open(ctx context.Context, index int, entry *record) error {
	connection, watched, err := h.target.dial(ctx, entry)
	if err != nil {
		return err
	}
	h.mutex.Lock()
	h.held[index] = connection
	h.mutex.Unlock()
	watched.onDead.Store(func(_ error, local bool) {
		atomic.AddInt64(&h.lost, 1)
		if h.recorder != nil && !local && ctx.Err() == nil {
			h.returning.Add(1)
			go h.reopen(ctx, index)
		}
	})
	go connection.Read(make([]byte, 1)) // notices when the connection is taken away
	return nil
}

// reopen opens a new connection for a client whose own was taken away: at once, and again at once when that fails. Each
// try is a record `returned`, whose start is the loss.
func (h *holder) reopen(ctx context.Context, index int) {
	defer h.returning.Done()
	lost := monotonic()
	for ctx.Err() == nil {
		entry := record{Kind: "returned", Client: index, Start: lost}
		err := h.open(ctx, index, &entry)
		entry.End = monotonic()
		h.recorder.add(entry)
		if err == nil {
			return
		}
	}
}
