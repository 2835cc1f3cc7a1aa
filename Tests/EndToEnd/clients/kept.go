package main

import (
	"context"
	"crypto/tls"
	"math/rand"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	// The timeout that kubelet gives its requests.
	getTimeout = 10 * time.Second
	// After an error the next try comes at once; the pause only keeps a dead balancer from being flooded.
	retryPause = 50 * time.Millisecond
)

// keptClients are clients that each hold one HTTP/2 connection with a watch, and send a GET on it at a fixed interval.
type keptClients struct {
	running  sync.WaitGroup
	watching chan struct{}
	count    int
}

func startKeptClients(
	ctx context.Context, config *rest.Config, recorder *recorder, count int, interval time.Duration,
) (*keptClients, error) {
	clients := &keptClients{watching: make(chan struct{}, count), count: count}
	for number := 0; number < count; number++ {
		client, clientset, err := newKeptClient(config, recorder, number)
		if err != nil {
			return nil, err
		}
		first := sync.Once{}
		onWatching := func() { first.Do(func() { clients.watching <- struct{}{} }) }
		clients.running.Add(2)
		go func() {
			defer clients.running.Done()
			client.watch(ctx, clientset, onWatching)
		}()
		go func() {
			defer clients.running.Done()
			client.ask(ctx, clientset, interval)
		}()
	}
	return clients, nil
}

// newKeptClient returns a client with a transport of its own, with the settings that client-go gives every client
// (HTTP/2 pings among them).
func newKeptClient(config *rest.Config, recorder *recorder, number int) (*keptClient, *kubernetes.Clientset, error) {
	target, err := newTarget(config, "h2", "http/1.1")
	if err != nil {
		return nil, nil, err
	}
	client := &keptClient{number: number, target: target, recorder: recorder}
	plain := rest.AnonymousClientConfig(config)
	plain.TLSClientConfig = rest.TLSClientConfig{}
	plain.QPS = -1
	plain.Transport = tracingTransport{utilnet.SetTransportDefaults(&http.Transport{
		DialTLSContext:  client.dial,
		TLSClientConfig: target.tls.Clone(),
	})}
	clientset, err := kubernetes.NewForConfig(plain)
	return client, clientset, err
}

// waitUntilWatching returns whether every client had its watch before the load was told to end.
func (k *keptClients) waitUntilWatching(ctx context.Context) bool {
	for watching := 0; watching < k.count; watching++ {
		select {
		case <-ctx.Done():
			return false
		case <-k.watching:
		}
	}
	return true
}

func (k *keptClients) wait() { k.running.Wait() }

type keptClient struct {
	number   int
	target   *target
	recorder *recorder
	// opened maps a *tls.Conn to its keptConnection, so that a request can say what served it.
	opened sync.Map
}

type keptConnection struct {
	number int64
	master string
}

// trace is what a request learns on its way: the connection that it went over, and the error in the transport's own
// words (client-go turns a lost connection into "an error on the server").
type trace struct {
	keptConnection
	err error
}

// words prefers the transport's error to what client-go made of it.
func (t *trace) words(err error) string {
	if t.err != nil {
		return t.err.Error()
	}
	return err.Error()
}

type traceKey struct{}

// tracingTransport notes the transport's error in the request's trace.
type tracingTransport struct{ next http.RoundTripper }

func (t tracingTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.next.RoundTrip(request)
	if used, ok := request.Context().Value(traceKey{}).(*trace); ok {
		used.err = err
	}
	return response, err
}

var lastConnection int64

// dial records the connection's birth and death.
func (c *keptClient) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	entry := record{Kind: "opened", Client: c.number, Connection: atomic.AddInt64(&lastConnection, 1), Start: monotonic()}
	connection, watched, err := c.target.dial(ctx, &entry)
	entry.End = monotonic()
	c.recorder.add(entry)
	if err != nil {
		return nil, err
	}
	c.opened.Store(connection, keptConnection{entry.Connection, entry.Master})
	watched.onDead.Store(func(err error, local bool) {
		closed := record{
			Kind: "closed", Client: c.number, Connection: entry.Connection, Master: entry.Master,
			End: monotonic(), Local: local,
		}
		if err != nil {
			closed.Error = err.Error()
		}
		c.recorder.add(closed)
	})
	return connection, nil
}

// traced returns a context whose request fills in `used`.
func (c *keptClient) traced(ctx context.Context, used *trace) context.Context {
	ctx = context.WithValue(ctx, traceKey{}, used)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if connection, ok := info.Conn.(*tls.Conn); ok {
			if known, ok := c.opened.Load(connection); ok {
				used.keptConnection = known.(keptConnection)
			}
		}
	}})
}

// watch holds a watch on the namespaces, and opens it again the moment it ends.
func (c *keptClient) watch(ctx context.Context, clientset *kubernetes.Clientset, onWatching func()) {
	for ctx.Err() == nil {
		entry := record{Kind: "watching", Client: c.number, Start: monotonic()}
		var used trace
		watcher, err := clientset.CoreV1().Namespaces().Watch(c.traced(ctx, &used), metav1.ListOptions{})
		entry.End, entry.Connection, entry.Master = monotonic(), used.number, used.master
		if err != nil {
			entry.Error = used.words(err)
			c.recorder.add(entry)
			pause(ctx)
			continue
		}
		c.recorder.add(entry)
		onWatching()
		for range watcher.ResultChan() {
		}
		if ctx.Err() == nil {
			c.recorder.add(record{
				Kind: "unwatched", Client: c.number, Connection: used.number, Master: used.master, End: monotonic(),
			})
		}
	}
}

// ask sends a GET at each interval; after a failure the next one goes at once.
func (c *keptClient) ask(ctx context.Context, clientset *kubernetes.Clientset, interval time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(rand.Int63n(int64(interval)))): // clients in step would be a burst, not a rate
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	failed := false
	for {
		if failed {
			pause(ctx)
		} else {
			select {
			case <-ctx.Done():
			case <-ticker.C:
			}
		}
		if ctx.Err() != nil {
			return
		}
		entry := record{Kind: "get", Client: c.number, Start: monotonic()}
		var used trace
		request, cancel := context.WithTimeout(ctx, getTimeout)
		err := clientset.CoreV1().RESTClient().Get().Resource("namespaces").Name("default").
			MaxRetries(0).Do(c.traced(request, &used)).Error()
		cancel()
		if ctx.Err() != nil {
			return // cancelled by the end of the load, which says nothing about the balancer
		}
		entry.End, entry.Connection, entry.Master = monotonic(), used.number, used.master
		if failed = err != nil; failed {
			entry.Error = used.words(err)
		}
		c.recorder.add(entry)
	}
}

func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(retryPause):
	}
}
