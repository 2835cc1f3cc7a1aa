package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
)

// target is the balancer's address with the TLS settings of the kubeconfig.
type target struct {
	address string
	tls     *tls.Config
}

func newTarget(config *rest.Config, protocols ...string) (*target, error) {
	server, err := url.Parse(config.Host)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, err
	}
	tlsConfig.ServerName = server.Hostname()
	tlsConfig.NextProtos = protocols
	// A resumed session would hide which master answers, and saves it work that a fresh client causes.
	tlsConfig.SessionTicketsDisabled = true
	return &target{address: server.Host, tls: tlsConfig}, nil
}

// dial opens a TLS connection and fills in the phases as they pass. When it fails, entry.Phase and entry.Error are set.
func (t *target) dial(ctx context.Context, entry *record) (*tls.Conn, *watchedConnection, error) {
	dialer := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	raw, err := dialer.DialContext(ctx, "tcp", t.address)
	if err != nil {
		entry.Phase, entry.Error = "connect", err.Error()
		return nil, nil, err
	}
	entry.Connected = monotonic()
	watched := &watchedConnection{Conn: raw}
	secured := tls.Client(watched, t.tls)
	handshake, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := secured.HandshakeContext(handshake); err != nil {
		entry.Phase, entry.Error = "handshake", err.Error()
		raw.Close()
		return nil, nil, err
	}
	entry.Secured = monotonic()
	entry.Master = secured.ConnectionState().PeerCertificates[0].Subject.CommonName
	return secured, watched, nil
}

// watchedConnection tells once when the connection dies, and whether this side ended it.
type watchedConnection struct {
	net.Conn
	dead   int32
	onDead atomic.Value // func(err error, local bool)
}

func (c *watchedConnection) Read(bytes []byte) (int, error) {
	count, err := c.Conn.Read(bytes)
	if err != nil && !isTimeout(err) {
		c.died(err, false)
	}
	return count, err
}

func (c *watchedConnection) Write(bytes []byte) (int, error) {
	count, err := c.Conn.Write(bytes)
	if err != nil && !isTimeout(err) {
		c.died(err, false)
	}
	return count, err
}

func (c *watchedConnection) Close() error {
	c.died(nil, true)
	return c.Conn.Close()
}

func (c *watchedConnection) died(err error, local bool) {
	tell, watched := c.onDead.Load().(func(error, bool))
	if watched && atomic.CompareAndSwapInt32(&c.dead, 0, 1) {
		tell(err, local)
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}
