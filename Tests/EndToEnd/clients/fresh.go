package main

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	// A wait longer than this says that the masters, or the machine, are still busy with their own start.
	promptWait = 250 * time.Millisecond
	// The load is ready when nobody waited longer than that for so long. The suite judges these seconds too.
	promptFor = 3 * time.Second
)

// freshClients are clients that do nothing but open new connections.
type freshClients struct {
	running sync.WaitGroup
	// lastSlow is when a new connection last failed, or waited longer than promptWait, for its master.
	lastSlow int64
}

// startFreshClients starts clients that each open a new connection every `interval`, with one GET on it.
//
// The pace does not depend on the answers: a connection that waits delays no other, so that waiting is counted as
// often as it happens.
func startFreshClients(
	ctx context.Context, config *rest.Config, recorder *recorder, count int, interval time.Duration,
) (*freshClients, error) {
	target, err := newTarget(config, "h2")
	if err != nil {
		return nil, err
	}
	clients := &freshClients{lastSlow: monotonic()}
	for number := 0; number < count; number++ {
		client := &freshClient{number: number, target: target, recorder: recorder, lastSlow: &clients.lastSlow}
		// client-go asks and decodes; the transport below makes each request a connection of its own.
		plain := rest.AnonymousClientConfig(config)
		plain.TLSClientConfig = rest.TLSClientConfig{}
		plain.Transport = client
		plain.QPS = -1
		clientset, err := kubernetes.NewForConfig(plain)
		if err != nil {
			return nil, err
		}
		clients.running.Add(1)
		// Spread over the interval: twenty clients in step would be a burst, not a rate.
		offset := interval * time.Duration(number) / time.Duration(count)
		go func() {
			defer clients.running.Done()
			client.run(ctx, clientset, offset, interval)
		}()
	}
	return clients, nil
}

// waitUntilPrompt returns once every new connection was prompt for a while; false when the load ended before.
func (f *freshClients) waitUntilPrompt(ctx context.Context) bool {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for monotonic()-atomic.LoadInt64(&f.lastSlow) < int64(promptFor) {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return true
}

func (f *freshClients) wait() { f.running.Wait() }

type freshClient struct {
	number   int
	target   *target
	recorder *recorder
	lastSlow *int64
}

func (c *freshClient) run(ctx context.Context, clientset *kubernetes.Clientset, offset, interval time.Duration) {
	var requests sync.WaitGroup
	defer requests.Wait()
	select {
	case <-ctx.Done():
		return
	case <-time.After(offset):
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			requests.Add(1)
			go func() {
				defer requests.Done()
				// Not ctx: what has begun when the load ends is allowed to end by itself, within the timeout.
				request, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				// The outcome is recorded by RoundTrip, which sees the phases. No retries: each is counted.
				_ = clientset.CoreV1().RESTClient().Get().Resource("namespaces").Name("default").
					MaxRetries(0).Do(request).Error()
			}()
		}
	}
}

// RoundTrip makes one request on a connection of its own and records it.
func (c *freshClient) RoundTrip(request *http.Request) (*http.Response, error) {
	entry := record{Kind: "fresh", Client: c.number, Start: monotonic()}
	defer func() {
		entry.End = monotonic()
		if entry.Secured == 0 || entry.Secured-entry.Start > int64(promptWait) {
			atomic.StoreInt64(c.lastSlow, entry.End)
		}
		c.recorder.add(entry)
	}()
	connection, _, err := c.target.dial(request.Context(), &entry)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	session, err := (&http2.Transport{}).NewClientConn(connection)
	if err == nil {
		var response *http.Response
		if response, err = session.RoundTrip(request); err == nil {
			if err = readBody(response); err == nil {
				if response.StatusCode != http.StatusOK {
					entry.Phase, entry.Error = "request", response.Status
				}
				return response, nil
			}
		}
	}
	entry.Phase, entry.Error = "request", err.Error()
	return nil, err
}
