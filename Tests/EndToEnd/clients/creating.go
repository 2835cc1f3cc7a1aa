package main

import (
	"context"
	"fmt"
	"math/rand"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	// The label of the objects: the suite's webhook slows the create of each object that has it.
	createdLabel = "fairlead-e2e-created"
	// More than the webhook waits, and less than an apiserver grants a request.
	createTimeout = 20 * time.Second
	// The first creates are spread over this, so that a fault finds creates of every age.
	createSpread = 4 * time.Second
)

// creatingClients are clients that each create one config map after the other on a kept connection of their own.
type creatingClients struct {
	running sync.WaitGroup
	created chan struct{}
	count   int
}

func startCreatingClients(
	ctx context.Context, config *rest.Config, recorder *recorder, count int,
) (*creatingClients, error) {
	clients := &creatingClients{created: make(chan struct{}, count), count: count}
	for number := 0; number < count; number++ {
		client, clientset, err := newKeptClient(config, recorder, number)
		if err != nil {
			return nil, err
		}
		first := sync.Once{}
		onCreated := func() { first.Do(func() { clients.created <- struct{}{} }) }
		clients.running.Add(1)
		go func() {
			defer clients.running.Done()
			client.create(ctx, clientset, onCreated)
		}()
	}
	return clients, nil
}

// waitUntilCreated returns whether every client had its first object before the load was told to end.
func (c *creatingClients) waitUntilCreated(ctx context.Context) bool {
	for created := 0; created < c.count; created++ {
		select {
		case <-ctx.Done():
			return false
		case <-c.created:
		}
	}
	return true
}

func (c *creatingClients) wait() { c.running.Wait() }

// create creates one object after the other.
func (c *keptClient) create(ctx context.Context, clientset *kubernetes.Clientset, onCreated func()) {
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		GenerateName: createdLabel + "-", Labels: map[string]string{createdLabel: "true"},
	}}
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(rand.Int63n(int64(createSpread)))):
	}
	for ctx.Err() == nil {
		entry := record{Kind: "create", Client: c.number, Start: monotonic()}
		var used trace
		var status int
		request, cancel := context.WithTimeout(ctx, createTimeout)
		err := clientset.CoreV1().RESTClient().Post().Namespace(metav1.NamespaceDefault).Resource("configmaps").
			Body(object).MaxRetries(0).Do(c.traced(request, &used)).StatusCode(&status).Error()
		cancel()
		if ctx.Err() != nil {
			return // cancelled by the end of the load, which says nothing about the balancer
		}
		entry.End, entry.Connection, entry.Master = monotonic(), used.number, used.master
		if err != nil {
			entry.Error = used.words(err)
		} else if status != http.StatusCreated {
			entry.Error = fmt.Sprintf("HTTP %d", status)
		}
		c.recorder.add(entry)
		if entry.Error != "" {
			pause(ctx)
			continue
		}
		onCreated()
	}
}
