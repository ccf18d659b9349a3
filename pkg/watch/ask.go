package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// ErrNoWatcher is returned when nothing listens on the socket of this host's watcher.
var ErrNoWatcher = errors.New("no pgctl watch listens on this host")

// The questions that a watcher takes on its socket.
const (
	AskState = "state" // the answer is a Told
	AskWish  = "wish"  // the question is a Wish, the answer an Answer
)

// answerLimit bounds an answer in bytes.
const answerLimit = 16 << 20

// Ask puts a question, in JSON, to the watcher that listens on the socket, and gives its answer in JSON.
func Ask(ctx context.Context, path, what string, question io.Reader) ([]byte, error) {
	method, ok := map[string]string{AskState: http.MethodGet, AskWish: http.MethodPost}[what]
	if !ok {
		return nil, fmt.Errorf("%q is nothing that a watcher can be asked: expected %s or %s", what, AskState, AskWish)
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	if method == http.MethodGet {
		question = nil // whatever standard input is, a terminal too
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://watch/v1/"+what, question)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	var network *net.OpError
	switch {
	case errors.As(err, &network) && network.Op == "dial":
		return nil, fmt.Errorf("%w (%s: %w)", ErrNoWatcher, path, network.Err)
	case err != nil:
		return nil, fmt.Errorf("the watcher of this host gave no answer: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the watcher of this host gave half an answer: %w", err)
	case response.StatusCode != http.StatusOK:
		return nil, errors.New(strings.TrimSpace(string(text)))
	}
	return text, nil
}
