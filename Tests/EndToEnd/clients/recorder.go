package main

import (
	"bufio"
	"encoding/json"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// record is one line of the output. Times are CLOCK_MONOTONIC nanoseconds, zero when the moment never came.
type record struct {
	// Kind is fresh (one connection with one GET), get (a GET of a kept client), opened and closed (a connection of
	// a kept client), watching and unwatched (its watch), create (a create of a creating client), returned (a held
	// connection that was taken away and is opened again).
	Kind       string `json:"kind"`
	Client     int    `json:"client"`
	Connection int64  `json:"connection,omitempty"`
	Start      int64  `json:"start,omitempty"`
	Connected  int64  `json:"connected,omitempty"`
	Secured    int64  `json:"secured,omitempty"`
	End        int64  `json:"end"`
	// Master is the common name of the serving certificate.
	Master string `json:"master,omitempty"`
	// Phase in which a fresh connection failed: connect, handshake or request.
	Phase string `json:"phase,omitempty"`
	Error string `json:"error,omitempty"`
	// Local says that this client closed the connection itself.
	Local bool `json:"local,omitempty"`
}

type recorder struct {
	mutex  sync.Mutex
	file   *os.File
	buffer *bufio.Writer
	lines  *json.Encoder
}

func newRecorder(path string) (*recorder, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	buffer := bufio.NewWriterSize(file, 1<<20)
	return &recorder{file: file, buffer: buffer, lines: json.NewEncoder(buffer)}, nil
}

func (r *recorder) add(entry record) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	// An encoder over a buffer fails only when the disk does, and then close reports it.
	_ = r.lines.Encode(entry)
}

func (r *recorder) close() error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if err := r.buffer.Flush(); err != nil {
		return err
	}
	return r.file.Close()
}

// processStart ties Go's hidden monotonic clock to the one that other processes can read.
var processStart = func() struct {
	moment    time.Time
	monotonic int64
} {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err)
	}
	return struct {
		moment    time.Time
		monotonic int64
	}{time.Now(), now.Nano()}
}()

// monotonic returns CLOCK_MONOTONIC nanoseconds.
func monotonic() int64 {
	return processStart.monotonic + int64(time.Since(processStart.moment))
}
