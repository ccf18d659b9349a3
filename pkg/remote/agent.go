package remote

import (
	"net"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agents holds one connection to each SSH agent: hundreds at once would be
// refused by it.
type agents struct {
	mu   sync.Mutex
	open map[string]net.Conn
	keys map[string]agent.ExtendedAgent
}

// signers gives the keys of the agent at a socket. A connection that died is
// made again once.
func (a *agents) signers(socket string) ([]ssh.Signer, error) {
	keys, fresh, err := a.connect(socket)
	if err != nil {
		return nil, err
	}
	signers, err := keys.Signers()
	if err == nil || fresh {
		return signers, err
	}
	a.forget(socket, keys)
	if keys, _, err = a.connect(socket); err != nil {
		return nil, err
	}
	return keys.Signers()
}

func (a *agents) connect(socket string) (keys agent.ExtendedAgent, fresh bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if keys := a.keys[socket]; keys != nil {
		return keys, false, nil
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, false, err
	}
	if a.open == nil {
		a.open, a.keys = make(map[string]net.Conn), make(map[string]agent.ExtendedAgent)
	}
	a.open[socket], a.keys[socket] = conn, agent.NewClient(conn)
	return a.keys[socket], true, nil
}

func (a *agents) forget(socket string, keys agent.ExtendedAgent) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.keys[socket] == keys {
		a.open[socket].Close()
		delete(a.open, socket)
		delete(a.keys, socket)
	}
}

func (a *agents) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, conn := range a.open {
		conn.Close()
	}
	a.open, a.keys = nil, nil
}
