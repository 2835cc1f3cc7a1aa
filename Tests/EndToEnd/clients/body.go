package main

import (
	"bytes"
	"io"
	"net/http"
)

// readBody reads the whole body while the connection is open, and leaves it in the response.
func readBody(response *http.Response) error {
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	return err
}
