package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
)

// runWebhook serves a validating admission webhook that allows each request after a wait, and says `ready`.
func runWebhook(ctx context.Context, address, certificate, key string, wait time.Duration) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	handler := func(writer http.ResponseWriter, request *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(request.Body).Decode(&review); err != nil || review.Request == nil {
			http.Error(writer, "not an AdmissionReview", http.StatusBadRequest)
			return
		}
		select {
		case <-request.Context().Done():
			return
		case <-time.After(wait):
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		review.Request = nil
		writer.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(writer).Encode(review)
	}
	server := &http.Server{Handler: http.HandlerFunc(handler)}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	fmt.Println("ready")
	if err := server.ServeTLS(listener, certificate, key); err != http.ErrServerClosed {
		return err
	}
	return nil
}
